//! The random steps of an agent's producers and of the people who look after it, and the documents
//! that they send.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use uuid::Uuid;

use super::story::{Agent, Bad, Kind, Sent};
use crate::documents::GATEWAY_TOKEN;

/// The revision of the connection with which a history begins.
pub const FIRST_REVISION: u64 = 10;

/// A way into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Library,
    Api,
    Command,
}

/// A step of an agent's history.
#[derive(Debug)]
pub enum Step {
    Send(Parcel),
    /// A person cancels one of its latest jobs.
    Cancel,
    /// A person retries one of its dead jobs.
    Retry,
}

/// A document that is to be sent.
#[derive(Debug)]
pub struct Parcel {
    pub sent: Sent,
    /// The other agents of a heartbeat-sync, by number.
    pub others: Vec<usize>,
    pub connection: Connection,
    pub delay: Duration,
    pub expiry: Option<Duration>,
    pub way: Way,
}

/// The connection in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The right one, without a revision.
    Right,
    /// None: the one that the queue knows is to be used.
    Known,
    /// A wrong one with a revision that is older than the first.
    Outdated,
}

/// Draws the steps of one agent.
pub struct Plan {
    pub random: StdRng,
    pub agent: Agent,
    generation: u64,
    steps: u32,
    next: u32,
}

impl Plan {
    /// Returns the plan of an agent with so many steps. Its first mark is `first`.
    pub fn new(random: StdRng, agent: Agent, steps: u32, first: u32) -> Self {
        Self { random, agent, generation: 0, steps, next: first }
    }

    /// Returns the next step, or nothing after the last one.
    pub fn next(&mut self) -> Option<Step> {
        self.steps = self.steps.checked_sub(1)?;
        // Most agents end with a document that can be carried out, so that there is an end to see.
        if self.steps == 0 && self.random.random_bool(0.6) {
            let mut last = self.provision();
            (last.sent.bad, last.sent.expires, last.expiry) = (None, false, None);
            return Some(Step::Send(last));
        }
        Some(match self.random.random_range(0..100) {
            0..50 => Step::Send(self.provision()),
            50..66 => Step::Send(self.cleanup()),
            66..80 => Step::Send(self.sync()),
            80..91 => Step::Cancel,
            _ => Step::Retry,
        })
    }

    /// Returns the time until the next step.
    pub fn pause(&mut self) -> Duration {
        let most = if self.random.random_bool(0.4) { 20 } else { 700 };
        Duration::from_millis(self.random.random_range(0..most))
    }

    fn parcel(&mut self, kind: Kind) -> Parcel {
        let random = &mut self.random;
        self.next += 1;
        let sent = Sent {
            job: Uuid::now_v7(),
            kind,
            mark: self.next,
            generation: None,
            token: false,
            force_bootstrap: false,
            reset: false,
            wake: false,
            every: random.random_bool(0.8),
            model: random.random_bool(0.4),
            bad: None,
            delayed: false,
            expires: false,
        };
        let way = match random.random_range(0..100) {
            0..60 => Way::Library,
            60..92 => Way::Api,
            _ => Way::Command,
        };
        let connection = *[Connection::Right, Connection::Known, Connection::Outdated]
            .choose(random)
            .expect("it is not empty");
        Parcel { sent, others: Vec::new(), connection, delay: Duration::ZERO, expiry: None, way }
    }

    /// Numbers about half of the documents, some of them as older ones that arrive late.
    fn number(&mut self, parcel: &mut Parcel) {
        parcel.sent.generation = match self.random.random_range(0..100) {
            0..45 => None,
            45..75 => {
                self.generation += self.random.random_range(1..3);
                Some(self.generation)
            }
            75..85 => Some(self.generation),
            _ => Some(self.generation.saturating_sub(self.random.random_range(1..4))),
        };
    }

    fn delay(&mut self, parcel: &mut Parcel, share: f64) {
        if self.random.random_bool(share) {
            parcel.delay = Duration::from_millis(self.random.random_range(100..1500));
            (parcel.sent.delayed, parcel.way) = (true, Way::Library);
        }
    }

    fn provision(&mut self) -> Parcel {
        let mut parcel = self.parcel(Kind::Provision);
        self.number(&mut parcel);
        self.delay(&mut parcel, 0.12);
        let random = &mut self.random;
        let sent = &mut parcel.sent;
        sent.token = random.random_bool(0.55);
        sent.force_bootstrap = random.random_bool(0.15);
        sent.reset = random.random_bool(0.12);
        sent.wake = random.random_bool(0.25);
        sent.bad = match random.random_range(0..100) {
            0..5 => Some(Bad::Template),
            5..8 => Some(Bad::Heartbeat),
            _ => None,
        };
        if random.random_bool(0.06) {
            let least = parcel.delay + Duration::from_millis(20);
            parcel.expiry = Some(least + Duration::from_millis(random.random_range(0..200)));
            (sent.expires, parcel.way) = (true, Way::Library);
        }
        parcel
    }

    fn cleanup(&mut self) -> Parcel {
        let mut parcel = self.parcel(Kind::Cleanup);
        self.number(&mut parcel);
        self.delay(&mut parcel, 0.5);
        if self.random.random_bool(0.06) {
            parcel.expiry = Some(parcel.delay + Duration::from_millis(50));
            (parcel.sent.expires, parcel.way) = (true, Way::Library);
        }
        parcel
    }

    fn sync(&mut self) -> Parcel {
        let mut parcel = self.parcel(Kind::Sync);
        let own = self.agent.number;
        parcel.others = (0..super::AGENTS)
            .filter(|other| *other != own && self.random.random_bool(0.3))
            .collect();
        parcel
    }
}

/// A gateway as documents name it.
#[derive(Debug, Clone)]
pub struct Address {
    pub id: Uuid,
    pub url: String,
}

impl Address {
    /// Returns the member `gateway` of a document.
    pub fn member(&self, token: &str, revision: Option<u64>) -> Value {
        let mut member = json!({
            "id": self.id, "name": "Acme", "url": self.url, "token": token,
            "workspace_root": "/srv/openclaw"
        });
        if let Some(revision) = revision {
            member["revision"] = revision.into();
        }
        member
    }
}

/// Returns the document of a parcel.
pub fn document(parcel: &Parcel, agent: Agent, address: &Address) -> Value {
    let Parcel { sent, others, connection, .. } = parcel;
    let mut document = json!({ "version": 1, "kind": match sent.kind {
        Kind::Provision => "provision",
        Kind::Cleanup => "cleanup",
        Kind::Sync => "heartbeat-sync",
    }});
    document["gateway"] = match connection {
        Connection::Right => address.member(GATEWAY_TOKEN, None),
        Connection::Known if sent.kind != Kind::Sync => json!({ "id": address.id }),
        Connection::Known | Connection::Outdated => {
            let revision = u64::from(sent.mark) % FIRST_REVISION;
            address.member(&format!("outdated-{}", sent.mark), Some(revision))
        }
    };
    if sent.kind == Kind::Sync {
        let all = std::iter::once(agent.number).chain(others.iter().copied());
        let all = all.map(|number| member(sent, Agent { number, ..agent }, address));
        document["agents"] = all.collect();
        return document;
    }
    document["agent"] = member(sent, agent, address);
    if sent.kind == Kind::Provision {
        provisioning(&mut document, sent);
    }
    document
}

fn provisioning(document: &mut Value, sent: &Sent) {
    document["board"] = json!({ "id": Uuid::from_u128(1), "name": "Launch" });
    let action = if sent.token && sent.mark.is_multiple_of(2) { "provision" } else { "update" };
    document["options"] = json!({
        "action": action, "force_bootstrap": sent.force_bootstrap, "reset_session": sent.reset,
    });
    if sent.token {
        document["auth_token"] = format!("token-m{:05}-secret", sent.mark).into();
    }
    if sent.wake {
        document["options"]["wake"] = json!({ "verb": format!("woken-m{:05}", sent.mark) });
    }
    if sent.bad == Some(Bad::Template) {
        document["agent"]["soul_template"] = json!("{{ auth_token.nothing.more }}");
    }
}

fn member(sent: &Sent, agent: Agent, address: &Address) -> Value {
    let mark = sent.mark;
    let mut member = json!({
        "id": Uuid::new_v5(&address.id, agent.id().as_bytes()),
        "name": format!("Unit-m{mark:05}"),
        "openclaw_session_id": format!("agent:{}:main", agent.id()),
        "identity_profile": { "role": format!("role-m{mark:05}") },
    });
    if let Some(generation) = sent.generation {
        member["generation"] = generation.into();
    }
    let heartbeat = heartbeat(sent).into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    member["heartbeat_config"] = Value::Object(heartbeat.collect());
    member
}

/// Returns the heartbeat that a document asks for.
pub fn heartbeat(sent: &Sent) -> Vec<(&'static str, String)> {
    let every = match sent.bad {
        Some(Bad::Heartbeat) => Some("now and then".to_owned()),
        _ => sent.every.then(|| format!("{}m", 100 + sent.mark)),
    };
    let model = sent.model.then(|| format!("model-m{:05}", sent.mark));
    let all = [("every", every), ("model", model)];
    all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

//! Gateways: a row each, and the page of one.

use askama::Template;
use mission_jobs::State;
use mission_jobs::queue::{Counts, GatewayRecord};

use super::html::{Prose, When};
use super::job::Fact;
use super::job_row::{Line, short};
use super::layout::{Frame, Paused};
use super::query;
use super::sparkline::Spark;
use mission_core::humanize::{count, number, span, utc};

/// The page of all.
#[derive(Template)]
#[template(path = "dashboard/gateways.html")]
pub struct Page {
    /// What is around it.
    pub frame: Frame,
    /// How they are.
    pub sentence: String,
    /// All of them.
    pub gateways: Vec<Row>,
}

/// The page of one.
#[derive(Template)]
#[template(path = "dashboard/gateway.html")]
pub struct OnePage {
    /// What is around it.
    pub frame: Frame,
    /// The gateway.
    pub gateway: One,
}

/// A gateway in a list.
#[derive(Debug)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub url: Option<String>,
    /// `yes`, `no`, `refused` or `unknown`.
    pub reach: &'static str,
    /// The same in words.
    pub reach_words: String,
    /// When it is tried again.
    pub held_until: Option<When>,
    /// Whether its certificate is not looked at.
    pub insecure: bool,
    /// Its version.
    pub version: String,
    /// The protocol spoken with it.
    pub protocol: Option<u32>,
    /// How many config writes it takes.
    pub writes: String,
    /// When it was last met restarting.
    pub restarted: Option<When>,
    /// How its runs ended in the last hour.
    pub spark: Option<Spark>,
    /// Its jobs by state.
    pub counts: Vec<StateCount>,
    /// Whether it is paused.
    pub paused: bool,
}

/// How many jobs are in a state.
#[derive(Debug)]
pub struct StateCount {
    /// Which.
    pub state: State,
    /// How many.
    pub number: String,
    /// Where they are.
    pub search: String,
    /// Whether they are what is shown now.
    pub is_here: bool,
}

/// A gateway on its page.
#[derive(Debug)]
pub struct One {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// As in a row.
    pub reach: &'static str,
    /// See there.
    pub reach_words: String,
    /// How it is.
    pub sentence: Prose,
    /// What a person can do.
    pub remedy: Option<Prose>,
    /// What is known.
    pub facts: Vec<Fact>,
    /// Its jobs by state.
    pub counts: Vec<StateCount>,
    /// How it is paused.
    pub pause: Option<Paused>,
    /// Its jobs that wait or run.
    pub jobs: Vec<Line>,
}

/// What a gateway is called: its name, or the beginning of its id.
#[must_use]
pub fn name(gateway: &GatewayRecord) -> String {
    let name = gateway.name.clone().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| short(&gateway.id.to_string()))
}

/// Jobs by state, those that there are; ended ones only if they are asked for.
#[must_use]
pub fn counted(
    counts: &Counts,
    gateway: Option<&str>,
    ended: bool,
    here: &[State],
) -> Vec<StateCount> {
    let shown = |state: &State| {
        counts.of(*state) > 0 && (ended || !state.is_terminal() || *state == State::Dead)
    };
    let states = BY_URGENCY.into_iter().filter(|state| shown(state) || here == [*state]);
    let of = |state: State| {
        let search = gateway
            .map_or_else(|| format!("state:{state}"), |id| format!("state:{state} gateway:{id}"));
        StateCount {
            state,
            number: number(counts.of(state)),
            search: query::to("/jobs", &[("q", &search)]),
            is_here: here == [state],
        }
    };
    states.map(of).collect()
}

/// All states: what needs a person first, what has ended well last.
pub const BY_URGENCY: [State; 10] = [
    State::Blocked,
    State::Dead,
    State::Retrying,
    State::Snoozed,
    State::Running,
    State::Ready,
    State::Scheduled,
    State::Done,
    State::Superseded,
    State::Cancelled,
];

/// Whether the gateway's last failure is newer than its last success.
fn is_failing(gateway: &GatewayRecord) -> bool {
    gateway
        .failed_at_ms
        .is_some_and(|failed| gateway.reached_at_ms.is_none_or(|reached| failed > reached))
}

/// How a gateway can be reached, as a mark and in words.
fn reach(gateway: &GatewayRecord, now_ms: u64) -> (&'static str, String) {
    if gateway.is_unreachable() {
        return ("no", format!("not reached, {}", count(u64::from(gateway.failures), "attempt")));
    }
    if gateway.jobs.of(State::Blocked) > 0 && is_failing(gateway) {
        return ("refused", "lets nobody in".to_owned());
    }
    if gateway.held_until_ms.is_some_and(|until| until > now_ms) {
        return ("refused", "busy".to_owned());
    }
    match gateway.reached_at_ms {
        Some(at) => (
            "yes",
            format!("reached {} ago", mission_core::humanize::rough(now_ms.saturating_sub(at))),
        ),
        None => ("unknown", "not tried yet".to_owned()),
    }
}

impl Row {
    /// The row of a gateway.
    #[must_use]
    pub fn of(gateway: &GatewayRecord, paused: bool, now_ms: u64) -> Self {
        let (reach, reach_words) = reach(gateway, now_ms);
        let id = gateway.id.to_string();
        Self {
            name: name(gateway),
            url: gateway.url.clone(),
            reach,
            reach_words,
            held_until: gateway
                .held_until_ms
                .filter(|until| *until > now_ms)
                .map(|at_ms| When { at_ms, now_ms }),
            insecure: gateway.insecure_tls,
            version: gateway.version.clone().unwrap_or_else(|| "–".to_owned()),
            protocol: gateway.protocol,
            writes: gateway.write_limit.clone().unwrap_or_else(|| "–".to_owned()),
            restarted: gateway.restarted_at_ms.map(|at_ms| When { at_ms, now_ms }),
            spark: Spark::draw(&gateway.recent, now_ms),
            counts: counted(&gateway.jobs, Some(&id), false, &[]),
            paused,
            id,
        }
    }
}

impl Page {
    /// The page of all gateways.
    #[must_use]
    pub fn of(frame: Frame, gateways: Vec<Row>) -> Self {
        let all = u64::try_from(gateways.len()).unwrap_or_default();
        let away = gateways.iter().filter(|gateway| gateway.reach == "no").count();
        let refusing = gateways.iter().filter(|gateway| gateway.reach == "refused").count();
        let sentence = match (all, away, refusing) {
            (0, ..) => "No gateways yet".to_owned(),
            (_, 0, 0) => format!("{}, all well", count(all, "gateway")),
            _ => format!(
                "{}: {away} not reached, {refusing} busy or refusing",
                count(all, "gateway")
            ),
        };
        Self { frame, sentence, gateways }
    }
}

impl One {
    /// What is shown of a gateway on its page.
    #[must_use]
    pub fn of(
        gateway: &GatewayRecord,
        pause: Option<Paused>,
        jobs: Vec<Line>,
        now_ms: u64,
    ) -> Self {
        let (reach, reach_words) = reach(gateway, now_ms);
        let id = gateway.id.to_string();
        let failure = gateway.failure.as_ref().filter(|_| reach == "no" || is_failing(gateway));
        Self {
            name: name(gateway),
            reach,
            reach_words,
            sentence: Prose(sentence(gateway, now_ms)),
            remedy: failure
                .and_then(|failure| failure.action.as_deref())
                .map(|action| Prose(super::sentence(action))),
            facts: facts(gateway, now_ms),
            counts: counted(&gateway.jobs, Some(&id), true, &[]),
            pause,
            jobs,
            id,
        }
    }
}

fn sentence(gateway: &GatewayRecord, now_ms: u64) -> String {
    let words = gateway.failure.as_ref().map_or("", |failure| failure.message.as_str());
    let again = gateway.held_until_ms.filter(|until| *until > now_ms);
    let again = again.map_or_else(String::new, |until| {
        format!(" It is left alone, and tried again with one job in {}.", span(until - now_ms))
    });
    if gateway.is_unreachable() {
        return format!("It was not reached {} times in a row: {words}.{again}", gateway.failures);
    }
    if is_failing(gateway) && !words.is_empty() {
        return format!("What it said last: {words}.{again}");
    }
    match gateway.reached_at_ms {
        Some(at) => format!("A job reached it {} ago.{again}", span(now_ms.saturating_sub(at))),
        None => "No job has reached it yet.".to_owned(),
    }
}

fn facts(gateway: &GatewayRecord, now_ms: u64) -> Vec<Fact> {
    let when = |at: Option<u64>| at.map(|at| utc(at, "%Y-%m-%d %H:%M:%S UTC"));
    let held = gateway.held_until_ms.filter(|until| *until > now_ms);
    let waiting = gateway.waiting_since_ms.map(|since| span(now_ms.saturating_sub(since)));
    let after_writes = gateway
        .version
        .is_some()
        .then(|| if gateway.restarts_on_write { "yes" } else { "not seen" }.to_owned());
    let all = [
        ("Address", gateway.url.clone().map(|url| format!("`{url}`"))),
        ("Version", gateway.version.clone()),
        ("Protocol", gateway.protocol.map(|protocol| protocol.to_string())),
        ("Keeps agents in", gateway.roster.clone().map(|roster| format!("`agents.{roster}`"))),
        ("Scopes", gateway.scopes.as_ref().map(|scopes| scopes.join(" "))),
        ("Config writes", gateway.write_limit.clone()),
        ("Restarts on write", after_writes),
        ("Restarted", when(gateway.restarted_at_ms)),
        ("TLS", gateway.insecure_tls.then(|| "its certificate is not checked".to_owned())),
        ("Reached", when(gateway.reached_at_ms)),
        ("Failed", when(gateway.failed_at_ms)),
        ("Left alone until", when(held)),
        ("Oldest waits for", waiting),
        (
            "Heartbeats cost",
            gateway.heartbeat_turns_per_day.map(|turns| format!("{} a day", count(turns, "turn"))),
        ),
        ("Worked by", gateway.owner.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some(Fact { name, value: Prose(value?) })).collect()
}

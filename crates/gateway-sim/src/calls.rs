//! The log of calls, and the state that all connections of a gateway share.
//!
//! One lock, held only between awaits, makes each call atomic. This is also why a stale `baseHash`
//! is always detected here, whereas old gateways may miss it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

use crate::{
    answer::{Outcome, Refusal, event, response},
    control,
    effects::Effects,
    fault::{Action, Fault, strike},
    handshake::Client,
    method,
    profile::Profile,
    setup::{Canned, Setup},
    world::{World, now_ms, random_id},
};

/// A call that the gateway has received, with its answer, even if the answer was not sent.
#[derive(Clone, Debug)]
pub struct Call {
    /// The number of the connection, counted from 1.
    pub connection: u64,
    /// The id of the calling device, or `connection N` without one.
    pub device: String,
    /// The time of the answer, in ms since 1970.
    pub at_ms: u64,
    /// The name of the method.
    pub method: String,
    /// The parameters, without the values of fields named `token` or `password`.
    pub params: Value,
    /// `true` if the call was executed successfully, even if a fault suppressed the reply.
    pub ok: bool,
    /// The message of the error, or the fault that prevented the execution.
    pub error: Option<String>,
    /// The size in bytes of the frame that answered the call, or would have.
    pub answer_bytes: usize,
}

impl Call {
    /// Returns whether the method can change the gateway, regardless of what this call did.
    #[must_use]
    pub fn mutates(&self) -> bool {
        method::find(&self.method).is_some_and(|method| method.mutates)
    }
}

/// A signal to all connections.
#[derive(Clone)]
pub(crate) enum Signal {
    Event(&'static str, Value),
    Restart,
}

/// The reaction of a connection to a call: the frames to send, possibly delayed, and what follows.
pub(crate) struct Step {
    pub(crate) frames: Vec<String>,
    pub(crate) delay: Duration,
    pub(crate) then: Then,
}

pub(crate) enum Then {
    Stay,
    Drop,
    /// The outage, and the method whose write caused the restart, if one did.
    Restart(Duration, Option<String>),
}

/// The state behind the lock.
pub(crate) struct Inner {
    pub(crate) world: World,
    pub(crate) token: Option<String>,
    pub(crate) faults: Vec<Fault>,
    canned: Vec<Canned>,
    pub(crate) calls: Vec<Call>,
    pub(crate) connections: u64,
    pub(crate) boot_id: String,
    /// The devices that may connect when pairing is required.
    pub(crate) approved: BTreeSet<String>,
    /// The devices that wait for approval, with their request ids.
    pub(crate) pending: BTreeMap<String, String>,
    /// The time until which new connections are refused.
    pub(crate) down_until: Instant,
    /// The reason why the gateway does not start again.
    pub(crate) dead: Option<String>,
    /// The start and the number of patches of each client's current minute.
    patches: BTreeMap<String, (Instant, u32)>,
    pub(crate) restart_is_due: bool,
    /// The time of the latest past or future restart that a patch caused.
    pub(crate) latest_restart: Option<Instant>,
}

/// The gateway, shared by its connections and its handle.
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) signals: broadcast::Sender<Signal>,
    /// The number of calls so far; wakes those who wait for one.
    pub(crate) seen: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn new(setup: Setup, port: u16) -> Self {
        let world = World::new(&setup, port);
        Self::with(world, setup.token.or(setup.options.token), setup.faults, setup.canned)
    }

    /// Returns a gateway with the same state and an empty log.
    pub(crate) fn twin(&self) -> Self {
        let inner = self.lock();
        let mut world = inner.world.clone();
        world.effects = Effects::default();
        Self::with(world, inner.token.clone(), Vec::new(), inner.canned.clone())
    }

    fn with(world: World, token: Option<String>, faults: Vec<Fault>, canned: Vec<Canned>) -> Self {
        let inner = Inner {
            world,
            token,
            faults,
            canned,
            calls: Vec::new(),
            connections: 0,
            boot_id: random_id(),
            approved: BTreeSet::new(),
            pending: BTreeMap::new(),
            down_until: Instant::now(),
            dead: None,
            patches: BTreeMap::new(),
            restart_is_due: false,
            latest_restart: None,
        };
        Self {
            inner: Mutex::new(inner),
            signals: broadcast::Sender::new(256),
            seen: watch::Sender::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no call panics while it holds the state")
    }

    /// Executes the call of a frame and returns the frames of its answer.
    pub(crate) fn call(
        self: &Arc<Self>,
        client: &Client,
        id: &Value,
        name: &str,
        params: &Value,
    ) -> Step {
        if let Some(outcome) = control::answer(self, name, params) {
            let frames = vec![response(id, &outcome).to_string()];
            return Step { frames, delay: Duration::ZERO, then: Then::Stay };
        }
        let mut inner = self.lock();
        let action = strike(&mut inner.faults, name);
        if let Some(Action::Late(ms)) = action {
            self.call_in(
                Duration::from_millis(ms),
                client.clone(),
                name.to_owned(),
                params.clone(),
            );
            return Step { frames: Vec::new(), delay: Duration::ZERO, then: Then::Drop };
        }
        let writes = inner.world.effects.writes.len();
        let outcome = inner.outcome(client, name, params, action.as_ref());
        let wrote = inner.world.effects.writes.len() > writes;
        if wrote || matches!(action, Some(Action::Edit(_))) {
            self.config_was_written(&mut inner, if wrote { Some(name) } else { None }, params);
        }
        let reply = response(id, &outcome).to_string();
        let number = inner.log(client, name, params, &outcome, reply.len());
        let mut step = inner.step(number, reply, action.as_ref());
        if inner.world.must_restart {
            // Only 2026.8.2 sends its answer before it restarts.
            if inner.world.profile != Profile::V2026_8_2 {
                step.frames.clear();
            }
            step.then = Then::Restart(inner.outage(), Some(name.to_owned()));
        }
        drop(inner);
        self.seen.send_modify(|calls| *calls += 1);
        step
    }

    /// Executes a call later, when its sender no longer waits for the answer.
    fn call_in(self: &Arc<Self>, delay: Duration, client: Client, name: String, params: Value) {
        let gateway = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            gateway.call(&client, &Value::Null, &name, &params);
        });
    }
}

const PERSISTED: &str = "config.patch persisted and updated the active Gateway, but a recovery \
    restart is required; wait for the Gateway to restart, then run config.get";

impl Inner {
    fn outcome(
        &mut self,
        client: &Client,
        name: &str,
        params: &Value,
        action: Option<&Action>,
    ) -> Outcome {
        match action {
            Some(Action::DropBefore) => {
                return Err(Refusal::new("FAULT", "dropped before it was executed"));
            }
            Some(Action::Silence) => return Err(Refusal::new("FAULT", "ignored")),
            Some(Action::RateLimit(ms)) => {
                return Err(Refusal::rate_limited(name, self.patch_limit().unwrap_or(3), *ms));
            }
            Some(Action::StaleHash) => return Err(Refusal::stale_hash()),
            Some(Action::Starting(ms)) => return Err(Refusal::starting(*ms)),
            Some(Action::Edit(edit)) => self.world.edit(edit),
            _ => {}
        }
        if let Some(canned) =
            self.canned.iter_mut().find_map(|canned| canned.takes(name, params).then_some(&*canned))
        {
            return match &canned.error {
                Some(error) => Err(error.refusal()),
                None => Ok(canned.payload.clone()),
            };
        }
        let method = method::find(name)
            .ok_or_else(|| Refusal::invalid(format!("unknown method: {name}")))?;
        client.authorise(self.world.profile, method)?;
        if name == "config.patch" {
            self.count_patch(&client.bucket)?;
        }
        method.check(self.world.profile, params)?;
        if action == Some(&Action::LoseWrite) {
            // The call runs on a copy that is discarded.
            return self.world.clone().execute(name, params);
        }
        let answer = self.world.execute(name, params)?;
        if action == Some(&Action::Persisted) {
            return Err(Refusal::new("UNAVAILABLE", PERSISTED));
        }
        Ok(answer)
    }

    fn patch_limit(&self) -> Option<u32> {
        self.world.options.patches_per_minute.or(self.world.profile.patches_per_minute())
    }

    /// Counts a patch. A minute starts with a client's first patch, and failed patches count as
    /// well.
    fn count_patch(&mut self, bucket: &str) -> Result<(), Refusal> {
        const WINDOW: Duration = Duration::from_secs(60);
        let Some(limit) = self.patch_limit() else { return Ok(()) };
        let now = Instant::now();
        let window = self.patches.entry(bucket.to_owned()).or_insert((now, 0));
        if now.duration_since(window.0) >= WINDOW {
            *window = (now, 0);
        }
        window.1 += 1;
        if window.1 <= limit {
            return Ok(());
        }
        let left = WINDOW.saturating_sub(now.duration_since(window.0));
        Err(Refusal::rate_limited(
            "config.patch",
            limit,
            u64::try_from(left.as_millis()).unwrap_or(60_000),
        ))
    }

    fn log(
        &mut self,
        client: &Client,
        name: &str,
        params: &Value,
        outcome: &Outcome,
        answer_bytes: usize,
    ) -> u64 {
        self.calls.push(Call {
            connection: client.number,
            device: client.bucket.clone(),
            at_ms: now_ms(),
            method: name.to_owned(),
            params: without_secrets(params),
            ok: outcome.is_ok(),
            error: outcome.as_ref().err().map(|refusal| refusal.message.clone()),
            answer_bytes,
        });
        self.calls.len() as u64
    }

    fn step(&self, number: u64, reply: String, action: Option<&Action>) -> Step {
        let options = &self.world.options;
        let shuffle_ms = jitter(number, options.shuffle_ms + 1);
        let mut step = Step {
            frames: Vec::new(),
            delay: Duration::from_millis(options.latency_ms + shuffle_ms),
            then: Then::Stay,
        };
        #[expect(clippy::cast_precision_loss, reason = "thousandths need no precision")]
        let noisy = (jitter(number + 7, 1000) as f64) < options.event_noise * 1000.0;
        if noisy {
            step.frames.push(event("tick", &json!({ "ts": now_ms() })).to_string());
            step.frames.push(event("presence", &json!({ "presence": [] })).to_string());
        }
        match action {
            Some(Action::Silence) => step.frames.clear(),
            Some(Action::DropBefore | Action::DropAfter) => {
                step.frames.clear();
                step.then = Then::Drop;
            }
            Some(Action::Garbage) => step.frames.push("}{ this is not JSON".to_owned()),
            Some(Action::Restart { outage_ms, reply: replies }) => {
                step.frames.extend(replies.then_some(reply));
                step.then = Then::Restart(Duration::from_millis(*outage_ms), None);
            }
            Some(Action::Persisted) => {
                step.frames.push(reply);
                step.then = Then::Restart(Duration::from_millis(700), None);
            }
            Some(Action::Delay(ms)) => {
                step.frames.push(reply);
                step.delay += Duration::from_millis(*ms);
            }
            _ => step.frames.push(reply),
        }
        step
    }
}

/// Returns a number below `range` that looks random and is the same in every run.
fn jitter(number: u64, range: u64) -> u64 {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % range
}

fn without_secrets(params: &Value) -> Value {
    match params {
        Value::Object(fields) => {
            let shown = fields.iter().map(|(name, value)| match name.as_str() {
                "token" | "password" => (name.clone(), "(left out)".into()),
                _ => (name.clone(), without_secrets(value)),
            });
            Value::Object(shown.collect())
        }
        Value::Array(items) => items.iter().map(without_secrets).collect(),
        other => other.clone(),
    }
}

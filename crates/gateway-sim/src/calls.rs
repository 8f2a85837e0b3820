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
    merge::map_members,
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

/// A signal to all connections.
#[derive(Clone)]
pub(crate) enum Signal {
    Event(&'static str, Value),
    Restart,
}

/// The reaction of a connection to a call: the frames to send, possibly delayed, and what follows.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) frames: Vec<String>,
    pub(crate) delay: Duration,
    pub(crate) then: Then,
}

#[derive(Default)]
pub(crate) enum Then {
    #[default]
    Stay,
    Drop,
    /// The outage, and the method whose write caused the restart, if one did.
    Restart(Duration, Option<String>),
}

/// The state behind the lock.
#[derive(Default)]
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
    pub(crate) down_until: Option<Instant>,
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
        Self::with(Inner {
            world: World::new(&setup, port),
            token: setup.token.or(setup.options.token),
            faults: setup.faults,
            canned: setup.canned,
            ..Inner::default()
        })
    }

    /// Returns a gateway with the same state and an empty log.
    pub(crate) fn twin(&self) -> Self {
        let inner = self.lock();
        let mut world = inner.world.clone();
        world.effects = Effects::default();
        Self::with(Inner {
            world,
            token: inner.token.clone(),
            canned: inner.canned.clone(),
            ..Inner::default()
        })
    }

    fn with(inner: Inner) -> Self {
        Self {
            inner: Mutex::new(Inner { boot_id: random_id(), ..inner }),
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
            return Step::answer(id, &outcome);
        }
        let mut inner = self.lock();
        let action = strike(&mut inner.faults, name);
        if let Some(Action::Late(ms)) = action {
            // The call is executed when its sender no longer waits for the answer.
            let (gateway, client) = (Arc::clone(self), client.clone());
            let (name, params) = (name.to_owned(), params.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                gateway.call(&client, &Value::Null, &name, &params);
            });
            return Step { then: Then::Drop, ..Step::default() };
        }
        let writes = inner.world.effects.writes.len();
        let outcome = inner.outcome(client, name, params, action.as_ref());
        let wrote = inner.world.effects.writes.len() > writes;
        if wrote || matches!(action, Some(Action::Edit(_))) {
            self.config_was_written(&mut inner, wrote.then_some(name), params);
        }
        let reply = response(id, &outcome).to_string();
        inner.calls.push(Call {
            connection: client.number,
            device: client.bucket.clone(),
            at_ms: now_ms(),
            method: name.to_owned(),
            params: without_secrets(params),
            ok: outcome.is_ok(),
            error: outcome.err().map(|refusal| refusal.message),
            answer_bytes: reply.len(),
        });
        let mut step = inner.step(reply, action.as_ref());
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
}

impl Step {
    /// Answers at once.
    pub(crate) fn answer(id: &Value, outcome: &Outcome) -> Self {
        Self { frames: vec![response(id, outcome).to_string()], ..Self::default() }
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
        if let Some(canned) = self.canned.iter_mut().find(|canned| canned.fits(name, params)) {
            return canned.answer();
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
            return Err(Refusal::unavailable(PERSISTED));
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
        let left_ms = u64::try_from(left.as_millis()).expect("a minute at most");
        Err(Refusal::rate_limited("config.patch", limit, left_ms))
    }

    /// Returns the reaction to the latest call.
    fn step(&self, reply: String, action: Option<&Action>) -> Step {
        let (options, number) = (&self.world.options, self.calls.len() as u64);
        let delay_ms = options.latency_ms + jitter(number, options.shuffle_ms + 1);
        let mut step = Step { delay: Duration::from_millis(delay_ms), ..Step::default() };
        #[expect(clippy::cast_precision_loss, reason = "thousandths need no precision")]
        let noisy = (jitter(number + 7, 1000) as f64) < options.event_noise * 1000.0;
        if noisy {
            step.frames.push(event("tick", &json!({ "ts": now_ms() })).to_string());
            step.frames.push(event("presence", &json!({ "presence": [] })).to_string());
        }
        let is_garbage = action == Some(&Action::Garbage);
        step.frames.push(if is_garbage { "}{ this is not JSON".to_owned() } else { reply });
        let restart = |ms| Then::Restart(Duration::from_millis(ms), None);
        match action {
            Some(Action::Silence) => step.frames.clear(),
            Some(Action::DropBefore | Action::DropAfter) => {
                step.frames.clear();
                step.then = Then::Drop;
            }
            Some(Action::Restart { outage_ms, reply }) => {
                if !*reply {
                    step.frames.pop();
                }
                step.then = restart(*outage_ms);
            }
            Some(Action::Persisted) => step.then = restart(700),
            Some(Action::Delay(ms)) => step.delay += Duration::from_millis(*ms),
            _ => {}
        }
        step
    }
}

/// Returns a number below `range` that looks random and is the same in every run.
fn jitter(number: u64, range: u64) -> u64 {
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % range
}

fn without_secrets(params: &Value) -> Value {
    map_members(params, |name, value| match name {
        "token" | "password" => "(left out)".into(),
        _ => without_secrets(value),
    })
}

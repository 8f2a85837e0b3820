//! The outermost layer around the handler: runs a job within its lease and writes how it ended.
//!
//! The future of a job finishes only when its end is in Redis, or when the lease is certainly lost; so apalis waits for
//! that before it stops, and a slot is free only then.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures_util::FutureExt;
use mission_core::{Failure, Outcome};
use serde_json::json;
use tokio::select;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service};

use super::consumer::{Phase, Shared};
use super::error::QueueError;
use super::leases::Stopped;
use super::record::AttemptResult;
use super::scripts::{Ack, Acked, Lease};
use super::states::State;
use crate::kinds;
use crate::retry::{Disposition, RetryPolicy};
use crate::run::{Claimed, Ran};

/// How long Redis may take to answer once the grace time is over.
const LAST_CALL: Duration = Duration::from_secs(2);

/// Wraps a worker's handler; apalis applies it by itself.
#[derive(Clone)]
pub struct SettleLayer {
    shared: Arc<Shared>,
}

impl SettleLayer {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for SettleLayer {
    type Service = Settle<S>;

    fn layer(&self, inner: S) -> Settle<S> {
        Settle { shared: self.shared.clone(), inner }
    }
}

/// See [`SettleLayer`].
#[derive(Clone)]
pub struct Settle<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Service<Task<Claimed>> for Settle<S>
where
    S: Service<Task<Claimed>, Response = Ran>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A handler that is broken by its own account answers the next job with that error.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, task: Task<Claimed>) -> Self::Future {
        let shared = self.shared.clone();
        let token = task.args.token;
        let limits = Limits::of(&task.args);
        let started = catch_unwind(AssertUnwindSafe(|| self.inner.call(task)));
        Box::pin(async move {
            let run = async move {
                match started {
                    Ok(future) => AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| panicked(&*panic))?,
                    Err(panic) => return Err(panicked(&*panic)),
                }
                .map_err(|error| Failure::new("handler_error", error.into().to_string()))
            };
            supervise(&shared, token, limits, run).await;
            shared.leases.remove(token);
            Ok(())
        })
    }
}

/// What a run has to keep within.
#[derive(Clone, Copy)]
struct Limits {
    attempt: u32,
    max_attempts: u32,
    deadline: Duration,
}

impl Limits {
    fn of(claimed: &Claimed) -> Self {
        let spec = kinds::spec(claimed.job.kind());
        Self { attempt: claimed.attempt, max_attempts: claimed.max_attempts, deadline: spec.deadline }
    }
}

/// Runs a job until it ends, is stopped or is out of time, and tells Redis. A run that is stopped is dropped first.
async fn supervise(shared: &Arc<Shared>, token: u64, limits: Limits, run: impl Future<Output = Result<Ran, Failure>>) {
    let Some((id, mut stopped)) = shared.leases.watch(token) else { return };
    let lease = (id, token);
    let ended = select! {
        biased;
        why = stopped.wait_for(Option::is_some) => Err(why.ok().and_then(|why| *why).unwrap_or(Stopped::Lost)),
        ran = timeout(limits.deadline, run) => Ok(ran),
    };
    let ran = match ended {
        Ok(Ok(Ok(ran))) => ran,
        Ok(Ok(Err(failure))) => Ran::from(Outcome::Transient(failure)),
        Ok(Err(_)) => Ran::from(Outcome::Ambiguous(Failure::new(
            "run_deadline",
            format!(
                "the run was stopped after {} s, the most that a job of its kind may take",
                limits.deadline.as_secs()
            ),
        ))),
        Err(Stopped::Lost) => {
            tracing::warn!(job = lease.0, token, "lease lost; the run was stopped");
            return;
        }
        Err(Stopped::Unrenewed) => {
            tracing::warn!(job = lease.0, token, "Redis is away and the lease is over; the run was stopped");
            return hand_back(shared, &[lease], "Redis was away for longer than a lease").await;
        }
        Err(Stopped::Shutdown) => return hand_back(shared, &[lease], "the worker stopped").await,
    };
    let disposition = shared.settings.retry.dispose(&ran.outcome, limits.attempt, limits.max_attempts);
    settle(shared, &lease, &ran, disposition).await;
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let words: String = words.unwrap_or("no message").chars().take(500).collect();
    Failure::new("panic", format!("the handler panicked: {words}"))
        .with_action("report it with the worker's log; this is a fault of the worker")
}

/// Writes how a run ended.
pub(super) async fn settle(shared: &Shared, lease: &Lease, ran: &Ran, disposition: Disposition) {
    let ack = ack(&shared.settings.retry, ran, disposition);
    let acked = insist(shared, "ack", || shared.scripts.ack(&shared.worker, lease, &ack)).await;
    match acked {
        Some(Acked::Settled(state)) => {
            let code = ran.outcome.failure().map(|failure| failure.code.as_str());
            tracing::debug!(job = lease.0, outcome = ran.outcome.name(), %state, code, "job settled");
        }
        Some(Acked::Lost) => tracing::warn!(job = lease.0, token = lease.1, "run ended after its lease was lost"),
        None => {}
    }
}

/// Gives jobs back unfinished; their runs do not count.
pub(super) async fn hand_back(shared: &Shared, leases: &[Lease], why: &str) {
    if leases.is_empty() {
        return;
    }
    if let Some(released) = insist(shared, "release", || shared.scripts.release(&shared.worker, why, leases)).await {
        tracing::info!(released, of = leases.len(), why, "jobs handed back");
    }
}

/// Calls Redis until it answers. Gives up on a fault that stays, and soon after the grace time when the worker stops;
/// the leases then end by themselves.
async fn insist<T, F>(shared: &Shared, what: &str, call: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, QueueError>>,
{
    let answer = async {
        let patience =
            RetryPolicy { initial: Duration::from_millis(50), cap: Duration::from_secs(1), ..RetryPolicy::default() };
        let mut fault = 0;
        loop {
            match call().await {
                Err(error) if error.is_unavailable() => {
                    fault += 1;
                    tracing::warn!(%error, what, fault, "cannot reach the queue; trying again");
                    sleep(patience.delay(fault)).await;
                }
                answer => return answer,
            }
        }
    };
    let over = async {
        shared.reaches(Phase::End).await;
        sleep(LAST_CALL).await;
    };
    select! {
        answer = answer => match answer {
            Ok(answer) => return Some(answer),
            Err(error) => tracing::error!(%error, what, "given up; the lease will end by itself"),
        },
        () = over => tracing::error!(what, "Redis did not answer before the worker's end; the lease will end by itself"),
    }
    None
}

fn ack(policy: &RetryPolicy, ran: &Ran, disposition: Disposition) -> Ack {
    let (state, delay, counts, reason) = match disposition {
        Disposition::Done => (State::Done, Duration::ZERO, true, ""),
        Disposition::Retry(delay) => (State::Retrying, delay, true, ""),
        Disposition::Snooze(delay) => (State::Snoozed, delay, false, ""),
        Disposition::Block(delay) => (State::Blocked, delay, false, ""),
        Disposition::Dead(reason) => (State::Dead, Duration::ZERO, true, reason.as_str()),
    };
    let failure = ran.outcome.failure();
    let result = AttemptResult {
        outcome: ran.outcome.name().to_owned(),
        code: failure.map(|failure| failure.code.clone()),
        message: failure.map(|failure| failure.message.clone()),
        action: failure.and_then(|failure| failure.action.clone()),
        steps: ran.steps.clone(),
    };
    let report = if let Outcome::Done(report) = &ran.outcome { json!(report).to_string() } else { String::new() };
    Ack {
        state,
        delay,
        counts,
        reason,
        snooze_limit: policy.snooze_limit,
        result: json!(result).to_string(),
        failure: failure.map(|failure| json!(failure).to_string()).unwrap_or_default(),
        report,
    }
}

impl fmt::Debug for SettleLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettleLayer").field("worker", &self.shared.worker).finish()
    }
}

impl<S: fmt::Debug> fmt::Debug for Settle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settle").field("inner", &self.inner).finish_non_exhaustive()
    }
}

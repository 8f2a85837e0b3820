//! The completer: runs a job within its lease, and writes the end of the run to Redis.
//!
//! [`CompleterLayer`] is the outermost layer around the handler. The future of a job finishes only
//! when the end of its run is in Redis, or when the lease is certainly lost. So apalis waits for
//! that before it stops, and a slot becomes free only then.
//!
//! The ends of runs are batched. All handlers send them to one task, [`write_acks`], which takes
//! everything that has arrived, at most 32 (`MAX_ACKS`), and writes it with one call of `ack.lua`.
//! There is no timer: a single end is written at once, and while one call is on its way to Redis
//! the next batch collects itself. Under load this saves most of the round trips, and it never
//! delays an idle worker. The limit of 32 keeps one call of the script at a few milliseconds,
//! during which Redis serves nobody else. Jobs that are handed back are batched in the same size.
//!
//! If the script fails for a whole batch, each end is written by itself, so that one that the
//! script cannot take does not spoil the others. While Redis is away a call is repeated, after 50
//! ms at first and at most 1 s, until the worker's grace time is over. What could not be written is
//! left to its lease: when that ends, another worker runs the job again.

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::task::Task;
use futures_util::FutureExt;
use futures_util::future::join_all;
use mission_core::{Backoff, Failure, Outcome, Remedy, Scope};
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, Service};

use super::context::{ConsumerContext, Phase};
use crate::kinds;
use crate::queue::error::QueueError;
use crate::queue::redis::counters::count;
use crate::queue::redis::scripts::{Ack, Acked, Lease};
use crate::queue::views::gateway_view;
use crate::queue::worker::claiming::Step;
use crate::queue::worker::leases::{LeasedJob, Stopped};
use crate::queue::worker::run_end::{ack, apart, cancel};
use crate::retry::{Disposition, GatewaySignal};
use crate::run::{Claimed, RunResult};

/// The time that Redis gets to answer once the grace time is over.
const LAST_CALL: Duration = Duration::from_secs(2);
/// The delays between calls while Redis is away: 50 ms, doubled up to 1 s, ±20 %.
const REPEAT: Backoff =
    Backoff::new(Duration::from_millis(50), Duration::from_secs(1)).with_jitter(0.2);
/// The most ends of runs, or jobs handed back, in one call, whose script holds Redis for a few
/// milliseconds.
const MAX_ACKS: usize = 32;

/// Wraps a worker's handler. apalis applies it without being asked.
#[derive(Clone)]
pub struct CompleterLayer {
    /// The contexts of all shards.
    shared: Arc<[Arc<ConsumerContext>]>,
}

impl CompleterLayer {
    pub(crate) const fn new(shared: Arc<[Arc<ConsumerContext>]>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for CompleterLayer {
    type Service = CompleterService<S>;

    fn layer(&self, inner: S) -> CompleterService<S> {
        CompleterService { shared: self.shared.clone(), inner }
    }
}

/// The service of [`CompleterLayer`] around a handler.
#[derive(Clone)]
pub struct CompleterService<S> {
    shared: Arc<[Arc<ConsumerContext>]>,
    inner: S,
}

impl<S> Service<Task<Claimed>> for CompleterService<S>
where
    S: Service<Task<Claimed>, Response = RunResult>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A handler whose readiness fails reports the same error when it is called.
        self.inner.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, task: Task<Claimed>) -> Self::Future {
        let shared = self.shared[task.args.shard].clone();
        let token = task.args.token;
        let deadline = deadline(&task.args);
        let about = task.args.job.gateway().map(gateway_view::about).unwrap_or_default();
        let started = catch_unwind(AssertUnwindSafe(|| self.inner.call(task)));
        Box::pin(async move {
            let run = async move {
                let future = started.map_err(|panic| panicked(&*panic))?;
                let ended = AssertUnwindSafe(future).catch_unwind().await;
                let ran = ended.map_err(|panic| panicked(&*panic))?;
                ran.map_err(|error| Failure::new("handler_error", error.into().to_string()))
            };
            supervise(&shared, token, deadline, &about, run).await;
            shared.leases.remove(token);
            shared.ended.notify_one();
            Ok(())
        })
    }
}

/// Returns the longest time that a run may take.
fn deadline(claimed: &Claimed) -> Duration {
    let deadline = kinds::spec(claimed.job.kind()).deadline;
    claimed.expires_in.map_or(deadline, |expires_in| deadline.min(expires_in))
}

/// Runs a job until it ends, is stopped or exceeds its deadline, and reports that to Redis. A run
/// that is stopped is dropped first.
async fn supervise(
    shared: &Arc<ConsumerContext>,
    token: u64,
    deadline: Duration,
    about: &str,
    run: impl Future<Output = Result<RunResult, Failure>>,
) {
    let Some((held, mut stopped)) = shared.leases.watch(token) else { return };
    let ended = select! {
        biased;
        why = stopped.wait_for(Option::is_some) => {
            Err(why.ok().and_then(|why| *why).unwrap_or(Stopped::Lost))
        }
        ran = timeout(deadline, while_leased(shared, token, run)) => {
            ran.unwrap_or_else(|_| Ok(Ok(out_of_time(deadline))))
        }
    };
    match ended {
        Ok(ran) => {
            let ran = ran.unwrap_or_else(|failure| Outcome::Transient(failure).into());
            complete_all(shared, &held, &ran, about).await;
        }
        Err(why) => stop(shared, token, &held, why).await,
    }
}

/// Polls a run only as long as its lease lasts by this process's own clock. A process that was
/// frozen must not take the next step before it has heard from Redis.
async fn while_leased<T>(
    shared: &ConsumerContext,
    token: u64,
    run: impl Future<Output = T>,
) -> Result<T, Stopped> {
    let mut run = pin!(run);
    poll_fn(|cx| {
        if shared.leases.is_overdue(token, Instant::now()) {
            return Poll::Ready(Err(Stopped::Unrenewed));
        }
        run.as_mut().poll(cx).map(Ok)
    })
    .await
}

fn out_of_time(deadline: Duration) -> RunResult {
    let message =
        format!("the run was stopped after {:.1} s, its deadline", deadline.as_secs_f64());
    RunResult::from(Outcome::Ambiguous(Failure::new("run_deadline", message)))
}

/// Completes a run that was stopped before its end.
async fn stop(shared: &Arc<ConsumerContext>, token: u64, held: &[LeasedJob], why: Stopped) {
    let cancelled =
        if why == Stopped::Cancelled { shared.leases.cancelled(token) } else { Vec::new() };
    let leases = held.iter().map(|held| held.lease.clone());
    let (unwanted, others): (Vec<Lease>, Vec<Lease>) =
        leases.partition(|(_, token)| cancelled.contains(token));
    for lease in &unwanted {
        let acked = shared.acks.end(lease.clone(), cancel()).await;
        tracing::info!(job = lease.0, ?acked, "job cancelled while it ran");
    }
    if matches!(why, Stopped::Lost | Stopped::Unrenewed) {
        count(&shared.scripts.counters().leases_lost, 1);
    }
    let words = match why {
        Stopped::Lost => {
            tracing::warn!(job = held[0].lease.0, token, "lease lost, run stopped");
            "another job of the run lost its lease"
        }
        Stopped::Unrenewed => {
            tracing::warn!(job = held[0].lease.0, token, "lease expired, run stopped");
            "Redis was unreachable, or the worker was suspended, for longer than a lease"
        }
        Stopped::Cancelled => "another job of the run was cancelled",
        Stopped::Shutdown => "the worker stopped",
    };
    // A lost lease leaves nothing to hand back.
    if why != Stopped::Lost || others.len() > 1 {
        hand_back(shared, &others, words).await;
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let words = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let words: String = words.unwrap_or("no message").chars().take(500).collect();
    Failure::new("panic", format!("the handler panicked: {words}"))
        .with_remedy(Remedy::worker("report this bug of the worker with the worker's log"))
}

/// Writes the end of a run for all jobs that shared it. `about` is the gateway as their document
/// describes it. If it failed, and not because of the gateway, one of the jobs is wrong: each runs
/// again by itself.
async fn complete_all(shared: &ConsumerContext, held: &[LeasedJob], ran: &RunResult, about: &str) {
    let is_of_job = |failure: &Failure| failure.scope != Scope::Gateway;
    if held.len() > 1 && ran.outcome.failure().is_some_and(is_of_job) {
        join_all(held.iter().map(|held| shared.acks.end(held.lease.clone(), apart(ran)))).await;
        return;
    }
    join_all(held.iter().map(|held| {
        let end = shared.settings.retry.dispose(&ran.outcome, held.attempt);
        complete(shared, held, ran, end, about)
    }))
    .await;
}

/// Writes the end of a run for one job.
pub(crate) async fn complete(
    shared: &ConsumerContext,
    job: &LeasedJob,
    ran: &RunResult,
    end: (Disposition, GatewaySignal),
    about: &str,
) {
    let lease = &job.lease;
    match shared.acks.end(lease.clone(), ack(ran, end, about, job.used.as_ref())).await {
        Some(Acked::Completed(state)) => {
            let code = ran.outcome.failure().map(|failure| failure.code.as_str());
            let outcome = ran.outcome.name();
            tracing::debug!(job = lease.0, outcome, %state, code, "job completed");
        }
        Some(Acked::Lost) => {
            tracing::warn!(job = lease.0, token = lease.1, "run ended after its lease was lost");
        }
        None => {}
    }
}

/// Sends the ends of runs to [`write_acks`].
pub(crate) struct Acks(mpsc::UnboundedSender<Pending>);

/// The end of a run, and the channel that reports when it is written.
pub(crate) struct Pending {
    ack: (Lease, Ack),
    written: oneshot::Sender<Option<Acked>>,
}

impl Acks {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Pending>) {
        let (acks, pending) = mpsc::unbounded_channel();
        (Self(acks), pending)
    }

    /// Sends the end of a run and waits until it is written. Returns none if that failed; the lease
    /// then ends by itself.
    async fn end(&self, lease: Lease, ack: Ack) -> Option<Acked> {
        let (written, answer) = oneshot::channel();
        self.0.send(Pending { ack: (lease, ack), written }).ok()?;
        answer.await.ok().flatten()
    }
}

/// Writes the ends of runs, those that have arrived meanwhile in one call.
pub(crate) async fn write_acks(
    shared: Arc<ConsumerContext>,
    mut pending: mpsc::UnboundedReceiver<Pending>,
) {
    let mut some = Vec::new();
    while pending.recv_many(&mut some, MAX_ACKS).await > 0 {
        let (acks, waiting): (Vec<_>, Vec<_>) =
            some.drain(..).map(|pending| (pending.ack, pending.written)).unzip();
        let mut written = write(&shared, &acks).await;
        let failed = written.iter().all(Option::is_none);
        if failed && acks.len() > 1 && *shared.phase.borrow() < Phase::End {
            // The script may have refused one of them.
            written.clear();
            for ack in &acks {
                written.extend(write(&shared, std::slice::from_ref(ack)).await);
            }
        }
        for (waiting, written) in waiting.into_iter().zip(written) {
            // The receiver is gone if the worker was dropped.
            let _ = waiting.send(written);
        }
    }
}

/// The name of the call that writes the ends of runs.
const ACK: &str = "ack";

/// Writes the ends of runs in one call. Returns none for each if that failed.
async fn write(shared: &ConsumerContext, acks: &[(Lease, Ack)]) -> Vec<Option<Acked>> {
    let retry = &shared.settings.retry;
    let ack = || shared.scripts.ack(&shared.worker, retry, acks);
    let written = retry_until_shutdown(shared, ACK, ack).await;
    if written.is_some() {
        shared.claims().succeeded(Step::End);
    }
    written.map_or(vec![None; acks.len()], |acked| acked.into_iter().map(Some).collect())
}

/// Hands back jobs that are not finished; their runs do not count.
pub(crate) async fn hand_back(shared: &ConsumerContext, leases: &[Lease], why: &str) {
    for some in leases.chunks(MAX_ACKS) {
        let release = || shared.scripts.release(&shared.worker, why, some);
        if let Some(released) = retry_until_shutdown(shared, "release", release).await {
            tracing::info!(released, of = some.len(), why, "jobs handed back");
        }
    }
}

/// Calls Redis until it answers. Gives up on an error that retrying does not fix, and shortly after
/// the grace time when the worker stops; the leases then end by themselves.
pub(crate) async fn retry_until_shutdown<T, F>(
    shared: &ConsumerContext,
    what: &str,
    call: impl Fn() -> F,
) -> Option<T>
where
    F: Future<Output = Result<T, QueueError>>,
{
    let answer = async {
        let mut fault = 0;
        loop {
            match call().await {
                Err(error) if error.is_unavailable() => {
                    fault += 1;
                    tracing::warn!(%error, what, fault, "queue unavailable, retrying");
                    sleep(REPEAT.delay(fault)).await;
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
            Err(error) => {
                tracing::error!(%error, what, "queue call failed, left to the lease");
                if what == ACK {
                    shared.claims().failed(Step::End, &error);
                }
            }
        },
        () = over => tracing::error!(what, "shutdown before Redis answered, left to the lease"),
    }
    None
}

//! A worker under apalis for tests, with a handler given as a closure.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis_core::error::WorkerError;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use futures_util::future::BoxFuture;
use mission_core::outcome::GatewayFacts;
use mission_core::{Backoff, Failure, Outcome, Report};
use mission_jobs::queue::{Author, MAX_ENQUEUE};
use mission_jobs::{
    Claimed, Enqueued, Envelope, JobRecord, Queue, RetryPolicy, RunResult, Settings, State,
};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A time that is longer than any test.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A running worker. Dropping it kills it: nothing is drained, nothing handed back.
pub(crate) struct Worker {
    context: WorkerContext,
    task: JoinHandle<Result<(), WorkerError>>,
}

impl Worker {
    pub(crate) fn start<F>(
        queue: &Queue,
        settings: Settings,
        handler: impl Fn(Claimed) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = RunResult> + Send + 'static,
    {
        let context = WorkerContext::new("test");
        let worker = WorkerBuilder::new(&context).backend(queue.consumer(settings)).build(handler);
        Self { context, task: tokio::spawn(worker.run()) }
    }

    /// Asks it to stop; it must have started.
    pub(crate) fn stop(&self) {
        self.context.stop().expect("the worker runs");
    }

    /// Waits for the end after [`Self::stop`].
    pub(crate) async fn ended(mut self) {
        let ended = tokio::time::timeout(Duration::from_secs(30), &mut self.task).await;
        ended.expect("the worker ends").expect("no panic").expect("no error");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the default settings with short delays.
pub(crate) fn brisk() -> Settings {
    let backoff = Backoff::new(Duration::from_millis(2), Duration::from_millis(8)).with_jitter(0.2);
    let retry = RetryPolicy { backoff, ..RetryPolicy::default() };
    Settings { sweep: Duration::from_millis(100), retry, ..Settings::default() }
}

/// Returns [`brisk`] with retries that come after the test.
pub(crate) fn patient() -> Settings {
    let retry = RetryPolicy { backoff: Backoff::new(HOUR, HOUR), ..brisk().retry };
    Settings { retry, ..brisk() }
}

/// Returns [`brisk`] with workers that do not look by themselves: without a wake-up they sleep on.
pub(crate) fn never_looks() -> Settings {
    Settings { sweep: HOUR, lease: 2 * HOUR, ..brisk() }
}

/// Returns [`brisk`] with renewals that come soon.
pub(crate) fn quick_renewal() -> Settings {
    Settings { renew: Duration::from_millis(20), ..brisk() }
}

/// Returns [`brisk`] with leases that end soon.
pub(crate) fn short_lease() -> Settings {
    let lease = Duration::from_millis(400);
    Settings { lease, renew: lease / 8, sweep: lease / 8, ..brisk() }
}

pub(crate) fn done() -> RunResult {
    Outcome::Done(Box::new(Report { summary: "as it should be".to_owned(), ..Report::default() }))
        .into()
}

pub(crate) fn transient() -> RunResult {
    Outcome::Transient(Failure::new("refused", "connection refused")).into()
}

pub(crate) fn permanent() -> RunResult {
    Outcome::Permanent(Failure::new("template_error", "line 3")).into()
}

/// Returns a success that reached the gateway.
pub(crate) fn reached() -> RunResult {
    let gateway =
        GatewayFacts { version: "dev".to_owned(), protocol: 4, ..GatewayFacts::default() };
    Outcome::Done(Box::new(Report { gateway: Some(gateway), ..Report::default() })).into()
}

/// Returns a failure to reach the gateway, which concerns all of its jobs.
pub(crate) fn unreachable() -> RunResult {
    Outcome::Transient(Failure::new("refused", "connection refused").of_gateway()).into()
}

pub(crate) fn by(name: &str) -> Author {
    Author::new(name, "a test")
}

/// Returns the record of a job.
pub(crate) async fn look(queue: &Queue, id: Uuid) -> JobRecord {
    queue.get(id).await.unwrap().unwrap()
}

/// Enqueues any number of jobs.
pub(crate) async fn put_all(queue: &Queue, jobs: &[Envelope]) {
    for some in jobs.chunks(MAX_ENQUEUE) {
        queue.enqueue(some).await.unwrap();
    }
}

pub(crate) async fn put(queue: &Queue, job: &Envelope) -> Enqueued {
    queue.enqueue(std::slice::from_ref(job)).await.unwrap().remove(0)
}

/// Waits until the condition holds, at most about 30 s.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..6000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not in time: {what}");
}

/// Waits until a job is in that state and returns it.
pub(crate) async fn reaches(queue: &Queue, id: Uuid, state: State) -> JobRecord {
    eventually(&format!("job {state}"), async || {
        queue.get(id).await.is_ok_and(|job| job.is_some_and(|job| job.state == state))
    })
    .await;
    queue.get(id).await.unwrap().unwrap()
}

/// Waits for the notification, at most 30 s.
pub(crate) async fn notified(notify: &Notify) {
    tokio::time::timeout(Duration::from_secs(30), notify.notified())
        .await
        .expect("notified in time");
}

/// Reports whether the future that owns it has been dropped.
#[derive(Clone, Default)]
pub(crate) struct DropFlag(pub(crate) Arc<AtomicBool>);

impl DropFlag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Sets the flag when it is dropped.
struct SetOnDrop(DropFlag);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

/// Holds back handlers until the test lets them continue.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
    runs: Arc<AtomicU32>,
}

impl Gate {
    /// Returns a handler that waits at the gate and then ends with this outcome.
    pub(crate) fn handler(
        &self,
        end: fn() -> RunResult,
    ) -> impl Fn(Claimed) -> BoxFuture<'static, RunResult> + Clone + Send + 'static {
        let gate = self.clone();
        move |_| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.runs.fetch_add(1, Ordering::SeqCst);
                gate.begun.notify_one();
                gate.go_on.notified().await;
                end()
            })
        }
    }

    /// Waits until a run has begun.
    pub(crate) async fn begun(&self) {
        notified(&self.begun).await;
    }

    /// Lets one run continue.
    pub(crate) fn open(&self) {
        self.go_on.notify_one();
    }

    /// Returns the number of runs that have begun.
    pub(crate) fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }
}

/// Returns a handler that never ends by itself. It reports its start, and sets the flag when it is
/// stopped.
pub(crate) fn never_ends(
    begun: &Arc<Notify>,
    stopped: &DropFlag,
) -> impl Fn(Claimed) -> BoxFuture<'static, RunResult> + Clone + Send + 'static {
    let (begun, stopped) = (begun.clone(), stopped.clone());
    move |_| {
        let (begun, guard) = (begun.clone(), SetOnDrop(stopped.clone()));
        Box::pin(async move {
            let _guard = guard;
            begun.notify_one();
            std::future::pending().await
        })
    }
}

/// The jobs that handlers received, in the order in which their runs began.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<Vec<Claimed>>>);

impl Runs {
    /// Returns a handler that records its run and ends with this outcome.
    pub(crate) fn handler(
        &self,
        end: impl Fn(&Claimed) -> RunResult + Clone + Send + 'static,
    ) -> impl Fn(Claimed) -> Ready<RunResult> + Clone + Send + 'static {
        let runs = self.clone();
        move |claimed| {
            let ran = end(&claimed);
            runs.0.lock().unwrap().push(claimed);
            ready(ran)
        }
    }

    /// Maps each run to a value.
    pub(crate) fn map<T>(&self, of: impl Fn(&Claimed) -> T) -> Vec<T> {
        self.0.lock().unwrap().iter().map(of).collect()
    }

    /// Returns the ids of the jobs.
    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.map(|claimed| claimed.id)
    }

    /// Returns the agents that the jobs are about.
    pub(crate) fn agents(&self) -> Vec<u128> {
        self.map(|claimed| claimed.job.agent_id().unwrap().as_u128())
    }
}

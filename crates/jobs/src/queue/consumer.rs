//! The queue as an apalis backend.
//!
//! Six things run beside the handlers: `fetch` claims jobs for free slots and sleeps while there
//! are none; `renew` keeps the leases; `beat` tells that the worker lives; `sweep` takes back those
//! of workers that died; `stop` watches for the end; `settle` writes how runs ended, many in one
//! call when many end, and a job's own future waits for that before it finishes. None of them ever
//! gives apalis an error, because an error there ends the worker: a Redis that is away is waited
//! for.
//!
//! Nothing is claimed before a slot is free for it, so a job that waits in Redis can be taken by
//! any worker.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use uuid::Uuid;

use super::completer::{Acks, Pending, SettleLayer};
use super::leases::{self, Leases, Stopped};
use super::scripts::Scripts;
use super::{Queue, completer, fetcher, workers};
use crate::retry::RetryPolicy;
use crate::run::Claimed;
use crate::seal::Keyring;

/// How a worker takes jobs. Set by the operator's configuration; the defaults suit production.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Jobs that run at the same time in this process. At least 1, default 256: they wait
    /// for gateways nearly all of their time.
    pub concurrency: usize,
    /// Jobs of one gateway that run at the same time. At least 1, default 64: what they want of its
    /// config is one write.
    pub lane_concurrency: usize,
    /// How long a job is this worker's without renewal. Default 20 s.
    pub lease: Duration,
    /// How often leases are renewed. At most a quarter of `lease`, default 5 s.
    pub renew: Duration,
    /// How often lost leases are looked for, and the longest that an idle worker sleeps. At most a
    /// quarter of `lease`, default 5 s.
    pub sweep: Duration,
    /// How long running jobs may take to finish when the worker stops, before they are handed back.
    /// Default 25 s.
    pub grace: Duration,
    /// How long jobs wait, and for how long at most.
    pub retry: RetryPolicy,
    /// How long, and how many, done, superseded and cancelled jobs are kept: each 7 days and 10,000
    /// by default.
    pub keep_ended: Keep,
    /// The same for dead jobs: 30 days and 10,000 by default.
    pub keep_dead: Keep,
}

/// What is kept of the jobs that have ended; the rest is removed, oldest first, in small steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// For how long.
    pub age: Duration,
    /// How many at most.
    pub count: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 256,
            lane_concurrency: 64,
            lease: Duration::from_secs(20),
            renew: Duration::from_secs(5),
            sweep: Duration::from_secs(5),
            grace: Duration::from_secs(25),
            retry: RetryPolicy::default(),
            keep_ended: Keep { age: Duration::from_secs(7 * 24 * 3600), count: 10_000 },
            keep_dead: Keep { age: Duration::from_secs(30 * 24 * 3600), count: 10_000 },
        }
    }
}

/// The source of jobs for one apalis worker: give it to `WorkerBuilder::backend`.
///
/// A handler takes a [`Claimed`] and returns a [`RunResult`](crate::RunResult). When the worker is told to
/// stop, nothing more is claimed; running jobs get [`Settings::grace`] to finish and are then
/// cancelled and handed back uncounted.
#[must_use = "a consumer does nothing until an apalis worker runs it"]
pub struct Consumer {
    queue: Queue,
    settings: Settings,
    shared: Option<Arc<Shared>>,
    /// The ends of runs, for the task that writes them.
    pending: Option<mpsc::UnboundedReceiver<Pending>>,
    running: Option<Running>,
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Running {
    claimed: mpsc::UnboundedReceiver<Task<Claimed>>,
    /// Ended when the consumer is dropped.
    _tasks: JoinSet<()>,
}

/// What the tasks of one worker share.
pub(super) struct Shared {
    pub(super) scripts: Arc<Scripts>,
    pub(super) keyring: Arc<Keyring>,
    /// This worker's name to the queue: apalis's name for it and a random part, because a name that
    /// comes back after a restart must not own what the process before it had.
    pub(super) worker: String,
    pub(super) settings: Settings,
    pub(super) leases: Leases,
    pub(super) acks: Acks,
    pub(super) slots: Arc<Semaphore>,
    pub(super) phase: watch::Sender<Phase>,
    /// Whether a person wants it to take no more jobs.
    pub(super) drained: watch::Sender<bool>,
}

/// How far the worker is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Jobs are claimed and run.
    Work,
    /// No more are claimed; running ones go on.
    Drain,
    /// The grace time is over: nothing is waited for any more.
    End,
}

impl Shared {
    /// Waits until the worker is that far.
    pub(super) async fn reaches(&self, phase: Phase) {
        // The sender is in `self`, so it is there.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    pub(super) fn proceed_to(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            *now < phase && {
                *now = phase;
                true
            }
        });
    }
}

impl Consumer {
    pub(super) fn new(queue: Queue, settings: Settings) -> Self {
        Self { queue, settings, shared: None, pending: None, running: None, closing: None }
    }

    fn shared(&self) -> Arc<Shared> {
        self.shared.clone().expect("apalis asks for the middleware before it polls")
    }

    /// The tasks begin with the first poll, because only then there is surely a runtime.
    fn running(&mut self, context: &WorkerContext) -> &mut Running {
        let shared = self.shared();
        let pending = &mut self.pending;
        self.running.get_or_insert_with(|| {
            let (out, claimed) = mpsc::unbounded_channel();
            let mut tasks = JoinSet::new();
            tasks.spawn(fetcher::fetch(shared.clone(), out));
            tasks.spawn(leases::renew(shared.clone()));
            tasks.spawn(completer::write_acks(
                shared.clone(),
                pending.take().expect("made with the middleware"),
            ));
            tasks.spawn(sweep(shared.clone()));
            tasks.spawn(workers::heartbeat(shared.clone()));
            tasks.spawn(stop(shared, context.clone()));
            Running { claimed, _tasks: tasks }
        })
    }
}

/// Takes back lost leases and makes due jobs ready, also while this worker has no slot free.
async fn sweep(shared: Arc<Shared>) {
    let mut ticks = interval(shared.settings.sweep);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = shared.scripts.claim(&shared.worker, 0, &shared.settings).await {
            tracing::warn!(%error, "cannot look for lost leases");
        }
    }
}

/// Begins the end when apalis does. It tells a backend only after the last handler has finished,
/// and offers nothing to wait on; looking costs one load.
async fn stop(shared: Arc<Shared>, context: WorkerContext) {
    let mut ticks = interval(Duration::from_millis(50));
    while !context.is_shutting_down() {
        ticks.tick().await;
    }
    shared.proceed_to(Phase::Drain);
    sleep(shared.settings.grace).await;
    shared.proceed_to(Phase::End);
    shared.leases.stop_all(Stopped::Shutdown);
}

/// After the last handler: waits for a claim on its way, and hands back what no handler got.
async fn close(shared: Arc<Shared>, mut running: Running) {
    shared.proceed_to(Phase::Drain);
    while running.claimed.recv().await.is_some() {}
    completer::hand_back(&shared, &shared.leases.all(), "the worker stopped before the job began")
        .await;
    drop(running);
    workers::deregister(&shared).await;
}

impl Backend for Consumer {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        context: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        self.running(context);
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        context: &WorkerContext,
    ) -> Poll<Option<Result<Task<Claimed>, Infallible>>> {
        self.running(context).claimed.poll_recv(cx).map(|task| task.map(Ok))
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        if let Some(running) = self.running.take() {
            self.closing = Some(Box::pin(close(self.shared(), running)));
        }
        match &mut self.closing {
            Some(closing) => closing.as_mut().poll(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl BackendConfig for Consumer {
    type Args = Claimed;
    type Id = Uuid;
    type Kind = Ephemeral;
    type Config = Settings;
    type Layer = SettleLayer;

    fn config(&self) -> &Settings {
        &self.settings
    }

    fn middleware(&mut self, context: &mut WorkerContext) -> SettleLayer {
        let (acks, pending) = Acks::new();
        self.pending = Some(pending);
        let random = Uuid::now_v7().simple().to_string();
        let shared = Arc::new(Shared {
            scripts: self.queue.scripts.clone(),
            keyring: self.queue.keyring.clone(),
            worker: format!("{}-{}", context.name(), &random[24..]),
            settings: self.settings.clone(),
            leases: Leases::default(),
            acks,
            slots: Arc::new(Semaphore::new(self.settings.concurrency.max(1))),
            phase: watch::Sender::new(Phase::Work),
            drained: watch::Sender::new(false),
        });
        self.shared = Some(shared.clone());
        SettleLayer::new(shared)
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("queue", &self.queue)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

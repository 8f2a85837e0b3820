//! The queue as an apalis backend.
//!
//! Six tasks run beside the handlers: `fetch` claims jobs for free slots and sleeps while there are
//! none; `renew` keeps the leases; `heartbeat` reports that the worker is alive; `sweep` takes back
//! the leases of workers that died; `stop` waits for the shutdown; `write_acks` writes the ends of
//! runs, many in one call when many runs end. The future of a job waits for its acknowledgement
//! before it finishes. None of these tasks ever returns an error to apalis, because that would end
//! the worker. They wait until Redis is back.
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
use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use uuid::Uuid;

use super::completer::{self, Acks, CompleterLayer, Pending};
use super::context::{ConsumerContext, Phase};
use super::leases::{self, Leases, Stopped};
use super::settings::Settings;
use super::sweeper::sweep;
use super::{fetcher, workers};
use crate::queue::Queue;
use crate::queue::redis::scripts::Scripts;
use crate::run::Claimed;

/// The source of jobs for one apalis worker, to be passed to `WorkerBuilder::backend`.
///
/// A handler takes a [`Claimed`] and returns a [`RunResult`](crate::RunResult). When the worker is
/// asked to stop, nothing more is claimed. Running jobs get [`Settings::grace`] to finish, and are
/// then cancelled and handed back uncounted.
#[must_use = "a consumer does nothing until an apalis worker runs it"]
pub struct Consumer {
    queue: Queue,
    settings: Settings,
    /// The contexts of all shards.
    shared: Arc<[Arc<ConsumerContext>]>,
    /// Receive the ends of runs of each shard; the completers take them over when they start.
    pending: Vec<mpsc::UnboundedReceiver<Pending>>,
    running: Option<Running>,
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Running {
    claimed: mpsc::UnboundedReceiver<Task<Claimed>>,
    /// The tasks, which are aborted when the consumer is dropped.
    _tasks: JoinSet<()>,
}

impl Consumer {
    pub(crate) fn new(queue: Queue, settings: Settings) -> Self {
        Self {
            queue,
            settings,
            shared: Arc::new([]),
            pending: Vec::new(),
            running: None,
            closing: None,
        }
    }

    /// Starts the tasks with the first poll, because only then a runtime is sure to exist.
    fn running(&mut self, context: &WorkerContext) -> &mut Running {
        let (shared, pending) = (&self.shared, &mut self.pending);
        assert!(!shared.is_empty(), "apalis asks for the middleware before it polls");
        self.running.get_or_insert_with(|| {
            let (out, claimed) = mpsc::unbounded_channel();
            let mut tasks = JoinSet::new();
            for (shard, pending) in shared.iter().zip(pending.drain(..)) {
                tasks.spawn(fetcher::fetch(shard.clone(), out.clone()));
                tasks.spawn(leases::renew(shard.clone()));
                tasks.spawn(completer::write_acks(shard.clone(), pending));
                tasks.spawn(sweep(shard.clone()));
                tasks.spawn(workers::heartbeat(shard.clone()));
            }
            tasks.spawn(stop(shared.clone(), context.clone()));
            Running { claimed, _tasks: tasks }
        })
    }
}

/// Begins the shutdown when apalis does. apalis informs a backend only after the last handler has
/// finished and offers nothing to wait on, so this polls; each poll costs one atomic load.
async fn stop(shared: Arc<[Arc<ConsumerContext>]>, context: WorkerContext) {
    let first = &shared[0];
    let mut ticks = interval(Duration::from_millis(50));
    while !context.is_shutting_down() {
        ticks.tick().await;
    }
    first.proceed_to(Phase::Drain);
    sleep(first.settings.grace).await;
    first.proceed_to(Phase::End);
    shared.iter().for_each(|shard| shard.leases.stop_all(Stopped::Shutdown));
}

/// Ends the backend after the last handler: waits for claims that are on their way, and hands back
/// the jobs that no handler received.
async fn close(shared: Arc<[Arc<ConsumerContext>]>, mut running: Running) {
    shared[0].proceed_to(Phase::Drain);
    while running.claimed.recv().await.is_some() {}
    let why = "the worker stopped before the job began";
    join_all(shared.iter().map(|shard| async move {
        completer::hand_back(shard, &shard.leases.all(), why).await;
    }))
    .await;
    drop(running);
    join_all(shared.iter().map(|shard| workers::deregister(shard))).await;
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
            self.closing = Some(Box::pin(close(self.shared.clone(), running)));
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
    type Layer = CompleterLayer;

    fn config(&self) -> &Settings {
        &self.settings
    }

    fn middleware(&mut self, context: &mut WorkerContext) -> CompleterLayer {
        let random = Uuid::now_v7().simple().to_string();
        let worker = format!("{}-{}", context.name(), &random[24..]);
        let slots = Arc::new(Semaphore::new(self.settings.concurrency.max(1)));
        let (unproven, phase) = (Arc::default(), Arc::new(watch::Sender::new(Phase::Work)));
        let drained = Arc::new(watch::Sender::new(false));
        let ended = Arc::<Notify>::default();
        let shards = self.queue.shards.all();
        let all_leases: Arc<[_]> = shards.iter().map(|_| Arc::<Leases>::default()).collect();
        let context = |(shard, scripts): (usize, &Arc<Scripts>)| {
            let (acks, pending) = Acks::new();
            self.pending.push(pending);
            Arc::new(ConsumerContext {
                shard,
                scripts: scripts.clone(),
                shards: self.queue.shards.clone(),
                keyring: self.queue.keyring.clone(),
                worker: worker.clone(),
                settings: self.settings.clone(),
                leases: all_leases[shard].clone(),
                all_leases: all_leases.clone(),
                acks,
                slots: slots.clone(),
                ended: ended.clone(),
                unproven: Arc::clone(&unproven),
                phase: phase.clone(),
                drained: drained.clone(),
                all_claims: self.queue.claims.clone(),
            })
        };
        self.shared = shards.iter().enumerate().map(context).collect();
        CompleterLayer::new(self.shared.clone())
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

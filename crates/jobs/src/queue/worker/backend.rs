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
use tokio::sync::{Semaphore, mpsc, watch};
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
    shared: Option<Arc<ConsumerContext>>,
    /// Receives the ends of runs; the completer takes it over when it starts.
    pending: Option<mpsc::UnboundedReceiver<Pending>>,
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
        Self { queue, settings, shared: None, pending: None, running: None, closing: None }
    }

    fn shared(&self) -> Arc<ConsumerContext> {
        self.shared.clone().expect("apalis asks for the middleware before it polls")
    }

    /// Starts the tasks with the first poll, because only then a runtime is sure to exist.
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

/// Begins the shutdown when apalis does. apalis informs a backend only after the last handler has
/// finished and offers nothing to wait on, so this polls; each poll costs one atomic load.
async fn stop(shared: Arc<ConsumerContext>, context: WorkerContext) {
    let mut ticks = interval(Duration::from_millis(50));
    while !context.is_shutting_down() {
        ticks.tick().await;
    }
    shared.proceed_to(Phase::Drain);
    sleep(shared.settings.grace).await;
    shared.proceed_to(Phase::End);
    shared.leases.stop_all(Stopped::Shutdown);
}

/// Ends the backend after the last handler: waits for a claim that is on its way, and hands back
/// the jobs that no handler received.
async fn close(shared: Arc<ConsumerContext>, mut running: Running) {
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
    type Layer = CompleterLayer;

    fn config(&self) -> &Settings {
        &self.settings
    }

    fn middleware(&mut self, context: &mut WorkerContext) -> CompleterLayer {
        let (acks, pending) = Acks::new();
        self.pending = Some(pending);
        let random = Uuid::now_v7().simple().to_string();
        let shared = Arc::new(ConsumerContext {
            scripts: self.queue.scripts.clone(),
            keyring: self.queue.keyring.clone(),
            worker: format!("{}-{}", context.name(), &random[24..]),
            settings: self.settings.clone(),
            leases: Leases::default(),
            acks,
            slots: Arc::new(Semaphore::new(self.settings.concurrency.max(1))),
            unproven: Arc::default(),
            phase: watch::Sender::new(Phase::Work),
            drained: watch::Sender::new(false),
            claims: self.queue.claims.clone(),
        });
        self.shared = Some(shared.clone());
        CompleterLayer::new(shared)
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

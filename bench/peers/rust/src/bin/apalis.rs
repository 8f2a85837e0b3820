//! The peer `apalis-redis`, the storage of apalis in Redis.

use std::time::Duration;

use apalis::prelude::{BackendExt, TaskSink, WorkerBuilder, WorkerBuilderExt, WorkerError};
use apalis_redis::{Config, RedisStorage, connect};
use mission_peers::{Peer, serve};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The interval at which an idle worker looks for jobs. It needs one, because this version adds
/// jobs as scheduled ones, which wake no worker.
const POLL: Duration = Duration::from_millis(100);
/// An interval that is longer than any measurement.
const NEVER: Duration = Duration::from_secs(3600);

struct Apalis {
    storage: RedisStorage<Value>,
    counted: bool,
}

impl Peer for Apalis {
    async fn connect(socket: &str, counted: bool) -> anyhow::Result<Self> {
        let storage = RedisStorage::new(connect(format!("redis+unix://{socket}")).await?)
            .with_config(Config::default().queue("bench"));
        Ok(Self { storage, counted })
    }

    async fn one(&mut self, job: Value) -> anyhow::Result<()> {
        Ok(self.storage.push(job).await?)
    }

    async fn many(&mut self, jobs: Vec<Value>) -> anyhow::Result<()> {
        Ok(self.storage.push_bulk(jobs).await?)
    }

    fn start(
        &mut self,
        concurrency: usize,
        stop: CancellationToken,
        begun: impl Fn() + Clone + Send + Sync + 'static,
    ) -> JoinHandle<anyhow::Result<()>> {
        let mut config = self.storage.get_config().clone().batch_size(concurrency);
        let mut poll = POLL;
        if self.counted {
            config = config.heartbeat_interval(NEVER);
            poll = NEVER;
        }
        let worker = WorkerBuilder::new("bench")
            .backend(self.storage.clone().with_config(config).poll_with_interval(poll))
            .concurrency(concurrency)
            .build(move |_: Value| {
                begun();
                std::future::ready(())
            });
        let stopped = async move {
            stop.cancelled().await;
            Ok::<_, WorkerError>(())
        };
        tokio::spawn(async move { Ok(worker.run_until(stopped).await?) })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    serve::<Apalis>().await
}

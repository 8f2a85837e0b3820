//! The peer ChasquiMQ, a queue on a stream of Redis 8.6.

use bytes::Bytes;
use chasquimq::{Consumer, ConsumerConfig, Job, Producer, ProducerConfig};
use mission_peers::{Peer, serve};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An interval that is longer than any measurement, in milliseconds.
const NEVER: u64 = 3_600_000;

struct ChasquiMq {
    url: String,
    producer: Producer<Value>,
    counted: bool,
}

impl Peer for ChasquiMq {
    async fn connect(socket: &str, counted: bool) -> anyhow::Result<Self> {
        let url = format!("redis+unix://{socket}");
        let config = ProducerConfig { queue_name: "bench".to_owned(), ..ProducerConfig::default() };
        let producer = Producer::connect(&url, config).await?;
        Ok(Self { url, producer, counted })
    }

    async fn one(&mut self, job: Value) -> anyhow::Result<()> {
        self.producer.add(job).await?;
        Ok(())
    }

    async fn many(&mut self, jobs: Vec<Value>) -> anyhow::Result<()> {
        self.producer.add_bulk(jobs).await?;
        Ok(())
    }

    fn start(
        &mut self,
        concurrency: usize,
        stop: CancellationToken,
        begun: impl Fn() + Clone + Send + Sync + 'static,
    ) -> JoinHandle<anyhow::Result<()>> {
        let queue_name = "bench".to_owned();
        let mut config = ConsumerConfig { queue_name, concurrency, ..ConsumerConfig::default() };
        if self.counted {
            config.claim_min_idle_ms = NEVER;
            config.delayed_poll_interval_ms = NEVER;
            config.scheduler.tick_interval_ms = NEVER;
        }
        let consumer = Consumer::new(&self.url, config);
        let handler = move |_: Job<Value>| {
            begun();
            std::future::ready(Ok(Bytes::new()))
        };
        tokio::spawn(async move { Ok(consumer.run(handler, stop).await?) })
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    serve::<ChasquiMq>().await
}

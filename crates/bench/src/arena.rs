//! The arena of a measurement: a private Redis in a temporary directory that is deleted afterwards.

use std::collections::HashMap;

use anyhow::{Context, anyhow};
use mission_jobs::Queue;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, cmd};
use tempfile::TempDir;
use tokio::select;

use super::children::Launch;
use super::{Bench, process};
use crate::error::OrFail;
use mission_jobs::private_redis::{PrivateRedis, RedisRole};

/// A private Redis for one measurement.
pub struct Arena {
    /// The temporary directory.
    pub dir: TempDir,
    /// Makes the command that starts a worker process.
    pub launch: Launch,
    /// The url of the Redis.
    pub url: String,
    redis: Option<PrivateRedis>,
    connection: MultiplexedConnection,
    /// The queue, which is empty at first.
    pub queue: Queue,
}

/// The resources that a Redis and this process have used since they started.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// The CPU time of Redis in microseconds.
    pub redis_us: f64,
    /// The CPU time of this process in microseconds.
    pub own_us: f64,
    /// The number of script calls.
    pub scripts: f64,
}

impl Arena {
    /// Measures in an arena, and removes it also after an error and when the user stops the
    /// program.
    pub async fn with<T>(
        bench: &Bench,
        measure: impl AsyncFnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut stopping = bench.stopping.clone();
        let mut arena = Self::open(bench.launch).await?;
        let measured = select! {
            measured = measure(&mut arena) => measured,
            _ = stopping.wait_for(|stop| *stop) => Err(anyhow!("stopped before the end")),
        };
        arena.stop_redis().await;
        measured
    }

    async fn open(launch: Launch) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("worker-bench-")
            .tempdir()
            .context("temporary directory")
            .or_setup()?;
        let redis = PrivateRedis::open(dir.path(), RedisRole::Worker).await.or_setup()?;
        let url = redis.url();
        let client = redis::Client::open(url.as_str())?;
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connection =
            client.get_multiplexed_async_connection_with_config(&config).await.or_unreachable()?;
        let queue = Queue::open(&url, "bench").or_setup()?;
        Ok(Self { dir, launch, url, redis: Some(redis), connection, queue })
    }

    /// Stops the Redis for good.
    pub async fn stop_redis(&mut self) {
        if let Some(redis) = self.redis.take() {
            redis.close().await;
        }
    }

    /// Removes all jobs from the Redis.
    pub async fn clear(&self) -> anyhow::Result<()> {
        self.command(&["FLUSHALL", "SYNC"]).await
    }

    /// Sends a command to the Redis.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command
            .query_async(&mut self.connection.clone())
            .await
            .with_context(|| words.join(" "))
            .or_unreachable()
    }

    /// Returns a section of `INFO`.
    pub async fn info(&self, section: &str) -> anyhow::Result<HashMap<String, String>> {
        let text: String = self.command(&["INFO", section]).await?;
        let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
        Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns the memory that the Redis uses for data, in bytes.
    pub async fn memory(&self) -> anyhow::Result<f64> {
        Ok(number(&self.info("memory").await?, "used_memory"))
    }

    /// Returns the resources that were used so far.
    pub async fn usage(&self) -> anyhow::Result<Usage> {
        let cpu = self.info("cpu").await?;
        let seconds = number(&cpu, "used_cpu_user") + number(&cpu, "used_cpu_sys");
        let commands = self.info("commandstats").await?;
        let calls = commands
            .get("cmdstat_fcall")
            .and_then(|stats| stats.split(',').find_map(|stat| stat.strip_prefix("calls=")));
        let own = process::cpu(std::process::id())?;
        Ok(Usage {
            redis_us: seconds * 1e6,
            own_us: own.as_secs_f64() * 1e6,
            scripts: calls.and_then(|calls| calls.parse().ok()).unwrap_or_default(),
        })
    }
}

fn number(info: &HashMap<String, String>, name: &str) -> f64 {
    info.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
}

//! The queue that a command works on, and the private Redis behind it where there is one.

use mission_jobs::Queue;
use secrecy::ExposeSecret;

use crate::exit::{Exit, OrExit};
use crate::private_redis::{PrivateRedis, RedisRole};
use crate::settings::Settings;

/// An open queue.
pub struct Store {
    /// The queue.
    pub queue: Queue,
    redis: Option<PrivateRedis>,
}

impl Store {
    /// Opens the queue of the settings. Does not wait for a Redis that is not this process's.
    pub async fn open(settings: &Settings, purpose: RedisRole) -> Result<Self, Exit> {
        let redis = match &settings.redis_url {
            Some(_) => None,
            None => Some(PrivateRedis::open(&settings.data_dir, purpose).await.or_usage()?),
        };
        let given = settings.redis_url.as_ref().map(|url| url.expose_secret().to_owned());
        let url =
            given.or_else(|| redis.as_ref().map(PrivateRedis::url)).expect("one of them is there");
        match Queue::open_with(&url, &settings.queue, settings.redis_tls.clone()).or_usage() {
            Ok(queue) => Ok(Self { queue: queue.with_keys(settings.keyring.clone()), redis }),
            Err(exit) => {
                close(redis).await;
                Err(exit)
            }
        }
    }

    /// Where the Redis is, if it is a private one.
    pub fn private_url(&self) -> Option<String> {
        self.redis.as_ref().map(PrivateRedis::url)
    }

    /// Stops a private Redis that this process started.
    pub async fn close(self) {
        close(self.redis).await;
    }
}

async fn close(redis: Option<PrivateRedis>) {
    if let Some(redis) = redis {
        redis.close().await;
    }
}

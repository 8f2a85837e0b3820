//! Opens the queue for a command, with a private Redis behind it if none is configured.

use mission_jobs::Queue;
use secrecy::ExposeSecret;

use crate::exit::{Exit, OrExit};
use crate::settings::Settings;
use mission_jobs::private_redis::{PrivateRedis, RedisRole};

/// An open queue, and its private Redis if it has one.
pub struct Store {
    pub queue: Queue,
    redis: Option<PrivateRedis>,
}

impl Store {
    /// Opens the queue. Waits for a private Redis to start, but not for a configured one.
    pub async fn open(settings: &Settings, role: RedisRole) -> Result<Self, Exit> {
        let redis = match &settings.redis_url {
            Some(_) => None,
            None => Some(PrivateRedis::open(&settings.data_dir, role).await.or_usage()?),
        };
        let given = settings.redis_url.as_ref().map(|url| url.expose_secret().to_owned());
        let url = given
            .or_else(|| redis.as_ref().map(PrivateRedis::url))
            .expect("a URL or a private Redis");
        match Queue::open_with(&url, &settings.queue, settings.redis_tls.clone()).or_usage() {
            Ok(queue) => Ok(Self { queue: queue.with_keys(settings.keyring.clone()), redis }),
            Err(exit) => {
                close(redis).await;
                Err(exit)
            }
        }
    }

    /// Returns the URL of the private Redis, if there is one.
    pub fn private_url(&self) -> Option<String> {
        self.redis.as_ref().map(PrivateRedis::url)
    }

    /// Stops the private Redis if this process started it.
    pub async fn close(self) {
        close(self.redis).await;
    }
}

async fn close(redis: Option<PrivateRedis>) {
    if let Some(redis) = redis {
        redis.close().await;
    }
}

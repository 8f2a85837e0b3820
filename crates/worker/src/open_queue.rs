//! Opens the queue for a command, with a private Redis behind it if none is configured.

use mission_jobs::{Queue, Tls};
use secrecy::ExposeSecret;

use crate::exit::{Exit, OrExit};
use crate::settings::Settings;
use mission_jobs::private_redis::{PrivateRedis, RedisRole};

/// An open queue, and the URL of its private Redis if it has one.
pub struct Store {
    pub queue: Queue,
    pub private_url: Option<String>,
}

/// Runs a command with an open queue. Waits for a private Redis to start, but not for a configured
/// one, and afterwards stops a private Redis that this process started.
pub async fn with_store<T>(
    settings: &Settings,
    role: RedisRole,
    command: impl AsyncFnOnce(&Store) -> Result<T, Exit>,
) -> Result<T, Exit> {
    let redis = match &settings.redis_url {
        Some(_) => None,
        None => Some(PrivateRedis::open(&settings.data_dir, role).await.or_usage()?),
    };
    let private_url = redis.as_ref().map(PrivateRedis::url);
    let result = match open(settings, private_url) {
        Ok(store) => command(&store).await,
        Err(exit) => Err(exit),
    };
    if let Some(redis) = redis {
        redis.close().await;
    }
    result
}

fn open(settings: &Settings, private_url: Option<String>) -> Result<Store, Exit> {
    let configured = settings.redis_url.as_ref().map(ExposeSecret::expose_secret);
    let url = configured.or(private_url.as_deref()).expect("a URL or a private Redis");
    let tls = Tls {
        ca_file: settings.redis_ca_file.clone(),
        cert_file: settings.redis_cert_file.clone(),
        key_file: settings.redis_key_file.clone(),
    };
    let queue = Queue::open_with(url, &settings.queue, tls).or_usage()?;
    let queue = queue.with_shards(settings.shards).or_usage()?;
    Ok(Store { queue: queue.with_keys(settings.keyring.clone()), private_url })
}

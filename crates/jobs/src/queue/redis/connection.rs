//! A connection to Redis that reconnects.
//!
//! The client library's own connection manager gives up for good after some kinds of refusal, such
//! as a wrong password that is corrected later. Here every call that finds no connection tries to
//! make one, and the callers decide how often they call. Each attempt starts from the url: it asks
//! the Sentinels for the master or the cluster for its map, and reads the files again.

mod address;
mod live;

use std::sync::Arc;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, FromRedisValue,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::queue::error::{QueueError, condition};
use crate::queue::redis::counters::{Counters, count};
use crate::queue::redis::tls::Tls;
use address::{Address, is_tls};
pub(crate) use live::Live;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time to connect to one node of a cluster. A client connects to all nodes before it
/// serves its first request, and to those that are away with each new map of the slots, so a node
/// that hangs delays the others by this time.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time to wait for an answer. A loaded Redis may need some time, but a dead connection
/// must not hold a worker for ever.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The number of times that one call follows a cluster which moves its slots or changes a master,
/// and the shortest and longest pause in between, in ms.
const CLUSTER_RETRIES: u32 = 4;
const CLUSTER_PAUSE_MS: (u64, u64) = (50, 500);

/// A connection that all its users share; requests are pipelined.
pub(crate) struct Connection {
    target: Arc<RedisTarget>,
    pub(crate) counters: Arc<Counters>,
    response_timeout: Option<Duration>,
    current: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Counts connections, so that the failure of an old one does not end a new one.
    number: u64,
    connection: Option<Live>,
}

impl Connection {
    /// Checks the url and the files. The first call connects.
    pub(crate) fn open(url: &str, tls: Tls) -> Result<Self, QueueError> {
        // This fails only if a provider is already installed, which is just as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let target = Arc::new(RedisTarget::open(url, tls)?);
        let (counters, current) = (Arc::default(), Mutex::default());
        Ok(Self { target, counters, response_timeout: Some(RESPONSE_TIMEOUT), current })
    }

    /// Returns another connection to the same Redis for commands that block; the caller limits the
    /// time.
    pub(crate) fn for_blocking(&self) -> Self {
        let (target, counters) = (self.target.clone(), self.counters.clone());
        Self { target, counters, response_timeout: None, current: Mutex::default() }
    }

    /// Returns another connection to the same Redis, for requests that must not delay others.
    pub(crate) fn another(&self) -> Self {
        Self { response_timeout: self.response_timeout, ..self.for_blocking() }
    }

    /// Returns the connection for another shard of the same queue. In a cluster it is one of its
    /// own, because a client that waits for a node that hangs serves no other node meanwhile.
    pub(crate) fn for_shard(self: &Arc<Self>) -> Arc<Self> {
        match self.target.address {
            Address::Cluster(_) => Arc::new(self.another()),
            Address::Server(_) | Address::Sentinel { .. } => Arc::clone(self),
        }
    }

    /// Makes a request, after connecting if there is no connection. Drops the connection if it
    /// turns out to be broken.
    pub(crate) async fn request<T>(
        &self,
        ask: impl AsyncFnOnce(Live) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let (number, connection) = self.current().await?;
        self.check(number, ask(connection).await).await
    }

    /// Sends a command named `name` that waits for up to this time, for the caller `what`.
    pub(crate) async fn block<T: FromRedisValue>(
        &self,
        what: &'static str,
        name: &str,
        command: &Cmd,
        wait: Duration,
    ) -> Result<T, QueueError> {
        let unavailable = |error| QueueError::from_redis(what, &error);
        let (number, mut connection) = self.current().await.map_err(unavailable)?;
        let answer = timeout(wait + RESPONSE_TIMEOUT, command.query_async(&mut connection)).await;
        let Ok(answer) = answer else {
            count(&self.counters.redis_errors, 1);
            self.forget(number).await;
            let reason = format!("no answer to {name}");
            let remedy = crate::queue::error::remedy(None);
            return Err(QueueError::Unavailable { command: what, reason, remedy });
        };
        self.check(number, answer).await.map_err(unavailable)
    }

    async fn check<T>(&self, number: u64, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result {
            count(&self.counters.redis_errors, 1);
            if !is_answer(error) {
                self.forget(number).await;
            }
        }
        result
    }

    /// Drops the current connection if it still has this number.
    async fn forget(&self, number: u64) {
        let mut slot = self.current.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }

    /// Returns the connection and its number; connects if there is none.
    async fn current(&self) -> RedisResult<(u64, Live)> {
        let mut slot = self.current.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.number, connection.clone()));
        }
        let connection = self
            .target
            .connect(self.response_timeout)
            .await
            .inspect_err(|_| count(&self.counters.redis_errors, 1))?;
        count(&self.counters.redis_connections, 1);
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.number, connection))
    }
}

/// The address of Redis, and the files to connect with.
struct RedisTarget {
    address: Address,
    tls: Tls,
}

/// The client of the library for the kind of address.
enum Connector {
    Server(Client),
    Sentinel(SentinelClient),
    Cluster(ClusterClient),
}

impl RedisTarget {
    fn open(url: &str, tls: Tls) -> Result<Self, QueueError> {
        let address = Address::parse(url).map_err(|reason| QueueError::Url { reason })?;
        if tls != Tls::default() && !address.is_tls() {
            return Err(QueueError::Tls {
                reason: "they need a url that begins with rediss".to_owned(),
            });
        }
        tls.read().map_err(|error| QueueError::Tls { reason: error.to_string() })?;
        let target = Self { address, tls };
        target.connector(None).map_err(|error| QueueError::Tls { reason: error.to_string() })?;
        Ok(target)
    }

    async fn connect(&self, response_timeout: Option<Duration>) -> RedisResult<Live> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(response_timeout);
        Ok(match self.connector(response_timeout)? {
            Connector::Server(client) => {
                Live::Server(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
            Connector::Sentinel(mut client) => {
                Live::Server(client.get_async_connection_with_config(&config).await?)
            }
            Connector::Cluster(client) => Live::Cluster(client.get_async_connection().await?),
        })
    }

    fn connector(&self, response_timeout: Option<Duration>) -> RedisResult<Connector> {
        let certificates = self.tls.read()?;
        Ok(match &self.address {
            Address::Server(info) => Connector::Server(match certificates {
                Some(certificates) => Client::build_with_tls(info.clone(), certificates)?,
                None => Client::open(info.clone())?,
            }),
            Address::Sentinel { sentinels, master, redis } => {
                Connector::Sentinel(sentinel(sentinels, master, redis, certificates)?)
            }
            Address::Cluster(nodes) => {
                Connector::Cluster(cluster(nodes, certificates, response_timeout)?)
            }
        })
    }
}

fn sentinel(
    sentinels: &[ConnectionInfo],
    master: &str,
    redis: &RedisConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels.iter().map(|info| info.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?;
    let own = sentinels[0].redis_settings();
    if let Some(username) = own.username() {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = own.password() {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(username) = redis.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = redis.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    builder = builder.set_client_to_redis_db(redis.db());
    if is_tls(&sentinels[0]) {
        builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder.set_client_to_sentinel_certificates(certificates.clone());
        builder = builder.set_client_to_redis_certificates(certificates);
    }
    builder.build()
}

fn cluster(
    nodes: &[ConnectionInfo],
    certificates: Option<TlsCertificates>,
    response_timeout: Option<Duration>,
) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClientBuilder::new(nodes.to_vec())
        .connection_timeout(NODE_TIMEOUT)
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(CLUSTER_PAUSE_MS.0)
        .max_retry_wait(CLUSTER_PAUSE_MS.1);
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    if let Some(timeout) = response_timeout {
        builder = builder.response_timeout(timeout);
    }
    builder.build()
}

/// Returns whether an error is an answer of the right server, so that the connection is good. A
/// server that has become a replica, or has lost its own replicas, answers too, but then the
/// address must be looked up again.
pub(crate) fn is_answer(error: &RedisError) -> bool {
    condition(error)
        .or_else(|| error.code())
        .is_some_and(|code| !matches!(code, "READONLY" | "NOREPLICAS" | "UNBLOCKED"))
        || error.kind() == ErrorKind::UnexpectedReturnType
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn a_server_that_cannot_be_the_master_is_dropped() {
        let answered = |code: &str| is_answer(&make_extension_error(code.to_owned(), None));
        let wrapped = |words: &str| {
            is_answer(&make_extension_error("ERR".to_owned(), Some(words.to_owned())))
        };
        for code in ["NOREPLICAS", "UNBLOCKED"] {
            assert!(!answered(code), "{code}");
            assert!(!wrapped(&format!("{code} words")), "{code}");
        }
        for words in ["READONLY You can't write", "READONLY: no", "-READONLY no"] {
            assert!(!wrapped(words), "{words}");
        }
        assert!(wrapped("no READONLY here") && wrapped("OOM command not allowed"));
        assert!(answered("OOM"));
    }
}

//! One connection to Redis that makes itself anew.
//!
//! The client library's own manager gives up for good after some kinds of refusal (a wrong password
//! that is corrected later, say). Here every call that finds no connection tries to make one, and
//! callers decide how calmly they call. Each attempt starts from the url: Sentinels are asked for
//! the master, a cluster for its map, files are read again.

mod address;
mod live;

use std::sync::Arc;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError,
    RedisResult, TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;

use crate::queue::error::{QueueError, condition};
use crate::queue::redis::counters::{Counters, count};
use crate::queue::redis::tls::Tls;
use address::{Address, is_tls};
use live::Live;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A loaded Redis may take its time; a dead line must not hold a worker for ever.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// How often one call follows a cluster that moves its slots or changes a master, and the pause
/// between in ms.
const CLUSTER_RETRIES: u32 = 4;
const CLUSTER_PAUSE_MS: (u64, u64) = (50, 500);

/// A connection shared by everybody who holds a reference; requests are pipelined.
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
    /// Checks the url and the files; connects with the first call.
    pub(crate) fn open(url: &str, tls: Tls) -> Result<Self, QueueError> {
        // Fails only if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let target = Arc::new(RedisTarget::open(url, tls)?);
        let (counters, current) = (Arc::default(), Mutex::default());
        Ok(Self { target, counters, response_timeout: Some(RESPONSE_TIMEOUT), current })
    }

    /// Another connection to the same target, for commands that block: its caller limits the time.
    pub(crate) fn for_blocking(&self) -> Self {
        let (target, counters) = (self.target.clone(), self.counters.clone());
        Self { target, counters, response_timeout: None, current: Mutex::default() }
    }

    /// Passes on what a request on that connection came to, and drops the connection if it turned
    /// out to be broken.
    pub(crate) async fn check<T>(&self, number: u64, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result {
            count(&self.counters.redis_errors, 1);
            if !is_answer(error) {
                self.forget(number).await;
            }
        }
        result
    }

    /// Drops the current connection if it is still that one.
    pub(crate) async fn forget(&self, number: u64) {
        let mut slot = self.current.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }

    /// The connection and its number; makes one if there is none.
    pub(crate) async fn current(&self) -> RedisResult<(u64, Live)> {
        let mut slot = self.current.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.number, connection.clone()));
        }
        let connection = match self.target.connect(self.response_timeout).await {
            Ok(connection) => connection,
            Err(error) => {
                count(&self.counters.redis_errors, 1);
                return Err(error);
            }
        };
        count(&self.counters.redis_connections, 1);
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.number, connection))
    }
}

/// What is needed to connect.
struct RedisTarget {
    address: Address,
    tls: Tls,
}

/// What the library connects with.
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
                reason: "they are for urls that begin with rediss".to_owned(),
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
        .connection_timeout(CONNECT_TIMEOUT)
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

/// Whether an error is an answer of a server that is still the one to ask, so that the line is
/// good. One that has become a replica, or has lost its own, answers too, but it is time to look up
/// the address again.
fn is_answer(error: &RedisError) -> bool {
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
    fn a_server_that_cannot_be_the_master_is_asked_no_more() {
        let answered = |code: &str| is_answer(&make_extension_error(code.to_owned(), None));
        for code in ["NOREPLICAS", "UNBLOCKED"] {
            assert!(!answered(code), "{code}");
        }
        assert!(answered("OOM"));
    }
}

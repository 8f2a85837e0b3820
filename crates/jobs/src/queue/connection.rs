//! One connection to Redis that makes itself anew.
//!
//! The client library's own manager gives up for good after some kinds of refusal (a wrong password that is corrected
//! later, say). Here every call that finds no connection tries to make one, and callers decide how calmly they call.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult};
use tokio::sync::Mutex;

use super::error::QueueError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A loaded Redis may take its time; a dead line must not hold a worker for ever.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection shared by everybody who holds a reference; requests are pipelined.
pub(super) struct Connection {
    client: Client,
    response_timeout: Option<Duration>,
    current: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Counts connections, so that the failure of an old one does not end a new one.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl Connection {
    /// Checks the url; connects with the first call.
    pub(super) fn open(url: &str) -> Result<Self, QueueError> {
        // Fails only if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::open(url).map_err(|error| QueueError::Url { reason: error.to_string() })?;
        Ok(Self { client, response_timeout: Some(RESPONSE_TIMEOUT), current: Mutex::default() })
    }

    /// Another connection to the same place, for commands that block: its caller limits the time.
    pub(super) fn for_blocking(&self) -> Self {
        Self { client: self.client.clone(), response_timeout: None, current: Mutex::default() }
    }

    /// Passes on what a request on that connection came to, and drops the connection if it turned out to be broken.
    pub(super) async fn check<T>(&self, number: u64, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result
            && !is_answer(error)
        {
            self.forget(number).await;
        }
        result
    }

    /// Drops the current connection if it is still that one.
    pub(super) async fn forget(&self, number: u64) {
        let mut slot = self.current.lock().await;
        if slot.number == number {
            slot.connection = None;
        }
    }

    /// The connection and its number; makes one if there is none.
    pub(super) async fn current(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut slot = self.current.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.number, connection.clone()));
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(self.response_timeout);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        slot.number += 1;
        slot.connection = Some(connection.clone());
        Ok((slot.number, connection))
    }
}

/// Whether an error is an answer of the server, so that the line is good. A server that has become a replica answers
/// too, but it is time to look up the address again.
fn is_answer(error: &RedisError) -> bool {
    error.code().is_some_and(|code| code != "READONLY") || error.kind() == ErrorKind::UnexpectedReturnType
}

//! One gateway as this process knows it: where it is, the connection to it, and what it has shown
//! it can do.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustls::ClientConfig;
use serde_json::json;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tracing::{debug, info};

use super::answer::Answer;
use super::capabilities::Capabilities;
use super::connect_error::ConnectError;
use super::connection::{Connection, Shared};
use super::connector::Connector;
use super::device::DeviceIdentity;
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::group_commit::GroupCommit;
use super::handshake::Line;
use super::limits::Limits;
use super::memory::Memory;
use super::protocol::{Method, SCOPES};
use super::rpc_error::RpcError;
use super::slot::Slot;
use super::tls::Trust;
use crate::single_flight;

/// One gateway of this process.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    identity: Arc<DeviceIdentity>,
    limits: Limits,
    trust: Arc<Trust>,
    /// How to speak TLS with it; made when it is first needed.
    tls: OnceLock<Arc<ClientConfig>>,
    dial: Connector,
    memory: Memory,
    connection: AsyncMutex<Slot>,
    /// Held while a connection is made in the place of one that does not answer.
    renewing: AsyncMutex<()>,
    /// Whether it answers at all; asked by many at once.
    pub(super) pulse: single_flight::Shared<()>,
    capabilities: Mutex<Capabilities>,
    /// Restarts of gateways that were met; all clients of a process count together.
    restarts: Arc<AtomicU64>,
    /// Held while its capabilities are asked for.
    pub(crate) asking: AsyncMutex<()>,
    /// What all runs share of its config.
    pub(crate) group_commit: GroupCommit,
}

impl Client {
    /// A client that connects when it is first used.
    #[must_use]
    pub fn new(endpoint: Endpoint, identity: Arc<DeviceIdentity>, limits: Limits) -> Self {
        Self {
            endpoint,
            identity,
            limits,
            trust: Arc::default(),
            tls: OnceLock::new(),
            dial: Connector::default(),
            memory: Memory::default(),
            connection: AsyncMutex::default(),
            renewing: AsyncMutex::default(),
            pulse: single_flight::Shared::default(),
            capabilities: Mutex::new(Capabilities::default()),
            restarts: Arc::default(),
            asking: AsyncMutex::new(()),
            group_commit: GroupCommit::new(),
        }
    }

    /// The same, with these authorities to vouch for the gateway.
    #[must_use]
    pub fn trusting(self, trust: Arc<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// The same client, reaching its gateway in another way than TCP.
    #[must_use]
    pub fn dialling(self, dial: Connector) -> Self {
        Self { dial, ..self }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities.lock().expect("no panic happens under this lock").clone()
    }

    pub(super) fn take_note(&self, method: Method, answer: Result<&Answer, &GatewayError>) {
        self.learn(|known| known.take_note(method, answer));
    }

    pub(crate) fn learn(&self, lesson: impl FnOnce(&mut Capabilities)) {
        lesson(&mut self.capabilities.lock().expect("no panic happens under this lock"));
    }

    /// The open connection, or a new one; whether it is new. Several callers wait for one attempt.
    pub(super) async fn connection(&self) -> Result<(Shared, bool), GatewayError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.open.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok((Arc::clone(connection), false));
        }
        if slot.open.take().is_some_and(|ended| ended.has_restarted()) {
            self.restarts.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(error) = slot.refusal(Instant::now()) {
            return Err(error);
        }
        let opened = Box::pin(self.open()).await;
        slot.refused = match &opened {
            Err(GatewayError::Refused(error))
                if ConnectError::of(error).counts_against_address() =>
            {
                Some(slot.refuse(Instant::now(), error))
            }
            _ => None,
        };
        let opened = slot.believe(opened, Instant::now());
        let connection = Arc::new(opened?);
        let hello = connection.hello();
        let of = Some((hello.version.clone(), hello.protocol, hello.methods.len()));
        self.learn(|known| {
            if known.of != of {
                // Another version, which can do other things.
                *known = Capabilities { of, ..Capabilities::default() };
            }
        });
        slot.open = Some(Arc::clone(&connection));
        Ok((connection, true))
    }

    /// A connection in the place of one that does not answer, and whether it is new. That one
    /// serves all others until then: the gateway may be busy and take no new one.
    pub(super) async fn another(&self, than: &Shared) -> Result<(Shared, bool), GatewayError> {
        let _renewing = self.renewing.lock().await;
        let is_newer = |open: &&Shared| !open.is_closed() && !Arc::ptr_eq(open, than);
        if let Some(newer) = self.connection.lock().await.open.as_ref().filter(is_newer) {
            return Ok((Arc::clone(newer), false));
        }
        let opened = Arc::new(Box::pin(self.open()).await?);
        self.connection.lock().await.open = Some(Arc::clone(&opened));
        Ok((opened, true))
    }

    fn line(&self) -> Result<Line<'_>, GatewayError> {
        let tls = if self.endpoint.url.scheme() != "wss" {
            None
        } else if let Some(config) = self.tls.get() {
            Some(config)
        } else {
            let made = self.trust.config(&self.endpoint);
            let made = made.map_err(|error| GatewayError::Tls { reason: error.to_string() })?;
            Some(self.tls.get_or_init(|| made))
        };
        Ok(Line { endpoint: &self.endpoint, tls, dial: &self.dial, memory: &self.memory })
    }

    async fn open(&self) -> Result<Connection, GatewayError> {
        let line = self.line()?;
        let first = Connection::open(line, Some(&self.identity), self.limits).await;
        let (connection, request) = match first {
            Err(GatewayError::Refused(error)) if error.code == "NOT_PAIRED" => {
                let request =
                    error.details.get("requestId").and_then(|id| id.as_str()).map(str::to_owned);
                // Old gateways let a backend in without a device; newer ones connect it without any
                // scope.
                match Connection::open(line, None, self.limits).await {
                    Ok(connection) if may_read(&connection).await => (connection, request),
                    Ok(_) => return Err(GatewayError::MissingScope { request }),
                    Err(_) => return Err(GatewayError::Refused(error)),
                }
            }
            other => (other?, None),
        };
        let hello = connection.hello();
        if hello
            .scopes
            .as_ref()
            .is_some_and(|scopes| !scopes.iter().any(|scope| scope == SCOPES[2]))
        {
            return Err(GatewayError::MissingScope { request });
        }
        if !hello.methods.is_empty()
            && let Some(missing) =
                Method::REQUIRED.iter().find(|method| !hello.methods.contains(method.as_str()))
        {
            return Err(GatewayError::TooOld { method: missing.as_str() });
        }
        info!(
            host = self.endpoint.url.host_str(),
            version = hello.version,
            protocol = hello.protocol,
            "gateway connected"
        );
        Ok(connection)
    }
}

/// Whether anything may be asked over a connection. Some gateways do not say that they have given
/// it no scope.
async fn may_read(connection: &Connection) -> bool {
    let answer = connection.call(Method::AgentsList, &json!({})).await;
    !answer.is_err_and(|error| error.rpc().is_some_and(RpcError::is_scope_missing))
}

/// The gateways of this process, one client each.
#[derive(Debug)]
pub struct Clients {
    identity: Arc<DeviceIdentity>,
    limits: Limits,
    trust: Arc<Trust>,
    dial: Connector,
    /// What all gateways may take of this process's memory.
    memory: Memory,
    restarts: Arc<AtomicU64>,
    known: Mutex<HashMap<[u8; 32], Arc<Client>>>,
}

impl Clients {
    /// No clients yet; they are made when a job needs one.
    #[must_use]
    pub fn new(identity: Arc<DeviceIdentity>, limits: Limits) -> Self {
        Self {
            identity,
            limits,
            trust: Arc::default(),
            dial: Connector::default(),
            memory: Memory::default(),
            restarts: Arc::default(),
            known: Mutex::new(HashMap::new()),
        }
    }

    /// The same, with other authorities to vouch for gateways than those of the system alone.
    #[must_use]
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust: Arc::new(trust), ..self }
    }

    /// The same clients, reaching their gateways in another way than TCP.
    #[must_use]
    pub fn dialling(self, dial: Connector) -> Self {
        Self { dial, ..self }
    }

    /// How many restarts of gateways this process has met: connections closed for that and made
    /// again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The client of a gateway. A changed url or token is another client; clients that nobody holds
    /// are dropped.
    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Arc<Client> {
        /// Beyond this many, clients without a running job are forgotten, and so are their
        /// capabilities.
        const KEEP: usize = 1000;
        let mut clients = self.known.lock().expect("no panic happens under this lock");
        let key = endpoint.fingerprint();
        if clients.len() >= KEEP && !clients.contains_key(&key) {
            clients.retain(|_, client| Arc::strong_count(client) > 1);
            debug!(kept = clients.len(), "forgot unused gateways");
        }
        let client = clients.entry(key).or_insert_with(|| {
            let (identity, trust) = (Arc::clone(&self.identity), Arc::clone(&self.trust));
            let mut client = Client::new(endpoint.clone(), identity, self.limits);
            client.restarts = Arc::clone(&self.restarts);
            client.memory = self.memory.clone();
            Arc::new(client.trusting(trust).dialling(self.dial.clone()))
        });
        Arc::clone(client)
    }
}

//! One gateway: its endpoint, its connection, and the capabilities it has shown.

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
use super::handshake::Target;
use super::limits::Limits;
use super::memory::Memory;
use super::protocol::{Method, SCOPES};
use super::rpc_error::RpcError;
use super::slot::Slot;
use super::tls::Trust;
use crate::single_flight;

/// The client of one gateway.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    identity: Arc<DeviceIdentity>,
    limits: Limits,
    trust: Arc<Trust>,
    /// The TLS settings for it, made when they are first needed.
    tls: OnceLock<Arc<ClientConfig>>,
    connector: Connector,
    memory: Memory,
    connection: AsyncMutex<Slot>,
    /// Held while a connection that does not answer is replaced.
    renewing: AsyncMutex<()>,
    /// Checks whether the gateway answers at all; runs share one check.
    pub(super) liveness: single_flight::Shared<()>,
    capabilities: Mutex<Capabilities>,
    /// The restarts that were noticed; all clients of a process share the counter.
    restarts: Arc<AtomicU64>,
    /// Held while its capabilities are probed.
    pub(crate) probing: AsyncMutex<()>,
    /// The config reads and writes that all its runs share.
    pub(crate) group_commit: GroupCommit,
}

impl Client {
    /// Creates a client that connects on first use.
    #[must_use]
    pub fn new(endpoint: Endpoint, identity: Arc<DeviceIdentity>, limits: Limits) -> Self {
        Self {
            endpoint,
            identity,
            limits,
            trust: Arc::default(),
            tls: OnceLock::new(),
            connector: Connector::default(),
            memory: Memory::default(),
            connection: AsyncMutex::default(),
            renewing: AsyncMutex::default(),
            liveness: single_flight::Shared::default(),
            capabilities: Mutex::new(Capabilities::default()),
            restarts: Arc::default(),
            probing: AsyncMutex::new(()),
            group_commit: GroupCommit::new(),
        }
    }

    /// Returns the client with other trusted authorities.
    #[must_use]
    pub fn with_trust(self, trust: Arc<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// Returns the client with another connector than TCP.
    #[must_use]
    pub fn with_connector(self, connector: Connector) -> Self {
        Self { connector, ..self }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities.lock().expect("no panic happens under this lock").clone()
    }

    pub(super) fn observe(&self, method: Method, answer: Result<&Answer, &GatewayError>) {
        self.learn(|known| known.observe(method, answer));
    }

    pub(crate) fn learn(&self, update: impl FnOnce(&mut Capabilities)) {
        update(&mut self.capabilities.lock().expect("no panic happens under this lock"));
    }

    /// Returns the open connection or a new one, and whether it is new. Concurrent callers share
    /// one attempt.
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
        let opened = slot.confirm(opened, Instant::now());
        let connection = Arc::new(opened?);
        let hello = connection.hello();
        let announced = Some((hello.version.clone(), hello.protocol, hello.methods.len()));
        self.learn(|known| {
            if known.announced != announced {
                // The version has changed, and with it the capabilities.
                *known = Capabilities { announced, ..Capabilities::default() };
            }
        });
        slot.open = Some(Arc::clone(&connection));
        Ok((connection, true))
    }

    /// Replaces a connection that does not answer, and returns whether the new one was opened by
    /// this call. The old one serves all other callers until then: the gateway may be too busy to
    /// accept a new one.
    pub(super) async fn reconnect(&self, old: &Shared) -> Result<(Shared, bool), GatewayError> {
        let _renewing = self.renewing.lock().await;
        let is_newer = |open: &&Shared| !open.is_closed() && !Arc::ptr_eq(open, old);
        if let Some(newer) = self.connection.lock().await.open.as_ref().filter(is_newer) {
            return Ok((Arc::clone(newer), false));
        }
        let opened = Arc::new(Box::pin(self.open()).await?);
        self.connection.lock().await.open = Some(Arc::clone(&opened));
        Ok((opened, true))
    }

    fn target(&self) -> Result<Target<'_>, GatewayError> {
        let tls = if self.endpoint.url.scheme() != "wss" {
            None
        } else if let Some(config) = self.tls.get() {
            Some(config)
        } else {
            let made = self.trust.config(&self.endpoint);
            let made = made.map_err(|error| GatewayError::Tls { reason: error.to_string() })?;
            Some(self.tls.get_or_init(|| made))
        };
        Ok(Target {
            endpoint: &self.endpoint,
            tls,
            connector: &self.connector,
            memory: &self.memory,
        })
    }

    async fn open(&self) -> Result<Connection, GatewayError> {
        let target = self.target()?;
        let first = Connection::open(target, Some(&self.identity), self.limits).await;
        let (connection, request) = match first {
            Err(GatewayError::Refused(error)) if error.code == "NOT_PAIRED" => {
                let request =
                    error.details.get("requestId").and_then(|id| id.as_str()).map(str::to_owned);
                // Old gateways accept a backend without a device; newer ones connect it without any
                // scope.
                match Connection::open(target, None, self.limits).await {
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

/// Returns whether reads are allowed over a connection. Some gateways do not announce that they
/// have granted no scope.
async fn may_read(connection: &Connection) -> bool {
    let answer = connection.call(Method::AgentsList, &json!({})).await;
    !answer.is_err_and(|error| error.rpc().is_some_and(RpcError::is_scope_missing))
}

/// The clients of this process, one for each gateway.
#[derive(Debug)]
pub struct Clients {
    identity: Arc<DeviceIdentity>,
    limits: Limits,
    trust: Arc<Trust>,
    connector: Connector,
    /// The memory that all gateways may use together.
    memory: Memory,
    restarts: Arc<AtomicU64>,
    known: Mutex<HashMap<[u8; 32], Arc<Client>>>,
}

impl Clients {
    /// Creates an empty set; clients are created when a job needs one.
    #[must_use]
    pub fn new(identity: Arc<DeviceIdentity>, limits: Limits) -> Self {
        Self {
            identity,
            limits,
            trust: Arc::default(),
            connector: Connector::default(),
            memory: Memory::default(),
            restarts: Arc::default(),
            known: Mutex::new(HashMap::new()),
        }
    }

    /// Returns the set with other trusted authorities than those of the system.
    #[must_use]
    pub fn with_trust(self, trust: Trust) -> Self {
        Self { trust: Arc::new(trust), ..self }
    }

    /// Returns the set with another connector than TCP.
    #[must_use]
    pub fn with_connector(self, connector: Connector) -> Self {
        Self { connector, ..self }
    }

    /// Returns the number of gateway restarts that this process has noticed: connections closed for
    /// a restart and opened again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Returns the client of a gateway. A changed url or token results in another client; clients
    /// without users are dropped.
    #[must_use]
    pub fn get(&self, endpoint: &Endpoint) -> Arc<Client> {
        /// The number of clients beyond which those without a running job are dropped, together
        /// with their capabilities.
        const KEEP: usize = 1000;
        let mut clients = self.known.lock().expect("no panic happens under this lock");
        let key = endpoint.fingerprint();
        if clients.len() >= KEEP && !clients.contains_key(&key) {
            clients.retain(|_, client| Arc::strong_count(client) > 1);
            debug!(kept = clients.len(), "dropped unused gateway clients");
        }
        let client = clients.entry(key).or_insert_with(|| {
            let (identity, trust) = (Arc::clone(&self.identity), Arc::clone(&self.trust));
            let mut client = Client::new(endpoint.clone(), identity, self.limits);
            client.restarts = Arc::clone(&self.restarts);
            client.memory = self.memory.clone();
            Arc::new(client.with_trust(trust).with_connector(self.connector.clone()))
        });
        Arc::clone(client)
    }
}

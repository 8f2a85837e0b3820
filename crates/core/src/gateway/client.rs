//! One gateway: its endpoint, its connection, and the capabilities it has shown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rustls::ClientConfig;
use serde_json::json;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use tracing::{debug, info};

use super::capabilities::Capabilities;
use super::connection::Connection;
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
use crate::single_flight::SingleFlight;

/// The client of one gateway. All runs on the gateway share it.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    process: Process,
    /// The TLS settings for it, made when they are first needed.
    tls: OnceLock<Arc<ClientConfig>>,
    /// Held while a connection is opened, so that runs share the attempt and its failure.
    connection: AsyncMutex<Slot>,
    /// Held while a connection that does not answer is replaced.
    renewing: AsyncMutex<()>,
    /// Checks whether the gateway answers at all; runs share one check.
    pub(super) liveness: SingleFlight<()>,
    /// The capabilities shown so far; forgotten when the gateway presents itself differently.
    capabilities: Mutex<Capabilities>,
    /// Held while its capabilities are probed.
    pub(crate) probing: AsyncMutex<()>,
    /// The config reads and writes that all its runs share.
    pub(crate) group_commit: GroupCommit,
}

/// The state that all clients of a process share.
#[derive(Debug, Clone)]
struct Process {
    identity: Arc<DeviceIdentity>,
    limits: Limits,
    trust: Arc<Trust>,
    connector: Connector,
    /// The memory that all gateways may use together.
    memory: Memory,
    /// The number of restarts that were noticed.
    restarts: Arc<AtomicU64>,
}

impl Client {
    /// Creates a client that connects on first use.
    fn new(endpoint: Endpoint, process: Process) -> Self {
        Self {
            endpoint,
            process,
            tls: OnceLock::new(),
            connection: AsyncMutex::default(),
            renewing: AsyncMutex::default(),
            liveness: SingleFlight::default(),
            capabilities: Mutex::default(),
            probing: AsyncMutex::default(),
            group_commit: GroupCommit::default(),
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.process.limits
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        self.capabilities.lock().expect("no panic happens under this lock").clone()
    }

    pub(crate) fn learn(&self, update: impl FnOnce(&mut Capabilities)) {
        update(&mut self.capabilities.lock().expect("no panic happens under this lock"));
    }

    /// Returns the open connection or a new one, and whether it is new. Concurrent callers share
    /// one attempt.
    pub(super) async fn connection(&self) -> Result<(Arc<Connection>, bool), GatewayError> {
        let mut slot = self.connection.lock().await;
        if let Some(connection) = slot.open.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok((Arc::clone(connection), false));
        }
        if slot.open.take().is_some_and(|ended| ended.has_restarted()) {
            self.process.restarts.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(error) = slot.refusal(Instant::now()) {
            return Err(error);
        }
        let opened = Box::pin(self.open()).await;
        let connection = Arc::new(slot.ended(opened, Instant::now())?);
        let server = connection.server_info();
        let announced = Some((server.version.clone(), server.protocol, server.methods.len()));
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
    pub(super) async fn reconnect(
        &self,
        old: &Arc<Connection>,
    ) -> Result<(Arc<Connection>, bool), GatewayError> {
        let _renewing = self.renewing.lock().await;
        let is_newer = |open: &&Arc<Connection>| !open.is_closed() && !Arc::ptr_eq(open, old);
        if let Some(newer) = self.connection.lock().await.open.as_ref().filter(is_newer) {
            return Ok((Arc::clone(newer), false));
        }
        let opened = Arc::new(Box::pin(self.open()).await?);
        self.connection.lock().await.open = Some(Arc::clone(&opened));
        Ok((opened, true))
    }

    async fn open(&self) -> Result<Connection, GatewayError> {
        let Process { identity, limits, trust, connector, memory, .. } = &self.process;
        let is_tls = self.endpoint.url.scheme() == "wss";
        let tls = is_tls.then(|| self.tls.get_or_init(|| trust.config(&self.endpoint)));
        let (endpoint, identity) = (&self.endpoint, Some(&**identity));
        let target = Target { endpoint, identity, tls, connector, memory };
        let (connection, request) = match Connection::open(target, *limits).await {
            Err(GatewayError::Refused(error)) if error.code == "NOT_PAIRED" => {
                let request = error.detail("requestId").map(str::to_owned);
                // Old gateways accept a backend without a device; newer ones connect it without any
                // scope.
                match Connection::open(Target { identity: None, ..target }, *limits).await {
                    Ok(connection) if may_read(&connection).await => (connection, request),
                    Ok(_) => return Err(GatewayError::MissingScope { request }),
                    Err(_) => return Err(GatewayError::Refused(error)),
                }
            }
            other => (other?, None),
        };
        let server = connection.server_info();
        let is_admin = |scopes: &Vec<String>| scopes.iter().any(|scope| scope == SCOPES[2]);
        if !server.scopes.as_ref().is_none_or(is_admin) {
            return Err(GatewayError::MissingScope { request });
        }
        let is_missing = |method: &&Method| !server.methods.contains(method.as_str());
        if !server.methods.is_empty()
            && let Some(missing) = Method::REQUIRED.iter().find(is_missing)
        {
            return Err(GatewayError::TooOld { method: missing.as_str() });
        }
        info!(
            host = self.endpoint.url.host_str(),
            version = server.version,
            protocol = server.protocol,
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
    process: Process,
    /// The clients by the fingerprints of their endpoints. Locked only to find or add one.
    known: Mutex<HashMap<[u8; 32], Arc<Client>>>,
}

impl Clients {
    /// Creates an empty set; clients are created when a job needs one.
    #[must_use]
    pub fn new(identity: Arc<DeviceIdentity>, limits: Limits) -> Self {
        let process = Process {
            identity,
            limits,
            trust: Arc::default(),
            connector: Connector::default(),
            memory: Memory::default(),
            restarts: Arc::default(),
        };
        Self { process, known: Mutex::default() }
    }

    /// Returns the set with other trusted authorities than those of the system.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.process.trust = Arc::new(trust);
        self
    }

    /// Returns the set with another connector than TCP.
    #[must_use]
    pub fn with_connector(mut self, connector: Connector) -> Self {
        self.process.connector = connector;
        self
    }

    /// Returns the number of gateway restarts that this process has noticed: connections closed for
    /// a restart and opened again.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.process.restarts.load(Ordering::Relaxed)
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
        let create = || Arc::new(Client::new(endpoint.clone(), self.process.clone()));
        Arc::clone(clients.entry(key).or_insert_with(create))
    }
}

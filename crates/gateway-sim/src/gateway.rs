//! The handle of a running simulated gateway.

use std::{io, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle, time::timeout};

use crate::{
    calls::{Call, Shared},
    connection::{self, Stream},
    effects::Effects,
    fault::Fault,
    handshake, method,
    profile::Profile,
    server,
    setup::Setup,
};

/// The time after which [`Gateway::wait_for`] gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running simulated gateway. Dropping it stops the gateway and cuts its connections.
pub struct Gateway {
    shared: Arc<Shared>,
    port: u16,
    /// The listener; `None` for a detached gateway.
    server: Option<AbortHandle>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl Gateway {
    /// Starts listening on 127.0.0.1. Fails if the port of the setup is in use.
    pub async fn start(setup: Setup) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", setup.port)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::new(setup, port));
        let server = tokio::spawn(server::serve(Arc::clone(&shared), listener)).abort_handle();
        Ok(Self { shared, port, server: Some(server) })
    }

    /// Creates a gateway that does not listen. Its connections are passed to [`Gateway::serve`].
    #[must_use]
    pub fn detached(setup: Setup) -> Self {
        let port = setup.port;
        Self { shared: Arc::new(Shared::new(setup, port)), port, server: None }
    }

    /// Creates a detached gateway with the current agents, configuration, files and sessions of
    /// this one, and an empty log.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self { shared: Arc::new(self.shared.twin()), port: self.port, server: None }
    }

    /// Serves one connection until it ends, or refuses it while the gateway restarts.
    pub fn serve(
        &self,
        stream: impl Stream + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let stream: Box<dyn Stream> = Box::new(stream);
        async move {
            if !shared.lock().is_down() {
                connection::serve(shared, stream).await;
            }
        }
    }

    /// Returns the address: `ws://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Returns the imitated version.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.lock().world.profile
    }

    /// Returns the current state:
    /// `{agents: {id: {id, name, workspace}}, config, files: {agent: {name: content}},
    /// sessions: {key: {label, resets}}}`.
    #[must_use]
    pub fn state(&self) -> Value {
        self.shared.lock().world.snapshot()
    }

    /// Edits the configuration as a person would: merges the patch, with all consequences.
    pub fn edit_config(&self, patch: &Value) {
        let mut inner = self.shared.lock();
        self.shared.edit(&mut inner, patch);
    }

    /// Removes a file from the folder of an agent, as the agent itself can, if it is there.
    pub fn remove_file(&self, agent: &str, name: &str) {
        self.shared.lock().world.remove_file(agent, name);
    }

    /// Returns the calls so far, in order. `connect` does not count.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// Returns the calls of methods that can change something.
    #[must_use]
    pub fn mutating_calls(&self) -> Vec<Call> {
        self.shared
            .lock()
            .calls
            .iter()
            .filter(|call| method::mutates(&call.method))
            .cloned()
            .collect()
    }

    /// Returns the number of connections opened so far, including refused ones.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    /// Returns the number of times that clients wrote the configuration. Edits by hand and answers
    /// without a change do not count.
    #[must_use]
    pub fn config_writes(&self) -> u64 {
        self.shared.lock().world.effects.writes.len() as u64
    }

    /// Returns what was done to this gateway since it was created, from its own point of view.
    #[must_use]
    pub fn effects(&self) -> Effects {
        self.shared.lock().world.effects.clone()
    }

    /// Returns the content of the disk:
    /// `{folders: {path: {name: content}}, trash: {path: {name: content}}}`.
    #[must_use]
    pub fn disk(&self) -> Value {
        self.shared.lock().world.disk_snapshot()
    }

    /// Returns the reason why the gateway does not start again, if there is one. It can be solved
    /// by editing the configuration and restarting.
    #[must_use]
    pub fn dead(&self) -> Option<String> {
        self.shared.lock().dead.clone()
    }

    /// Runs `openclaw doctor --fix` as a person would and starts the gateway again: old setup state
    /// is migrated, lost sessions are found, and `main` no longer owns the logins of an older
    /// version.
    pub fn doctor(&self) {
        self.shared.lock().world.repair();
        self.restart(Duration::ZERO);
    }

    /// Waits until the calls so far match; returns false after 30 s.
    #[must_use]
    pub async fn wait_for(&self, wanted: impl Fn(&[Call]) -> bool) -> bool {
        let mut seen = self.shared.seen.subscribe();
        let arrived = async {
            while !wanted(&self.shared.lock().calls) {
                if seen.changed().await.is_err() {
                    break;
                }
            }
        };
        timeout(PATIENCE, arrived).await.is_ok()
    }

    /// Adds a fault, which counts calls from now on.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// Removes all faults of the gateway.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Restarts the gateway as a person would: `shutdown` event and close 1012 on every connection,
    /// and new connections are refused for the outage.
    pub fn restart(&self, outage: Duration) {
        self.shared.restart(outage, None);
    }

    /// Returns the request ids of the devices that wait for approval.
    #[must_use]
    pub fn pending_devices(&self) -> Vec<String> {
        self.shared.lock().pending.values().cloned().collect()
    }

    /// Returns the token that a device with this id gets for later connections, valid for the
    /// current token of the setup.
    #[must_use]
    pub fn device_token(&self, device: &str) -> Option<String> {
        self.shared.lock().token.as_deref().map(|token| handshake::device_token(token, device))
    }

    /// Approves every waiting device, so that it can connect.
    pub fn approve_devices(&self) {
        let mut inner = self.shared.lock();
        let pending = std::mem::take(&mut inner.pending);
        inner.approved.extend(pending.into_keys());
    }
}

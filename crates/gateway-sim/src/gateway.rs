//! The handle a test holds.

use std::{io, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{net::TcpListener, task::AbortHandle, time::timeout};

use crate::{
    calls::{Call, Shared},
    connection::{self, Stream},
    deeds::Deeds,
    fault::Fault,
    handshake,
    profile::Profile,
    server,
    setup::Setup,
};

/// How long [`Gateway::wait_for`] waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running simulated gateway. It stops, and cuts its connections, when this is dropped.
pub struct Gateway {
    shared: Arc<Shared>,
    port: u16,
    /// None for one that does not listen.
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
    /// Starts listening on 127.0.0.1. Fails if the port of the setup is taken.
    pub async fn start(setup: Setup) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", setup.port)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::new(setup, port));
        let server = tokio::spawn(server::serve(Arc::clone(&shared), listener)).abort_handle();
        Ok(Self { shared, port, server: Some(server) })
    }

    /// One that does not listen: its connections are brought to [`Gateway::serve`].
    #[must_use]
    pub fn detached(setup: Setup) -> Self {
        let port = setup.port;
        Self { shared: Arc::new(Shared::new(setup, port)), port, server: None }
    }

    /// A detached gateway that is now as this one is: agents, configuration, files, sessions.
    /// Nobody has called it yet.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self { shared: Arc::new(self.shared.twin()), port: self.port, server: None }
    }

    /// Serves one connection to its end, or refuses it while the gateway restarts.
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

    /// Where to connect: `ws://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Which version is imitated.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.shared.lock().world.profile
    }

    /// The state now:
    /// `{agents: {id: {id, name, workspace}}, config, files: {agent: {name: content}}, sessions: {key: {label, resets}}}`.
    #[must_use]
    pub fn state(&self) -> Value {
        self.shared.lock().world.snapshot()
    }

    /// A person edits the configuration: merges the patch into it, with everything that follows
    /// from that.
    pub fn edit_config(&self, patch: &Value) {
        let mut inner = self.shared.lock();
        self.shared.edit(&mut inner, patch);
    }

    /// Calls seen so far, in order. `connect` is not one.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.clone()
    }

    /// Those of them whose methods change something.
    #[must_use]
    pub fn mutating_calls(&self) -> Vec<Call> {
        self.shared.lock().calls.iter().filter(|call| call.mutates()).cloned().collect()
    }

    /// How many connections have been opened, whether or not they were let in.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.lock().connections
    }

    /// How often clients have written the configuration; edits by hand and answers without a change
    /// do not count.
    #[must_use]
    pub fn config_writes(&self) -> u64 {
        self.shared.lock().world.deeds.writes.len() as u64
    }

    /// Returns what was done to this gateway since it was made, from its own point of view.
    #[must_use]
    pub fn deeds(&self) -> Deeds {
        self.shared.lock().world.deeds.clone()
    }

    /// Returns what is on its disk: `{folders: {path: {name: content}}, trash: {path: {name:
    /// content}}}`.
    #[must_use]
    pub fn disk(&self) -> Value {
        self.shared.lock().world.disk_snapshot()
    }

    /// Returns the reason for which the gateway does not come up again, if it does not. A person
    /// can edit its configuration and restart it.
    #[must_use]
    pub fn dead(&self) -> Option<String> {
        self.shared.lock().dead.clone()
    }

    /// A person runs `openclaw doctor --fix` and starts the gateway anew: old setup state is
    /// migrated, lost sessions are found, and `main` no longer owns the logins of an older version.
    pub fn doctor(&self) {
        self.shared.lock().world.repair();
        self.restart(Duration::ZERO);
    }

    /// Waits until the calls seen are as wanted; false after 30 s.
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

    /// Adds a fault; its calls are counted from now.
    pub fn inject(&self, fault: Fault) {
        self.shared.lock().faults.push(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// A person restarts it now: `shutdown` event and close 1012 on every connection, new ones
    /// refused for that long.
    pub fn restart(&self, outage: Duration) {
        self.shared.restart(outage, None);
    }

    /// Request ids of devices that wait to be approved.
    #[must_use]
    pub fn pending_devices(&self) -> Vec<String> {
        self.shared.lock().pending.values().cloned().collect()
    }

    /// The token that a device of that id gets for the next time, while the setup's token is this.
    #[must_use]
    pub fn device_token(&self, device: &str) -> Option<String> {
        self.shared.lock().token.as_deref().map(|token| handshake::device_token(token, device))
    }

    /// Approves every device that waits; each can connect from now on.
    pub fn approve_devices(&self) {
        let mut inner = self.shared.lock();
        let pending = std::mem::take(&mut inner.pending);
        inner.approved.extend(pending.into_keys());
    }
}

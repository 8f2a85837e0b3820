//! The listener: accepts connections, or refuses them while the gateway restarts.

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinSet};

use crate::{calls::Shared, connection};

/// Serves until the future is dropped, which also drops every connection.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        // The port stays bound during an outage; a client sees its connection cut before the
        // upgrade.
        if shared.lock().is_down() {
            continue;
        }
        // Replies are small, and each is waited for.
        let _ = stream.set_nodelay(true);
        connections.spawn(connection::serve(Arc::clone(&shared), Box::new(stream)));
    }
}

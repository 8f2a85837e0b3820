//! Gateways and workers in one thread, without a network and on a simulated clock. When every task
//! is idle, the clock jumps to the next timer, so a wait of a minute costs nothing and times are
//! the same in each run.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock};

use mission_core::apply::Applier;
use mission_core::gateway::{Clients, Connector, DeviceIdentity, Limits};
use mission_core::mirror::Mirror;
use mission_core::render::{Renderer, TemplatesConfig};
use mission_gateway_sim::Gateway;

use crate::simulated::seeds;

/// The number of bytes in flight in one direction, enough for a pipeline of files and their
/// answers.
const BUFFER: usize = 4 * 1024 * 1024;

/// The key of all workers: a worker that is restarted loads the same key from its disk.
static IDENTITY: LazyLock<Arc<DeviceIdentity>> =
    LazyLock::new(|| Arc::new(DeviceIdentity::ephemeral()));

/// The reachable gateways, by the host of their url.
#[derive(Clone, Default)]
pub struct Network(Arc<BTreeMap<String, Arc<Gateway>>>);

impl Network {
    /// Returns a network of these gateways only.
    pub fn of(gateways: impl IntoIterator<Item = (String, Arc<Gateway>)>) -> Self {
        Self(Arc::new(gateways.into_iter().collect()))
    }

    fn dial(&self) -> Connector {
        let network = self.clone();
        Connector::from_fn(move |host, _| {
            let gateway = network.0.get(&host).cloned();
            async move {
                let gateway = gateway.ok_or_else(|| io::Error::other("no such host"))?;
                let (here, there) = tokio::io::duplex(BUFFER);
                tokio::spawn(gateway.serve(there));
                Ok(here)
            }
        })
    }

    /// Returns the state that a worker process has in memory when it starts.
    pub fn worker(&self, limits: Limits) -> Applier {
        Applier {
            clients: Clients::new(identity(), limits).with_connector(self.dial()),
            renderer: Renderer::new(TemplatesConfig::default()),
            mirror: Mirror::new("").unwrap(),
            seeds: seeds(),
            base_url: None,
        }
    }
}

pub fn identity() -> Arc<DeviceIdentity> {
    Arc::clone(&IDENTITY)
}

/// Plays a story to its end on a simulated clock.
pub fn play<T>(story: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(story)
}

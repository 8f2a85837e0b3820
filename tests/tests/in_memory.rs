//! Gateways and workers in one thread, without a network and on a clock of their own: it jumps to
//! the next thing that is waited for when nobody has anything to do. So a wait of a minute costs
//! nothing, and how long something takes is the same in each run.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock};

use mission_core::apply::Applier;
use mission_core::gateway::{Clients, Connector, DeviceIdentity, Limits};
use mission_core::mirror::Mirror;
use mission_core::render::{Renderer, TemplatesConfig};
use mission_gateway_sim::Gateway;

use crate::simulated::seeds;

/// Bytes on their way in one direction; enough for a pipeline of files and their answers.
const BUFFER: usize = 4 * 1024 * 1024;

/// The key of all workers: a worker that is started again finds it on its disk.
static IDENTITY: LazyLock<Arc<DeviceIdentity>> =
    LazyLock::new(|| Arc::new(DeviceIdentity::ephemeral()));

/// The gateways that there are, by the host of their url.
#[derive(Clone, Default)]
pub struct Network(Arc<BTreeMap<String, Arc<Gateway>>>);

impl Network {
    /// These gateways and no others.
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

    /// What a worker process has in memory when it starts.
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

/// The key of all workers.
pub fn identity() -> Arc<DeviceIdentity> {
    Arc::clone(&IDENTITY)
}

/// Plays a story to its end, on a clock of its own.
pub fn play<T>(story: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(story)
}

//! The client of the gateway's protocol. No other module speaks it.
//!
//! [`Client`] represents one gateway: it keeps one multiplexed connection, reconnects, and
//! remembers the gateway's capabilities. [`Call`] is one run's use of it: it counts requests,
//! retries reads, and never repeats a write. The module is a layer of its own: it knows nothing of
//! jobs, documents, outcomes and reports.

pub mod agents_config;
mod allowlist;
mod answer;
mod call;
mod capabilities;
mod client;
mod connect_error;
mod connection;
mod connector;
mod defects;
mod device;
mod endpoint;
pub mod error;
mod fingerprint;
mod group_commit;
mod handshake;
mod keep;
mod limits;
mod memory;
mod meter;
mod patience;
mod protocol;
mod rpc_error;
mod server_info;
mod slot;
mod step;
mod suspects;
mod tls;
mod write_lock;

pub use allowlist::{Allowlist, AllowlistError, OutOfReach};
pub use answer::Answer;
pub use call::{Call, Cost};
pub use client::{Client, Clients};
pub(crate) use connect_error::ConnectError;
pub use connector::{Connector, Stream};
pub use defects::Defect;
pub use device::{DeviceError, DeviceIdentity};
pub use endpoint::Endpoint;
pub use error::GatewayError;
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub(crate) use group_commit::{Announcement, PendingChange, Sessions};
pub use keep::Keep;
pub use limits::Limits;
pub use protocol::Method;
pub(crate) use protocol::PROTOCOLS;
pub use rpc_error::{Need, RpcError};
pub use server_info::ServerInfo;
pub use step::Step;
pub use tls::{Trust, TrustError};
pub(crate) use write_lock::Reading;

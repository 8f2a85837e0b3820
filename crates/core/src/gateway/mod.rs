//! The gateway's protocol: only this module speaks it.
//!
//! [`Client`] is one gateway: it keeps one multiplexed connection, reconnects, and remembers what
//! the gateway can do. [`Call`] is one run's view of it: it counts, retries reads and never repeats
//! a write.

mod answer;
mod call;
mod client;
mod connection;
mod defects;
mod desk;
mod device;
mod dial;
pub mod error;
mod handshake;
mod keep;
mod memory;
mod meter;
mod protocol;
mod reach;
mod refusal;
pub mod roster;
mod rpc_error;
mod slot;
mod suspects;
mod tls;
mod write_lock;

pub use answer::Answer;
pub use call::{Call, Met, Step};
pub use client::{Client, Clients, Endpoint, Limits};
pub use defects::Defect;
pub(crate) use desk::{Awaited, Sessions, Wish};
pub use device::{DeviceError, DeviceIdentity};
pub use dial::{Dial, Stream};
pub use error::GatewayError;
pub use keep::Keep;
pub use protocol::Method;
pub use reach::{OutOfReach, Reach, ReachError};
pub use rpc_error::{Cause, Need, RpcError};
pub use tls::{Trust, TrustError};
pub(crate) use write_lock::Reading;

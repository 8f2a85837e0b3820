//! The link to Redis: keys, connection and scripts.

pub(crate) mod binary;
pub(crate) mod bundle;
pub(crate) mod claim;
pub(crate) mod connection;
pub mod counters;
pub(crate) mod fields;
mod functions;
pub(crate) mod keys;
pub(crate) mod scripts;
pub mod server;
pub(crate) mod tls;

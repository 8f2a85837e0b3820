//! Tests of the simulated gateway through its sockets.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod client;
mod comparison;
mod configuration;
mod deleting;
mod effects;
mod faults;
mod handshake;
mod options;
mod process;
mod restarts;
mod traces;

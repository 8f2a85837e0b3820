//! Tests of the simulated gateway, through its sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod faults;
mod handshake;
mod options;
mod process;
mod traces;

//! The tests of `mission-core` that go through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connection;
mod heartbeats;
mod corpus;
mod outcomes;
mod roster;
mod scripted;
mod templates;
mod vectors;

//! The tests of `mission-core` that go through its public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agents_config;
mod connection;
mod corpus;
mod half_open;
mod heartbeats;
mod hostile;
mod jinja;
mod limits;
mod outcomes;
mod refusals;
mod scripted;
mod templates;
mod tls;
mod vectors;

//! Tests of the public interface of `mission-core`.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

mod agents_config;
mod connection;
mod corpus;
mod half_open;
mod heartbeats;
mod hostile;
mod jinja;
mod layers;
mod limits;
mod outcomes;
mod refusals;
mod remedies;
mod scripted;
mod template_bounds;
mod templates;
mod tls;
mod vectors;

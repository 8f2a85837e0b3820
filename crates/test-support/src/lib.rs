//! Support shared by the tests of several crates: a private `redis-server`, a private cluster
//! of them, and a large queue.
//!
//! This crate is a dev-dependency only. Everything in it panics on failure, as tests do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod million;
mod redis_cluster;
mod redis_server;

pub use redis_cluster::RedisCluster;
pub use redis_server::{Monitor, RedisServer, change, free_port};

//! Tests of the queue against a real `redis-server`, and of its workers under apalis.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alone;
mod cancelling;
mod clocks;
mod connection_records;
mod connections;
mod documents;
mod draining;
mod evidence;
mod expiry;
mod faults;
mod idempotency;
mod lane_health;
mod lanes;
mod leases;
mod merging;
mod migration;
mod operators;
mod outcomes;
mod overtaken;
mod pausing;
mod producers;
mod readiness;
mod recording;
mod records;
mod replacing;
mod retention;
mod scale;
mod scripts;
mod sealing;
mod searching;
mod shards;
mod views;
mod waking;
mod worker;
mod wounds;

//! The end-to-end tests: real processes of `worker` on simulated gateways.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod abuse;
mod access;
mod allowlist;
mod api;
mod bench;
mod beside_a_person;
mod canary;
mod chaos;
mod commands;
mod consoles;
mod crash;
mod doctor;
mod documents;
mod eviction;
mod fairness;
mod faults;
mod fleet;
mod fuzzing;
mod group_commit;
mod hostile;
mod in_memory;
mod interop;
mod killmatrix;
mod metrics;
mod migration;
mod newest;
mod no_harm;
mod odd_agents;
mod plan;
mod processes;
mod promises;
mod records;
mod scenarios;
mod security;
mod shards;
mod simulated;
mod storms;
mod terminals;
mod traces;

//! Provisions AI agents on OpenClaw gateways.
//!
//! A job document goes in, an [`Outcome`] comes out. The crate has no queue and no HTTP server, so
//! it can be used without Redis.
//!
//! - Jobs: [`model`] parses the document, [`keys`] derives the agent's names from it, and
//!   [`heartbeat`] its heartbeat.
//! - Files: [`documents`] has the shipped texts and [`overrides`] those of users. [`render`]
//!   chooses between them and fills in a [`context`]. [`mirror`] keeps local copies, and [`seeds`]
//!   knows the files that gateways create themselves.
//! - Gateways: [`gateway`] speaks the protocol.
//! - Records: [`records`] composes the job of a run from the newest documents, and [`applied`] is
//!   what the run before it has made true.
//! - Runs: [`apply`] has the flows, [`journal`] the steps done so far, and [`outcome`] the results.
//! - Helpers: [`backoff`], [`private_file`], [`sanitize`] and [`single_flight`].

pub mod applied;
pub mod apply;
pub mod backoff;
pub mod context;
mod digest;
pub mod documents;
pub mod gateway;
pub mod heartbeat;
pub mod humanize;
mod identity;
mod jinja;
pub mod journal;
pub mod json;
pub mod keys;
pub mod mirror;
pub mod model;
pub mod outcome;
pub mod overrides;
pub mod private_file;
mod python_format;
pub mod records;
pub mod render;
pub mod sanitize;
pub mod seeds;
pub mod single_flight;
mod taint;

pub use backoff::Backoff;
pub use model::{Job, Kind};
pub use outcome::{Failure, Outcome, Remedy, Report, Scope};

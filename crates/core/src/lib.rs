//! What an agent must look like on an OpenClaw gateway, and how to make it so.
//!
//! No Redis and no HTTP server here: a job document goes in, an [`Outcome`] comes out.

pub mod apply;
pub mod context;
pub mod documents;
pub mod gateway;
pub mod heartbeat;
pub mod identity;
mod jinja;
pub mod journal;
pub mod keys;
pub mod mirror;
pub mod model;
pub mod outcome;
pub mod overrides;
pub mod private_file;
pub mod python_format;
pub mod render;
pub mod sanitize;
pub mod seeds;
pub mod single_flight;
mod taint;

pub use model::{Job, Kind};
pub use outcome::{Failure, Outcome, Report, Scope};

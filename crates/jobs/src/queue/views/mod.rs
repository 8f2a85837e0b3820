//! The views of the queue: jobs, gateways, failures and figures. Nothing here changes a job.

pub mod attempt;
pub mod event;
pub mod explain;
pub mod failure_groups;
pub(crate) mod following;
pub mod gateway_view;
pub mod job_view;
mod list;
pub(crate) mod reads;
pub mod recorded;
pub mod search;
pub mod slots;
pub mod stats;
pub mod summary;

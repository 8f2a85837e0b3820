//! What people do to the queue, and the record of it.

pub mod actions;
pub mod actor;
pub mod audit;
pub mod pause;

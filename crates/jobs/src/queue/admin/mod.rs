//! The administration of the queue: the actions of people, and the record of them.

pub mod actions;
pub mod actor;
pub mod audit;
pub mod gateways;
pub mod migration;
pub mod pause;
pub mod plain_secrets;
pub mod repair;

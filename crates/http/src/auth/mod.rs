//! Authentication and permissions: who sends a request, and what that caller may do.

pub(crate) mod access;
pub(crate) mod csrf;
mod login_link;
mod login_throttle;
pub mod own_token;
pub mod permissions;
pub mod proxy;
pub(crate) mod session;
pub mod token;

pub(crate) use access::{Access, AuthMethod, Caller};
pub(crate) use login_throttle::{make_room, network};
pub(crate) use permissions::Action;

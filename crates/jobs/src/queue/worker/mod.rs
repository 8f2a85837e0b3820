//! What a worker process does with the queue. Only [`backend`] and the layer of the completer know
//! apalis.
//!
//! | Module | Role |
//! |---|---|
//! | `backend` | gives jobs to apalis, and starts the tasks below |
//! | `fetcher` | claims jobs under a lease when a slot is free |
//! | `leases` | renews the leases of running jobs |
//! | `completer` | acknowledges runs that have ended, many in one call |
//! | `sweeper` | takes back the jobs of workers that died |
//! | `workers` | says that this process lives, and lists the others |
//! | `context`, `settings` | what these tasks share |

pub(crate) mod backend;
pub(crate) mod completer;
pub(crate) mod context;
pub(crate) mod fetcher;
pub mod journal;
pub(crate) mod leases;
pub(crate) mod settings;
mod sweeper;
pub mod workers;

pub use backend::Consumer;
pub use settings::{Keep, Settings};

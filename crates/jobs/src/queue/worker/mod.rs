//! The tasks of a worker process. Only `backend` and the layer of the completer know apalis.
//!
//! | Module | Role |
//! |---|---|
//! | `backend` | gives jobs to apalis, and starts the tasks below |
//! | `fetcher` | claims jobs under a lease when a slot is free |
//! | `claiming` | records whether claims succeed |
//! | `leases` | renews the leases of running jobs |
//! | `completer` | acknowledges runs that have ended, many in one call |
//! | `run_end` | describes the end of a run for the completer |
//! | `records` | reads the records of claimed jobs |
//! | `sweeper` | takes back the jobs of workers that died |
//! | `workers` | sends the heartbeat of this process, and lists the others |
//! | `journal` | records what a run is about to do to its gateway |
//! | `context`, `settings` | hold what these tasks share |

pub(crate) mod backend;
pub mod claiming;
pub(crate) mod completer;
pub(crate) mod context;
pub(crate) mod fetcher;
pub mod journal;
pub(crate) mod leases;
pub(crate) mod records;
mod run_end;
pub(crate) mod settings;
mod sweeper;
pub mod workers;

pub use backend::Consumer;
pub use settings::{Keep, Settings};

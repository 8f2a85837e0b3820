//! The four job kinds and the durable queue that holds them. This crate opens no connection to a
//! gateway.
//!
//! A producer makes an [`Envelope`] from a job document and [enqueues](Queue::enqueue) it. A worker
//! process takes a [`Consumer`] of the same queue and gives it to apalis with a handler. The
//! handler returns a [`RunResult`], which decides what happens to the job:
//!
//! ```no_run
//! use apalis_core::worker::builder::WorkerBuilder;
//! use mission_core::{Outcome, Report};
//! use mission_jobs::{Claimed, Envelope, Queue, RunResult, Settings, Step};
//!
//! async fn handle(claimed: Claimed) -> RunResult {
//!     println!("attempt {} of a {} job", claimed.attempt, claimed.job.kind());
//!     let report = Report { summary: "nothing to change".to_owned(), ..Report::default() };
//!     RunResult::from(Outcome::Done(Box::new(report))).with_steps(vec![Step::new("compare", 12)])
//! }
//!
//! # async fn example(document: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
//! let queue = Queue::open("redis://127.0.0.1:6379", "mission")?;
//! let accepted = queue.enqueue(&[Envelope::new(document)?]).await?;
//! println!("{} is {:?}", accepted[0].id, accepted[0].state);
//!
//! let consumer = queue.consumer(Settings::default());
//! let worker = WorkerBuilder::new("worker-1").backend(consumer).build(handle);
//! worker.run().await?;
//! # Ok(())
//! # }
//! ```

pub mod envelope;
pub mod kinds;
pub mod private_redis;
pub mod queue;
pub mod retry;
pub mod run;
pub mod seal;

pub use envelope::{Envelope, IdempotencyKey};
pub use queue::{
    Consumer, Enqueued, JobRecord, Keep, PauseScope, Queue, QueueError, Settings, State, Tls,
};
pub use retry::RetryPolicy;
pub use run::{Claimed, RunResult, Step};
pub use seal::Keyring;

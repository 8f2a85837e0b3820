//! The HTTP side of a worker: a real worker process with a real Redis.

mod access;
mod forgery;
mod gateways;
mod jobs;
mod limits;
mod proxied;
mod readiness;
mod scale;
pub mod server;

use mission_jobs::{Envelope, PauseScope, Queue};
use serde_json::Value;
use uuid::Uuid;

use crate::documents;

/// An address at which nothing listens.
const NOWHERE: &str = "ws://127.0.0.1:9";

/// Pauses the queue, so that jobs stay in the state in which a test puts them.
async fn hold(queue: &Queue) {
    let by = mission_jobs::queue::Author::new("test", "test");
    queue.pause(&PauseScope::All, &by, "the test inspects waiting jobs").await.unwrap();
}

/// Returns a valid document for a gateway that does not exist.
fn document(name: &str) -> Value {
    documents::provision(NOWHERE, name)
}

/// Enqueues a job that stays ready.
async fn waiting(queue: &Queue, name: &str) -> Uuid {
    let envelope = Envelope::new(document(name).to_string().as_bytes()).unwrap();
    queue.enqueue(&[envelope]).await.unwrap()[0].id
}

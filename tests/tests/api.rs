//! The HTTP side of a worker: a real process, a real Redis.

mod access;
mod forgery;
mod jobs;
mod limits;
mod proxied;
mod scale;
pub mod server;

use mission_jobs::{Envelope, Queue, Scope};
use serde_json::Value;
use uuid::Uuid;

use crate::documents;

/// Nothing listens there.
const NOWHERE: &str = "ws://127.0.0.1:9";

/// Stops workers from taking jobs, so that they stay where a test puts them.
async fn hold(queue: &Queue) {
    let by = mission_jobs::queue::Author::new("test", "test");
    queue.pause(&Scope::All, &by, "the test looks at jobs that wait").await.unwrap();
}

/// A document that could be run if there were a gateway.
fn document(name: &str) -> Value {
    documents::provision(NOWHERE, name)
}

/// Puts a job on the queue that waits.
async fn waiting(queue: &Queue, name: &str) -> Uuid {
    let envelope = Envelope::new(document(name).to_string().as_bytes()).unwrap();
    queue.enqueue(&[envelope]).await.unwrap()[0].id
}

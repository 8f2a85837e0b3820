//! A job whose times were set while Redis's clock was ahead.

use std::sync::Arc;
use std::time::Duration;

use mission_test_support::RedisServer;

use super::{CLOCK, DOCUMENT};
use crate::envelope::Envelope;
use crate::queue::redis::claim::Room;
use crate::queue::redis::connection::Connection;
use crate::queue::redis::scripts::Scripts;
use crate::queue::shards::Shards;
use crate::queue::views::explain::clock_ahead;
use crate::queue::{Author, Queue, Settings, State, Tls};

const HOUR: Duration = Duration::from_secs(3600);
const NOW: u64 = 1_800_000_000_000;

#[tokio::test]
async fn a_job_that_was_delayed_by_a_clock_ahead_says_so_and_can_be_run_by_hand() {
    let server = RedisServer::start().await;
    let redis = Connection::open(&server.url(), Tls::default()).unwrap();
    let shards = Arc::new(Shards::of(vec![Scripts::with_clock("test", redis, CLOCK)]));
    let queue = Queue { shards, ..Queue::open(&server.url(), "test").unwrap() };
    let set = async |now: u64| {
        server.tell::<()>(&format!("SET {{test}}:test-clock {now}")).await;
    };
    let claim = async || {
        let room = Room { wanted: 1, ..Room::default() };
        let batch = queue.shards.first().claim("w", room, &Settings::default()).await.unwrap();
        batch.jobs.len()
    };

    set(NOW + 3_600_000).await;
    let job = Envelope::new(DOCUMENT.as_bytes()).unwrap().with_delay(Duration::from_secs(1));
    queue.enqueue(std::slice::from_ref(&job)).await.unwrap();
    set(NOW).await;
    assert_eq!(claim().await, 0);
    let record = queue.get(job.id).await.unwrap().unwrap();
    let now = queue.summary().await.unwrap().at_ms;
    assert_eq!((record.state, clock_ahead(&record, now)), (State::Scheduled, Some(3_600_000)));

    let by = Author::new("ada", "test");
    assert_eq!(queue.retry(job.id, false, &by, "the clock was wrong").await, Ok(State::Scheduled));
    let record = queue.get(job.id).await.unwrap().unwrap();
    assert_eq!((record.state, clock_ahead(&record, now)), (State::Ready, None));
    assert_eq!(claim().await, 1);
    assert!(queue.retry(job.id, false, &by, "").await.is_err(), "it runs");

    // A delay by a clock that is right says nothing.
    let other = Envelope::new(DOCUMENT.as_bytes()).unwrap().with_delay(HOUR);
    queue.enqueue(std::slice::from_ref(&other)).await.unwrap();
    let record = queue.get(other.id).await.unwrap().unwrap();
    assert_eq!((record.state, clock_ahead(&record, now)), (State::Scheduled, None));
}

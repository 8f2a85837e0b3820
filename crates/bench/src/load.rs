//! The jobs of the measurements.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use mission_jobs::queue::MAX_ENQUEUE;
use mission_jobs::{Envelope, Queue};
use serde_json::json;
use uuid::Uuid;

use crate::error::OrFail;

/// Returns a document as a backend would send it. Each number is another agent, and the gateways
/// take turns.
pub fn document(number: usize, gateways: usize, url: Option<&str>) -> String {
    let gateway = number % gateways;
    json!({
        "version": 1,
        "kind": "provision",
        "gateway": {
            "id": id(1, gateway), "name": format!("Gateway {gateway}"),
            "url": url.unwrap_or("ws://127.0.0.1:9"),
            "token": "token-of-the-gateway", "workspace_root": "/srv/openclaw",
        },
        "agent": {
            "id": id(2, number), "name": format!("Agent {number}"),
            "heartbeat_config": { "every": "10m" },
            "identity_profile": {
                "role": "Release manager", "communication_style": "direct, concise",
            },
        },
        "board": {
            "id": id(3, gateway), "name": "Launch", "objective": "Ship version 2",
            "success_metrics": { "open_bugs": 0 },
        },
        "user": { "name": "Sam Rivera", "timezone": "Europe/Berlin" },
        "auth_token": "token-of-this-agent",
    })
    .to_string()
}

/// Makes the envelopes of the jobs with these numbers.
pub fn envelopes(
    numbers: Range<usize>,
    gateways: usize,
    delay: Duration,
) -> anyhow::Result<Vec<Envelope>> {
    numbers.map(|number| Ok(envelope(number, gateways, None)?.with_delay(delay))).collect()
}

/// Makes the envelope of one job.
pub fn envelope(number: usize, gateways: usize, url: Option<&str>) -> anyhow::Result<Envelope> {
    Envelope::new(document(number, gateways, url).as_bytes())
        .context("the measurement's own document")
}

/// Enqueues jobs in as few calls as possible. Returns the duration of the calls.
pub async fn enqueue(queue: &Queue, jobs: &[Envelope]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for jobs in jobs.chunks(MAX_ENQUEUE) {
        queue.enqueue(jobs).await.or_unreachable()?;
    }
    Ok(began.elapsed())
}

/// Enqueues jobs one at a time.
pub async fn one_at_a_time(queue: &Queue, jobs: &[Envelope]) -> anyhow::Result<()> {
    for job in jobs {
        queue.enqueue(std::slice::from_ref(job)).await.or_unreachable()?;
    }
    Ok(())
}

/// Makes and enqueues jobs, with those of one call in memory at a time. Returns the duration of the
/// calls.
pub async fn fill(
    queue: &Queue,
    jobs: usize,
    gateways: usize,
    delay: Duration,
) -> anyhow::Result<Duration> {
    let mut took = Duration::ZERO;
    for first in (0..jobs).step_by(MAX_ENQUEUE) {
        let batch = envelopes(first..jobs.min(first + MAX_ENQUEUE), gateways, delay)?;
        took += enqueue(queue, &batch).await?;
    }
    Ok(took)
}

fn id(family: u64, number: usize) -> Uuid {
    Uuid::from_u64_pair(0x4000 + (family << 32), 0x8000_0000_0000_0000 + number as u64)
}

//! How long pages and lists take with a million jobs. Prints figures and judges none: run it alone, with
//! `cargo test --release -p mission-tests --test main api::scale -- --ignored --nocapture`.

use std::time::Instant;

use mission_jobs::Envelope;

use super::server::Server;
use super::{document, hold};
use crate::million::{fill, fill_minutes};

/// Requests of each, one after the other.
const TIMES: usize = 50;
/// Nothing is too old or too much.
const SETTINGS: &str = "[http]\nrequests_per_second = 0\n[keep]\nended_days = 3650\nended_count = 10000000\n\
                        dead_days = 3650\ndead_count = 10000000\n";
const PATHS: [&str; 23] = [
    "/",
    "/jobs",
    "/jobs?q=state%3Adead",
    "/jobs?q=nothingofthekind",
    "/jobs/JOB",
    "/failures",
    "/gateways",
    "/workers",
    "/audit",
    "/api/v1/summary",
    "/api/v1/jobs",
    "/api/v1/jobs?q=state%3Adone&limit=200",
    "/api/v1/jobs?q=gateway%3AGATEWAY",
    "/api/v1/jobs?q=error%3Apairing_required",
    "/api/v1/jobs?q=nothingofthekind",
    "/api/v1/jobs/JOB",
    "/api/v1/kinds",
    "/api/v1/series",
    "/api/v1/series?range=24h",
    "/api/v1/series?range=7d",
    "/api/v1/failures",
    "/api/v1/gateways",
    "/metrics",
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a gigabyte and some minutes"]
async fn pages_of_a_million_jobs() {
    let config = tempfile::TempDir::new().unwrap();
    let file = config.path().join("worker.toml");
    std::fs::write(&file, SETTINGS).unwrap();
    let server = Server::start(&[("MISSION_CONFIG", file.to_str().unwrap())]).await;
    hold(&server.queue).await;
    let template = Envelope::new(document("Ada").to_string().as_bytes()).unwrap();
    let ended = std::env::var("MISSION_SCALE_ENDED").map_or(1_000_000, |text| text.parse().unwrap());
    fill(&server.redis, &server.queue, &template, ended).await;
    fill_minutes(&server.redis).await;
    println!("{}", server.get("/api/v1/summary", &[]).await.body);
    for path in PATHS {
        let path = path.replace("JOB", "000f0000-0000-7000-8000-0000000f0000");
        let path = path.replace("GATEWAY", "00000000-0000-0000-0000-000000000007");
        let mut took = Vec::new();
        let mut said = String::new();
        for _ in 0..TIMES {
            let began = Instant::now();
            let answer = server.get(&path, &["accept: text/html"]).await;
            took.push(began.elapsed());
            said = format!("{}, {} bytes", answer.status, answer.body.len());
        }
        took.sort();
        let (half, most) = (took[TIMES / 2], took[TIMES * 95 / 100]);
        println!("{path:60} p50 {:>7} µs   p95 {:>7} µs   {said}", half.as_micros(), most.as_micros());
    }
}

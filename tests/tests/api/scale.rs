//! The response times of pages and lists with a million jobs. The test prints figures and asserts
//! none. Run it alone, with
//! `cargo test --release -p mission-tests --test main api::scale -- --ignored --nocapture`.

use std::time::Instant;

use mission_jobs::Envelope;
use mission_test_support::million::{fill, fill_minutes};

use super::server::Server;
use super::{document, hold};

/// The number of sequential requests per path.
const TIMES: u32 = 50;
/// Settings under which no job is removed and no request is refused.
const SETTINGS: &str = "[http]\nrequests_per_second = 0\n\
    [keep]\nended_days = 3650\nended_count = 10000000\n\
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
#[ignore = "takes a gigabyte and some minutes"]
async fn pages_of_a_million_jobs() {
    let config = tempfile::TempDir::new().unwrap();
    let file = config.path().join("worker.toml");
    std::fs::write(&file, SETTINGS).unwrap();
    let server = Server::start(&[("MISSION_CONFIG", file.to_str().unwrap())]).await;
    hold(&server.queue).await;
    let template = Envelope::new(document("Ada").to_string().as_bytes()).unwrap();
    let ended =
        std::env::var("MISSION_SCALE_ENDED").map_or(1_000_000, |text| text.parse().unwrap());
    fill(&server.redis, &server.queue, &template, ended).await;
    fill_minutes(&server.redis).await;
    println!("{}", server.get("/api/v1/summary", &[]).await.body);
    println!(
        "CPU time of worker and Redis per request, and response times, on a machine that may be \
         busy with other work"
    );
    for path in PATHS {
        let path = path.replace("JOB", "000f0000-0000-7000-8000-0000000f0000");
        let path = path.replace("GATEWAY", "00000000-0000-0000-0000-000000000007");
        let mut took = Vec::new();
        let mut said = String::new();
        let before = (server.cpu(), redis_cpu(&server).await);
        for _ in 0..TIMES {
            let began = Instant::now();
            let answer = server.get(&path, &["accept: text/html"]).await;
            took.push(began.elapsed());
            said = format!("{}, {} bytes", answer.status, answer.body.len());
        }
        took.sort();
        let (own, redis) = (server.cpu() - before.0, redis_cpu(&server).await - before.1);
        let each = |seconds: f64| seconds * 1e3 / f64::from(TIMES);
        let within = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
        let (half, most) = (within(50), within(95));
        println!(
            "{path:60} worker {:>6.1} ms   Redis {:>6.1} ms   half {half:>6.1} ms   95 of 100 \
                {most:>6.1} ms   {said}",
            each(own),
            each(redis)
        );
    }
}

/// Returns the CPU time that Redis has used, in seconds.
async fn redis_cpu(server: &Server) -> f64 {
    let stats: String = server.redis.tell("INFO cpu").await;
    let seconds = |name: &str| -> f64 {
        stats
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok())
            .unwrap()
    };
    seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")
}

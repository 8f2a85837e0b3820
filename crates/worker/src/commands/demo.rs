//! `worker demo`: runs all four kinds of job against simulated gateways, one of which is down at
//! first.
//!
//! The simulated gateways are processes of the program `gateway-sim`, which a build of the
//! workspace puts beside this one. An installed worker comes without it.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use mission_jobs::{Envelope, JobRecord, Queue, State};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::commands::run::{watch_signals, work};
use crate::exit::{Exit, OrExit};
use crate::open_queue::{Store, with_store};
use crate::output;
use crate::settings::Settings;
use mission_http::Door;
use mission_jobs::private_redis::RedisRole;

/// The token that the simulated gateways accept.
const TOKEN: &str = "demo-gateway-token";
/// Time limit of each step of the demo.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// A simulated gateway. It ends when its standard input closes, so it cannot outlive the demo.
struct Simulated {
    url: String,
    process: Child,
}

/// Runs the demo and a worker; ends with the demo if `exit` is set.
pub async fn run(settings: &Settings, exit: bool) -> Result<(), Exit> {
    let (stop, stopping) = watch::channel(false);
    watch_signals(stop.clone())?;
    with_store(settings, RedisRole::Worker, async |Store { queue, private_url }| {
        let demo = tokio::spawn(narrate(queue.clone(), stop.clone(), exit));
        let started = |door: &Door| print_addresses(door, private_url.as_deref(), &settings.queue);
        let ended = work(settings, queue.clone(), stopping, started).await;
        demo.abort();
        let played = demo.await;
        ended?;
        // An error means that a signal stopped the demo before its end.
        played.unwrap_or(Ok(()))
    })
    .await
}

/// Plays the demo and prints its result.
async fn narrate(queue: Queue, stop: watch::Sender<bool>, exit: bool) -> Result<(), Exit> {
    let played = play(&queue).await;
    say(match &played {
        Ok(_) => "All five jobs are done: four at once, and the fifth after its gateway came back.",
        Err(_) => "The demo failed.",
    });
    if exit {
        stop.send_replace(true);
    } else if let Ok(gateways) = &played {
        let job = ("an agent on Birch, whose token has changed", locked_out(&gateways[1].url));
        enqueue(&queue, &[job]).await?;
        say("The dashboard shows why the last job is blocked, and the remedy.");
        say("The worker and its gateways keep running; stop them with Ctrl-C.");
        std::future::pending::<()>().await;
    }
    played.map(drop)
}

/// Plays the demo. Returns the gateways, which end when dropped.
async fn play(queue: &Queue) -> Result<[Simulated; 3], Exit> {
    let old = Simulated::start("2026.2.9", 0).await?;
    let new = Simulated::start("2026.9.6", 0).await?;
    let away = Simulated::start("2026.9.6", 0).await?;
    say(&format!(
        "Gateway Alder (like OpenClaw 2026.2.9) is at {}, gateway Birch (like 2026.9.6) at {}.",
        old.url, new.url
    ));
    let (away_url, away_port) = (away.url.clone(), away.port()?);
    away.stop().await;
    say(&format!("Gateway Cedar belongs at {away_url}, but is down."));

    let first = [
        ("a lead on Alder", provision("Alder", &old.url, "Ada", true)),
        ("an agent on Cedar, which is down", provision("Cedar", &away_url, "Clive", false)),
        ("the main agent of Birch", main_agent("Birch", &new.url)),
    ];
    let first = enqueue(queue, &first).await?;
    let (down, _) = first[1];
    let mut shown = HashMap::new();
    wait(queue, &first, &mut shown, |job| {
        job.state == State::Done || (job.id == down && job.state == State::Retrying)
    })
    .await?;
    say("Gateway Cedar comes back.");
    let cedar = Simulated::start("2026.9.6", away_port).await?;
    let second = ("new heartbeats on Alder", heartbeats("Alder", &old.url));
    let second = enqueue(queue, &[second]).await?;
    wait(queue, &second, &mut shown, |job| job.state == State::Done).await?;
    let third = ("cleanup of the lead on Alder", cleanup("Alder", &old.url, "Ada"));
    let third = enqueue(queue, &[third]).await?;
    let all: Vec<_> = first.into_iter().chain(third).collect();
    wait(queue, &all, &mut shown, |job| job.state == State::Done).await?;
    Ok([old, new, cedar])
}

/// Enqueues documents. Returns the id and the description of each.
async fn enqueue(
    queue: &Queue,
    jobs: &[(&'static str, Value)],
) -> Result<Vec<(Uuid, &'static str)>, Exit> {
    let envelopes = jobs.iter().map(|(_, document)| Envelope::new(document.to_string().as_bytes()));
    let envelopes =
        envelopes.collect::<Result<Vec<_>, _>>().context("the demo's own documents").or_failed()?;
    let accepted = queue.enqueue(&envelopes).await.context("enqueue").or_unreachable()?;
    for ((what, document), job) in jobs.iter().zip(&accepted) {
        let kind = document["kind"].as_str().unwrap_or_default();
        say(&format!("Enqueued {kind} ({what}): {}", job.id));
    }
    Ok(accepted.iter().zip(jobs).map(|(job, (what, _))| (job.id, *what)).collect())
}

/// Prints each new state of the jobs until all of them satisfy `settled`.
async fn wait(
    queue: &Queue,
    jobs: &[(Uuid, &'static str)],
    shown: &mut HashMap<Uuid, State>,
    settled: impl Fn(&JobRecord) -> bool,
) -> Result<(), Exit> {
    let began = Instant::now();
    while began.elapsed() < SETTLED_WITHIN {
        let mut left = jobs.len();
        for (id, what) in jobs {
            let job = queue.get(*id).await.context("the demo's job").or_unreachable()?;
            let job = job.ok_or_else(|| anyhow!("job {id} is gone")).or_failed()?;
            if shown.insert(*id, job.state) != Some(job.state) {
                print_state(what, &job);
            }
            left -= usize::from(settled(&job));
            if matches!(job.state, State::Dead | State::Blocked) {
                return Err(anyhow!("job {id} ({what}) is {}", job.state)).or_failed();
            }
        }
        if left == 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(anyhow!("the jobs were not done within {} s", SETTLED_WITHIN.as_secs())).or_failed()
}

fn print_state(what: &str, job: &JobRecord) {
    let because = match job.state {
        State::Done => job.report.as_ref().map(|report| report.summary.clone()),
        State::Running | State::Ready => None,
        _ => job.failure.as_ref().map(|failure| failure.message.clone()),
    };
    let because = because.map_or_else(String::new, |because| format!(": {because}"));
    say(&format!("  {:9} {what}, run {}{because}", job.state.as_str(), job.runs));
}

/// Prints a line of the demo to standard error, marked so that it stands out in a log.
fn say(line: &str) {
    output::say(&format!("demo: {line}"));
}

/// Prints the addresses where the demo can be watched.
fn print_addresses(door: &Door, private_url: Option<&str>, queue: &str) {
    let addr = door.addr;
    say(&format!(
        "The dashboard is at http://{addr}/, health at http://{addr}/readyz, metrics at \
            http://{addr}/metrics."
    ));
    say(&format!(
        "To retry or pause jobs there, sign in with this link, which works once: {}",
        door.link()
    ));
    if let Some(url) = private_url {
        let program = std::env::args().next().unwrap_or_else(|| "worker".into());
        say(&format!(
            "To list the jobs in another terminal: {program} jobs list --queue {queue} \
                --redis-url {url}"
        ));
    }
}

impl Simulated {
    async fn start(profile: &str, port: u16) -> Result<Self, Exit> {
        let program = program().or_usage()?;
        let mut process = Command::new(&program)
            .args(["--profile", profile, "--token", TOKEN, "--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())
            .or_usage()?;
        let stdout = process.stdout.take().expect("it is piped");
        let url =
            BufReader::new(stdout).lines().next_line().await.context("gateway-sim").or_failed()?;
        let url = url.ok_or_else(|| anyhow!("gateway-sim ended at once")).or_failed()?;
        Ok(Self { url, process })
    }

    fn port(&self) -> Result<u16, Exit> {
        let port = self.url.rsplit(':').next().and_then(|port| port.parse().ok());
        port.ok_or_else(|| anyhow!("unexpected output of gateway-sim: {}", self.url)).or_failed()
    }

    async fn stop(mut self) {
        // The process may have ended already.
        let _ = self.process.kill().await;
    }
}

fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("gateway-sim");
    if program.exists() {
        return Ok(program);
    }
    let missing = io::Error::new(
        io::ErrorKind::NotFound,
        "the demo needs the program `gateway-sim` in the directory of this program",
    );
    Err(missing).context("run `make demo` in the source tree, which builds both")
}

fn gateway(name: &str, url: &str) -> Value {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    json!({ "id": id, "name": name, "url": url, "token": TOKEN, "workspace_root": "/srv/openclaw" })
}

fn agent(name: &str, lead: bool) -> Value {
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    let role = if lead { "Lead" } else { "Builder" };
    json!({
        "id": id, "name": name, "is_board_lead": lead, "identity_profile": { "role": role },
    })
}

fn provision(place: &str, url: &str, name: &str, lead: bool) -> Value {
    let board = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"board");
    json!({
        "version": 1, "kind": "provision",
        "gateway": gateway(place, url), "agent": agent(name, lead),
        "board": { "id": board, "name": "Launch", "objective": "Show what the worker does" },
        "auth_token": "demo-agent-token",
    })
}

fn main_agent(place: &str, url: &str) -> Value {
    json!({
        "version": 1, "kind": "provision-main", "gateway": gateway(place, url),
        "agent": agent("Birch Main", false), "auth_token": "demo-agent-token",
    })
}

/// Returns a job with a token that the gateway refuses.
fn locked_out(url: &str) -> Value {
    let mut job = provision("Birch", url, "Bea", false);
    job["gateway"]["token"] = json!("the-token-of-last-week");
    job
}

fn heartbeats(place: &str, url: &str) -> Value {
    let mut lead = agent("Ada", true);
    lead["heartbeat_config"] = json!({ "every": "30m" });
    json!({
        "version": 1, "kind": "heartbeat-sync", "gateway": gateway(place, url), "agents": [lead],
    })
}

fn cleanup(place: &str, url: &str, name: &str) -> Value {
    let agent = agent(name, true);
    json!({ "version": 1, "kind": "cleanup", "gateway": gateway(place, url), "agent": agent })
}

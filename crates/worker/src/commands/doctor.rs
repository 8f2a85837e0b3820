//! `worker doctor`: checks the setup, the durability, the queue and the gateways, and suggests
//! remedies.

mod gateways;
mod shards;
mod wounds;

use mission_jobs::queue::views::explain::clock_ahead;
use mission_jobs::queue::{
    Counts, Filter, MAX_PAGE, Pause, PlainSecrets, Server, Slots, WorkerRecord, evicts,
};
use mission_jobs::{Queue, QueueError, State};
use serde::Serialize;

use crate::commands::{NO_EVICTION_REMEDY, by_state, pause};
use crate::exit::Exit;
use crate::open_queue::{Store, with_store};
use crate::output::Output;
use crate::settings::Settings;
use mission_core::humanize::{count, span};
use mission_jobs::private_redis::RedisRole;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    /// The check passed.
    Ok,
    /// It works, but needs attention.
    Warning,
    /// It has to be fixed.
    Failed,
}

/// The result of one check.
#[derive(Debug, Serialize)]
struct Finding {
    about: String,
    grade: Grade,
    says: String,
    /// The step that a person can take.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    fn new(about: impl Into<String>, grade: Grade, says: impl Into<String>) -> Self {
        Self { about: about.into(), grade, says: says.into(), remedy: None }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// Runs all checks, after a repair if that is asked for; status 1 if one failed, 3 if Redis is
/// unreachable.
pub async fn run(settings: &Settings, output: Output, repair: bool) -> Result<(), Exit> {
    with_store(settings, RedisRole::Command, async |store| {
        let mut findings = vec![configuration(settings)];
        let away = shards::away(&store.queue).await?;
        if !away.is_empty() {
            findings.extend(shards::check(settings, store, &away, repair).await);
            output.print_all(&findings, in_words);
            return Err(Exit::UNREACHABLE);
        }
        if repair {
            findings.push(wounds::repair(&store.queue).await?);
        }
        let checked = check(settings, store, &mut findings).await;
        output.print_all(&findings, in_words);
        checked?;
        let failed = findings.iter().any(|finding| finding.grade == Grade::Failed);
        if failed { Err(Exit::FAILED) } else { Ok(()) }
    })
    .await
}

async fn check(
    settings: &Settings,
    store: &Store,
    findings: &mut Vec<Finding>,
) -> Result<(), Exit> {
    let queue = &store.queue;
    findings.extend(wounds::check(queue).await?);
    let server = queue.server().await?;
    let private = store.private_url.is_some();
    let recorded = queue.record_counts().await?;
    let secrets = secrets(settings, private, recorded, queue.plain_secrets().await?);
    findings.extend(of_server(&server, private));
    findings.push(secrets);
    findings.extend(jobs(queue, &queue.counts().await?));
    findings.extend(clock(queue).await?);
    findings.extend(queue.paused().await?.iter().map(paused));
    findings.extend(gateways::check(settings, queue).await?);
    findings.extend(queue.workers().await?.iter().filter_map(drained));
    findings.extend(slots(&queue.slots().await?));
    findings.push(worker(settings).await);
    Ok(())
}

/// Checks the server of the first shard.
fn of_server(server: &Server, private: bool) -> Vec<Finding> {
    let mut findings = vec![redis(server, private), durability(server)];
    findings.extend(memory(server));
    findings.extend(replicas(server));
    findings
}

fn paused(pause: &Pause) -> Finding {
    Finding::new("pause", Grade::Warning, pause::in_words(pause))
}

fn configuration(settings: &Settings) -> Finding {
    let says = format!(
        "valid; up to {} at once, {} per gateway; leases of {} s; data in {}",
        count(settings.concurrency as u64, "job"),
        settings.lane_concurrency,
        settings.lease.as_secs_f64(),
        settings.data_dir.display()
    );
    if settings.base_url.is_some() {
        return Finding::new("configuration", Grade::Ok, says);
    }
    let says = format!(
        "{says}; agents.base_url is not set, so agents do not know the address of the main backend"
    );
    Finding::new("configuration", Grade::Warning, says).remedy("set MISSION_BASE_URL")
}

fn redis(server: &Server, private: bool) -> Finding {
    let whose = if private { "started by the worker" } else { "from redis.url" };
    // A proxy may not tell the mode.
    let mode = if server.mode.is_empty() { "" } else { &format!(", {}", server.mode) };
    let says = format!("{} {}{mode}, {whose}", server.kind, server.version);
    if server.is_new_enough() {
        return Finding::new("redis", Grade::Ok, says);
    }
    Finding::new("redis", Grade::Failed, format!("{says}: too old for the scripts of the queue"))
        .remedy(format!("upgrade it to {}.0 or newer", Server::LEAST))
}

fn durability(server: &Server) -> Finding {
    let says = server.durability.in_words();
    if server.durability.survives_a_crash() {
        return Finding::new("durability", Grade::Ok, says);
    }
    Finding::new("durability", Grade::Failed, says).remedy(
        "on that Redis, run CONFIG SET appendonly yes and put `appendonly yes` into its \
            configuration file",
    )
}

fn secrets(
    settings: &Settings,
    private: bool,
    (gateways, agents): (u64, u64),
    plain: PlainSecrets,
) -> Finding {
    let ids: Vec<&str> = settings.keyring.ids().collect();
    // Only the worker's own user can read a private Redis, and could read the key as well.
    let grade = if private { Grade::Warning } else { Grade::Failed };
    let Some((first, others)) = ids.split_first() else {
        let mut says =
            "no key: Redis and its backups contain the tokens of jobs in plain text".to_owned();
        if gateways + agents > 0 {
            let (gateways, agents) = (count(gateways, "gateway"), count(agents, "agent"));
            says =
                format!("{says}, and those of {gateways} and {agents} for as long as these live");
        }
        let remedy = "create a key with `worker key new`, give it to all workers and producers as \
            MISSION_SECRET_KEY, then run `worker key reseal`";
        return Finding::new("secrets", grade, says).remedy(remedy);
    };
    let more = if others.is_empty() {
        String::new()
    } else {
        format!("; also opened with {}", others.join(", "))
    };
    let of = if plain.complete { "" } else { " (only a part was looked at)" };
    let looked_at = count(plain.looked_at as u64, "document");
    if plain.found > 0 {
        let says = format!(
            "in plain text in {} of {looked_at} in Redis{of}, although there is key {first}",
            plain.found
        );
        let remedy = "give the key (MISSION_SECRET_KEY) to all workers and producers, then run \
            `worker key reseal`";
        return Finding::new("secrets", grade, says).remedy(remedy);
    }
    let says = format!("sealed with key {first}{more}; no plain ones in {looked_at}{of}");
    Finding::new("secrets", Grade::Ok, says)
}

fn memory(server: &Server) -> Vec<Finding> {
    let evicts = match &server.eviction {
        Some(policy) if !evicts(policy) => None,
        Some(policy) => {
            let now = if server.max_memory.is_some() { "" } else { "; it has no limit at present" };
            let says = format!(
                "maxmemory-policy is {policy}: a full Redis deletes jobs{now}; `worker run` \
                    refuses it"
            );
            Some(Finding::new("memory", Grade::Failed, says).remedy(NO_EVICTION_REMEDY))
        }
        None => {
            let says = "INFO does not tell the maxmemory-policy";
            let remedy = "make sure that it is noeviction, because any other deletes jobs";
            Some(Finding::new("memory", Grade::Warning, says).remedy(remedy))
        }
    };
    let is_full = server.max_memory.is_some_and(|most| server.used_memory > most / 10 * 8);
    let full = is_full.then(|| {
        Finding::new("memory", Grade::Warning, "more than 80 % of maxmemory is in use")
            .remedy("raise maxmemory, or keep fewer ended jobs ([keep] in the configuration)")
    });
    evicts.into_iter().chain(full).collect()
}

fn replicas(server: &Server) -> Option<Finding> {
    let says = format!(
        "{}; Redis does not wait for replicas before it answers, so a failover can lose jobs that \
            were acknowledged just before",
        count(server.replicas, "replica")
    );
    (server.replicas > 0).then(|| Finding::new("replicas", Grade::Ok, says))
}

fn jobs(queue: &Queue, counts: &Counts) -> Vec<Finding> {
    let says = format!("{}: {}", queue.name(), by_state(counts, "no jobs yet"));
    let mut findings = vec![Finding::new("queue", Grade::Ok, says)];
    for state in [State::Blocked, State::Dead] {
        let stuck = counts.of(state);
        if stuck > 0 {
            let says = format!("{} {state}", count(stuck, "job"));
            let remedy = format!(
                "`worker jobs list --state {state}` lists them; `worker jobs show ID` shows the \
                    cause and the remedy"
            );
            findings.push(Finding::new("queue", Grade::Warning, says).remedy(remedy));
        }
    }
    findings
}

/// Looks for jobs whose times were set while Redis's clock was ahead, among those that are due
/// first.
async fn clock(queue: &Queue) -> Result<Option<Finding>, QueueError> {
    let (now, mut found) = (queue.summary().await?.at_ms, Vec::new());
    for state in State::ALL.into_iter().filter(|state| state.is_waiting()) {
        let jobs = queue.list(&Filter { limit: MAX_PAGE, ..Filter::new(state) }).await?.jobs;
        found.extend(jobs.iter().filter_map(|job| Some((clock_ahead(job, now)?, job.id))));
    }
    Ok(found.iter().max().map(|(ahead, id)| {
        let says = format!(
            "Redis's clock was up to {} ahead when the times of {} were set, so they wait too long",
            span(*ahead),
            count(found.len() as u64, "waiting job")
        );
        let remedy = format!(
            "let its machine synchronize its clock; `worker jobs retry ID` runs a job now, such as \
                {id}"
        );
        Finding::new("clock", Grade::Warning, says).remedy(remedy)
    }))
}

fn drained(worker: &WorkerRecord) -> Option<Finding> {
    let says = format!("{} on {} is draining: it claims no jobs", worker.name, worker.host);
    let remedy = format!("`worker undrain {}` lets it claim jobs again", worker.name);
    (worker.draining && !worker.gone)
        .then(|| Finding::new("worker", Grade::Warning, says).remedy(remedy))
}

fn slots(slots: &Slots) -> Option<Finding> {
    let remedy = "if the gateways named answer slowly or not at all, repair them or pause their jobs \
        (`worker pause --gateway ID`); else add workers or raise worker.concurrency";
    slots.in_words().map(|full| Finding::new("slots", Grade::Warning, full).remedy(remedy))
}

async fn worker(settings: &Settings) -> Finding {
    let addr = settings.http_addr;
    let (grade, says) = match super::health::ask_worker(settings).await {
        Ok((true, _)) => (Grade::Ok, format!("a worker at {addr} claims jobs")),
        Ok((false, said)) => (Grade::Warning, format!("at {addr}: {said}")),
        Err(_) => {
            let says = format!("no worker answers at {addr}");
            return Finding::new("worker", Grade::Warning, says).remedy(
                "start one with `worker run`, or correct http.addr if one runs at another address",
            );
        }
    };
    Finding::new("worker", grade, says)
}

fn in_words(finding: &Finding) -> String {
    let mark = match finding.grade {
        Grade::Ok => "ok     ",
        Grade::Warning => "warning",
        Grade::Failed => "FAILED ",
    };
    let remedy = finding
        .remedy
        .as_ref()
        .map_or_else(String::new, |remedy| format!("\n          → {remedy}"));
    format!("{mark}  {}: {}{remedy}", finding.about, finding.says)
}

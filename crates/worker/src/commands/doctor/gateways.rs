//! Checks the gateways known to the queue: the state of their jobs, and their answer to a call.

use std::time::Duration;

use futures_util::future::join_all;
use mission_core::apply::{Applier, Inspection};
use mission_core::gateway::Limits;
use mission_core::outcome::{Actor, Failure};
use mission_core::{Job, Outcome};
use mission_jobs::queue::{GatewayRecord, MAX_PAGE};
use mission_jobs::{Queue, State};
use uuid::Uuid;

use super::{Finding, Grade};
use crate::commands::applier_within;
use crate::commands::gateways::live;
use crate::exit::Exit;
use crate::settings::Settings;
use mission_core::humanize::count;

/// Upper bound of a call to a gateway, shorter than that of a job.
const PATIENCE: Duration = Duration::from_secs(15);
/// The step after a remedy that changes nothing in the queue.
const UNBLOCK: &str = "`worker jobs unblock ID`";

/// Checks the jobs of all gateways, and calls all gateways at the same time.
pub async fn check(settings: &Settings, queue: &Queue) -> Result<Vec<Finding>, Exit> {
    let known = queue.gateways(MAX_PAGE).await?;
    let mut findings: Vec<_> = known.iter().map(from_jobs).collect();
    let limits = Limits {
        call: PATIENCE.min(settings.call_timeout),
        patience: Duration::ZERO,
        ..Limits::default()
    };
    let applier = applier_within(settings, limits)?;
    let mut jobs = Vec::new();
    for gateway in &known {
        jobs.push((gateway.id, queue.connection_in_force(gateway.id).await?));
    }
    findings.extend(
        join_all(jobs.iter().map(|(id, job)| from_call(&applier, *id, job.as_ref()))).await,
    );
    Ok(findings)
}

async fn from_call(applier: &Applier, id: Uuid, job: Option<&Job>) -> Finding {
    let about = format!("gateway {id}");
    let Some(gateway) = job.and_then(Job::gateway) else {
        return Finding::new(
            about,
            Grade::Ok,
            "not called: no connection is stored for it that can be opened here",
        );
    };
    let about = if gateway.name.is_empty() { about } else { format!("{about} ({})", gateway.name) };
    match applier.inspect(gateway).await {
        Ok(inspection) if inspection.defects.is_empty() => {
            Finding::new(about, Grade::Ok, in_words(&inspection))
        }
        Ok(inspection) => {
            let says = format!("{}; {}", in_words(&inspection), inspection.defects.join("; "));
            Finding::new(about, Grade::Warning, says)
                .remedy("upgrade the gateway, or follow the advice for its version")
        }
        Err(outcome) => refused(about, &outcome),
    }
}

fn refused(about: String, outcome: &Outcome) -> Finding {
    let failure = outcome.failure();
    let says = failure.map_or_else(|| outcome.name().to_owned(), |failure| failure.message.clone());
    Finding { remedy: remedy(failure), ..Finding::new(about, Grade::Warning, says) }
}

fn remedy(failure: Option<&Failure>) -> Option<String> {
    failure?.remedy.text().map(str::to_owned)
}

fn in_words(inspection: &Inspection) -> String {
    let Inspection { version, protocol, roster, agents, max_frame, .. } = inspection;
    let scopes = inspection
        .scopes
        .as_ref()
        .map_or_else(|| "scopes unknown".to_owned(), |scopes| scopes.join(" "));
    let mut says = format!(
        "answers: version {version}, protocol {protocol}, {scopes}; {} in agents.{roster}; frames \
            up to {} KiB",
        count(*agents as u64, "agent"),
        max_frame / 1024
    );
    for (what, names) in [
        ("does not store", inspection.refused_files.join(" ")),
        ("does not support", inspection.refused_keys.join(" ")),
    ] {
        if !names.is_empty() {
            says = format!("{says}; {what} {names}");
        }
    }
    if !inspection.silent_agents.is_empty() {
        let names = inspection.silent_agents.join(", ");
        says = format!(
            "{says}; does not wake {names}, which have no `heartbeat` in its config while other \
                agents do"
        );
    }
    says
}

fn from_jobs(gateway: &GatewayRecord) -> Finding {
    let about = format!("gateway {}", gateway.id);
    let waiting = count(live(gateway) - gateway.jobs.of(State::Running), "job");
    let blocked = gateway.jobs.of(State::Blocked);
    let failure = gateway.failure.as_ref();
    let words = failure.map_or("", |failure| failure.message.as_str());
    let says = if gateway.is_unreachable() {
        format!(
            "unreachable after {}; {waiting} waiting, of which one tries again from time to time: \
                {words}",
            count(gateway.failures.into(), "attempt")
        )
    } else if blocked > 0 {
        return of_blocked(Finding::new(about, Grade::Warning, ""), gateway, blocked);
    } else {
        let reached = match gateway.reached_at_ms {
            Some(_) => "reached by the latest job",
            None => "not tried yet",
        };
        return Finding::new(about, Grade::Ok, format!("{reached}, {waiting} waiting"));
    };
    Finding { remedy: remedy(failure), ..Finding::new(about, Grade::Warning, says) }
}

/// Says how many jobs are blocked, why, and how they get on.
fn of_blocked(finding: Finding, gateway: &GatewayRecord, blocked: u64) -> Finding {
    let says = format!("{} blocked", count(blocked, "job"));
    // Without one, what refuses the jobs is not the gateway, and each job names its own reason.
    let failure = gateway.failure.as_ref();
    let Some(failure) = failure.filter(|_| gateway.failed_at_ms > gateway.reached_at_ms) else {
        let remedy = format!(
            "`worker jobs list state:blocked gateway:{}` lists them; `worker jobs show ID` shows \
                the cause and the remedy; after that, `worker jobs unblock ID` frees a job",
            gateway.id
        );
        return Finding { says, ..finding }.remedy(remedy);
    };
    let text = remedy(Some(failure));
    let frees = failure.remedy.retry_helps && failure.remedy.actor != Actor::Backend;
    let remedy = text.map(|text| if frees { format!("{text}, then {UNBLOCK}") } else { text });
    Finding { says: format!("{says}: {}", failure.message), remedy, ..finding }
}

//! The page of a gateway.

use askama::Template;
use axum::extract::{Form, Path, Query};
use axum::response::{Html, Redirect};
use mission_core::humanize::{count, number, span, utc};
use mission_jobs::queue::views::explain::Command;
use mission_jobs::queue::{
    AgentCounts, AgentPage, AgentPhase, GatewayRecord, MAX_AGENTS, Pause, RecordedAgent,
    RecordedConnection, Search,
};
use mission_jobs::{JobRecord, PauseScope, State};
use serde::Deserialize;
use uuid::Uuid;

use super::gateways::{held_until, is_failing, name, reach};
use super::html::Prose;
use super::jobs::PAGE;
use super::layout::Frame;
use super::page_context::PageContext;
use super::state_counts::{StateCount, counted};
use super::{Facts, address, known_facts, sentence, written};
use crate::actions::Actions;
use crate::problem::{Answer, Problem};

#[derive(Template)]
#[template(path = "dashboard/gateway.html")]
struct GatewayPage<'a> {
    frame: Frame,
    id: Uuid,
    /// `yes`, `no`, `refused` or `unknown`.
    reach: &'static str,
    /// The same in words.
    reach_words: String,
    /// The state of the gateway.
    sentence: String,
    remedy: Option<String>,
    /// The command of the remedy, to be copied.
    command: Option<Command>,
    facts: Facts,
    counts: Vec<StateCount>,
    pause: Option<&'a Pause>,
    /// The jobs that have not ended, or are dead.
    jobs: Vec<JobRecord>,
    /// The agents by phase, in a sentence.
    agents_sentence: String,
    agents: AgentPage,
}

/// The part of the address that selects a page of agents.
#[derive(Deserialize)]
pub(super) struct AgentsFrom {
    #[serde(default)]
    agents: u32,
}

pub(super) async fn show(
    context: PageContext,
    Path(id): Path<String>,
    Query(from): Query<AgentsFrom>,
) -> Answer<Html<String>> {
    let missing = || Problem::missing(format!("no job was enqueued for gateway {id}"));
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = context.glance().await?;
    let gateway = glance.gateways.iter().find(|gateway| gateway.id == id).ok_or_else(missing)?;
    let live = State::ALL.into_iter().filter(|state| !state.is_terminal() || *state == State::Dead);
    let search = Search { gateway: Some(id), states: live.collect(), ..Search::default() };
    let queue = &context.actions.app.queue;
    let found = queue.search(&search, None, PAGE).await?;
    let recorded = queue.recorded(id).await?;
    let agents = queue.recorded_agents(id, from.agents.into(), MAX_AGENTS).await?;
    let now_ms = glance.now_ms();
    let (reach, reach_words) = reach(gateway, now_ms);
    let failure = gateway.failure.as_ref().filter(|_| reach == "no" || is_failing(gateway));
    let remedy = failure.map(|failure| &failure.remedy);
    Ok(written(&GatewayPage {
        frame: context.frame(&name(gateway), &glance),
        id,
        reach,
        reach_words,
        sentence: state(gateway, now_ms),
        remedy: remedy.and_then(|remedy| remedy.text()).map(sentence),
        command: remedy.and_then(Command::of),
        facts: facts(gateway, recorded.connection.as_ref(), now_ms),
        counts: counted(&gateway.jobs, Some(id), true, &[]),
        pause: glance.pause_of(&PauseScope::Gateway(id)),
        jobs: found.jobs,
        agents_sentence: in_phases(&recorded.agents),
        agents,
    }))
}

#[derive(Deserialize)]
pub(super) struct ForgetForm {
    #[serde(default)]
    why: String,
    #[serde(default)]
    force: bool,
}

pub(super) async fn forget(
    actions: Actions,
    Path(id): Path<String>,
    Form(form): Form<ForgetForm>,
) -> Answer<Redirect> {
    actions.forget_gateway(Problem::parse("id", &id)?, form.force, &form.why).await?;
    Ok(Redirect::to(&address::to("/gateways", &[("did", "forget")])))
}

/// Returns the number of agents in each phase, in words.
fn in_phases(agents: &AgentCounts) -> String {
    let phases =
        [("wanted", agents.wanted), ("deleting", agents.deleting), ("deleted", agents.deleted)];
    let some = phases.into_iter().filter(|(_, count)| *count > 0);
    some.map(|(phase, count)| format!("{} {phase}", number(count))).collect::<Vec<_>>().join(", ")
}

/// Returns the state of an agent on the gateway, in words.
const fn standing(agent: &RecordedAgent) -> &'static str {
    match agent.phase {
        AgentPhase::Wanted if agent.observed => "as wanted",
        AgentPhase::Wanted => "to be written",
        AgentPhase::Deleting => "to be removed",
        AgentPhase::Deleted => "removed",
    }
}

/// Returns the names of what a run still has to do once for an agent.
fn owed(agent: &RecordedAgent) -> String {
    agent.owed.iter().map(|owed| owed.as_str()).collect::<Vec<_>>().join(", ")
}

/// Returns the state of a gateway in a sentence.
fn state(gateway: &GatewayRecord, now_ms: u64) -> String {
    let words = gateway.failure.as_ref().map_or("", |failure| failure.message.as_str());
    let again = held_until(gateway, now_ms).map_or_else(String::new, |until| {
        format!(" Its jobs wait; one job tries again in {}.", span(until - now_ms))
    });
    if gateway.is_unreachable() {
        return format!(
            "It could not be reached {} times in a row: {words}.{again}",
            gateway.failures
        );
    }
    if is_failing(gateway) && !words.is_empty() {
        return format!("Last error: {words}.{again}");
    }
    match gateway.reached_at_ms {
        Some(at) => format!("A job reached it {} ago.{again}", span(now_ms.saturating_sub(at))),
        None => "No job has reached it yet.".to_owned(),
    }
}

fn facts(gateway: &GatewayRecord, connection: Option<&RecordedConnection>, now_ms: u64) -> Facts {
    let recorded = connection.and_then(|connection| connection.url.clone());
    let url = recorded.or_else(|| gateway.url.clone());
    let when = |at: Option<u64>| at.map(|at| utc(at, "%Y-%m-%d %H:%M:%S UTC"));
    let waiting = gateway.waiting_since_ms.map(|since| span(now_ms.saturating_sub(since)));
    let after_writes = gateway
        .version
        .is_some()
        .then(|| if gateway.restarts_on_write { "yes" } else { "not seen" }.to_owned());
    known_facts([
        ("Address", url.map(|url| format!("`{url}`"))),
        ("Connection", connection.map(|connection| came(connection, now_ms))),
        ("Version", gateway.version.clone()),
        ("Protocol", gateway.protocol.map(|protocol| protocol.to_string())),
        ("Agents in", gateway.roster.clone().map(|roster| format!("`agents.{roster}`"))),
        ("Scopes", gateway.scopes.as_ref().map(|scopes| scopes.join(" "))),
        ("Config writes", gateway.write_limit.clone()),
        ("Restarts on write", after_writes),
        ("Restarted", when(gateway.restarted_at_ms)),
        ("TLS", gateway.insecure_tls.then(|| "certificate not checked".to_owned())),
        ("Reached", when(gateway.reached_at_ms)),
        ("Failed", when(gateway.failed_at_ms)),
        ("Next try", when(held_until(gateway, now_ms))),
        ("Oldest job waits", waiting),
        (
            "Heartbeats",
            gateway
                .heartbeat_turns_per_day
                .map(|turns| format!("{} per day", count(turns, "turn"))),
        ),
        ("Worker", gateway.owner.clone()),
    ])
}

/// Returns the revision of a connection, and when and with which document it came.
fn came(connection: &RecordedConnection, now_ms: u64) -> String {
    let revision = connection.revision.map(|revision| format!("revision {revision}, "));
    let ago = connection.at_ms.map(|at| format!("{} ago, ", span(now_ms.saturating_sub(at))));
    let how = if connection.stored_alone { "stored without a job, document" } else { "from job" };
    let (revision, ago) = (revision.unwrap_or_default(), ago.unwrap_or_default());
    format!("{revision}{ago}{how} `{}`", connection.document)
}

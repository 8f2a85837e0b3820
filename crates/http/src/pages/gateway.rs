//! The page of a gateway.

use askama::Template;
use axum::extract::Path;
use axum::response::Html;
use mission_core::humanize::{count, span, utc};
use mission_jobs::queue::views::explain::Command;
use mission_jobs::queue::{GatewayRecord, Pause, Search};
use mission_jobs::{JobRecord, PauseScope, State};
use uuid::Uuid;

use super::gateways::{held_until, is_failing, name, reach};
use super::html::Prose;
use super::jobs::PAGE;
use super::layout::Frame;
use super::page_context::PageContext;
use super::state_counts::{StateCount, counted};
use super::{Facts, known_facts, sentence, written};
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
}

pub(super) async fn show(context: PageContext, Path(id): Path<String>) -> Answer<Html<String>> {
    let missing = || Problem::missing(format!("no job was enqueued for gateway {id}"));
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = context.glance().await?;
    let gateway = glance.gateways.iter().find(|gateway| gateway.id == id).ok_or_else(missing)?;
    let live = State::ALL.into_iter().filter(|state| !state.is_terminal() || *state == State::Dead);
    let search = Search { gateway: Some(id), states: live.collect(), ..Search::default() };
    let found = context.actions.app.queue.search(&search, None, PAGE).await?;
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
        facts: facts(gateway, now_ms),
        counts: counted(&gateway.jobs, Some(id), true, &[]),
        pause: glance.pause_of(&PauseScope::Gateway(id)),
        jobs: found.jobs,
    }))
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

fn facts(gateway: &GatewayRecord, now_ms: u64) -> Facts {
    let when = |at: Option<u64>| at.map(|at| utc(at, "%Y-%m-%d %H:%M:%S UTC"));
    let waiting = gateway.waiting_since_ms.map(|since| span(now_ms.saturating_sub(since)));
    let after_writes = gateway
        .version
        .is_some()
        .then(|| if gateway.restarts_on_write { "yes" } else { "not seen" }.to_owned());
    known_facts([
        ("Address", gateway.url.clone().map(|url| format!("`{url}`"))),
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

//! The page of a gateway.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use mission_core::humanize::{count, span, utc};
use mission_jobs::queue::views::explain::Command;
use mission_jobs::queue::{GatewayRecord, Search};
use mission_jobs::{Scope, State};
use uuid::Uuid;

use super::gateways::{is_failing, name, reach};
use super::html::Prose;
use super::job::Fact;
use super::job_row::JobRow;
use super::jobs::PAGE;
use super::layout::{Frame, Paused};
use super::page_context::PageContext;
use super::state_counts::{StateCount, counted};
use super::written;
use crate::App;
use crate::problem::Problem;

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/gateways/{id}", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/gateway.html")]
struct GatewayPage {
    frame: Frame,
    gateway: GatewayView,
}

/// The content of the page.
#[derive(Debug)]
struct GatewayView {
    id: String,
    name: String,
    /// `yes`, `no`, `refused` or `unknown`.
    reach: &'static str,
    /// The same in words.
    reach_words: String,
    /// The state of the gateway.
    sentence: Prose,
    remedy: Option<Prose>,
    /// The command of the remedy, to be copied.
    command: Option<Command>,
    facts: Vec<Fact>,
    counts: Vec<StateCount>,
    pause: Option<Paused>,
    /// The jobs that have not ended, or are dead.
    jobs: Vec<JobRow>,
}

async fn show(context: PageContext, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let missing =
        || Problem::new(StatusCode::NOT_FOUND, format!("no job was enqueued for gateway {id}"));
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = context.glance().await?;
    let record = glance.gateways.iter().find(|gateway| gateway.id == id).ok_or_else(missing)?;
    let live = State::ALL
        .into_iter()
        .filter(|state| !state.is_terminal() || *state == State::Dead)
        .collect();
    let search = Search { gateway: Some(id), states: live, ..Search::default() };
    let found = context.app.queue.search(&search, None, PAGE).await?;
    let jobs = found.jobs.iter().map(|job| JobRow::of(job, glance.now_ms())).collect();
    let gateway =
        GatewayView::of(record, glance.pause_of(&Scope::Gateway(id)), jobs, glance.now_ms());
    Ok(written(&GatewayPage { frame: context.frame(&gateway.name, &glance), gateway }))
}

impl GatewayView {
    fn of(gateway: &GatewayRecord, pause: Option<Paused>, jobs: Vec<JobRow>, now_ms: u64) -> Self {
        let (reach, reach_words) = reach(gateway, now_ms);
        let id = gateway.id.to_string();
        let failure = gateway.failure.as_ref().filter(|_| reach == "no" || is_failing(gateway));
        Self {
            name: name(gateway),
            reach,
            reach_words,
            sentence: Prose(sentence(gateway, now_ms)),
            remedy: failure
                .and_then(|failure| failure.remedy.text())
                .map(|text| Prose(super::sentence(text))),
            command: failure.and_then(|failure| Command::of(&failure.remedy)),
            facts: facts(gateway, now_ms),
            counts: counted(&gateway.jobs, Some(&id), true, &[]),
            pause,
            jobs,
            id,
        }
    }
}

fn sentence(gateway: &GatewayRecord, now_ms: u64) -> String {
    let words = gateway.failure.as_ref().map_or("", |failure| failure.message.as_str());
    let again = gateway.held_until_ms.filter(|until| *until > now_ms);
    let again = again.map_or_else(String::new, |until| {
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

fn facts(gateway: &GatewayRecord, now_ms: u64) -> Vec<Fact> {
    let when = |at: Option<u64>| at.map(|at| utc(at, "%Y-%m-%d %H:%M:%S UTC"));
    let held = gateway.held_until_ms.filter(|until| *until > now_ms);
    let waiting = gateway.waiting_since_ms.map(|since| span(now_ms.saturating_sub(since)));
    let after_writes = gateway
        .version
        .is_some()
        .then(|| if gateway.restarts_on_write { "yes" } else { "not seen" }.to_owned());
    let all = [
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
        ("Next try", when(held)),
        ("Oldest job waits", waiting),
        (
            "Heartbeats",
            gateway
                .heartbeat_turns_per_day
                .map(|turns| format!("{} per day", count(turns, "turn"))),
        ),
        ("Worker", gateway.owner.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some(Fact { name, value: Prose(value?) })).collect()
}

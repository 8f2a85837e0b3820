//! The first page: the jobs that need somebody, their causes and remedies, and recent activity.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Html;
use axum::routing::get;
use mission_core::humanize::{number, rough, span};
use mission_jobs::queue::views::explain::{Command, Reader, Story};
use mission_jobs::queue::{Filter, Group, Restart, Search, StatsBucket, Summary};
use mission_jobs::{JobRecord, Queue, Scope, State};
use serde::Deserialize;
use uuid::Uuid;

use super::chart::Chart;
use super::failures::FailureRow;
use super::gateways::GatewayRow;
use super::html::{Prose, When};
use super::kinds::KindRow;
use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, gateways, job_row, kinds, written};
use crate::App;
use crate::problem::Problem;
use crate::stats_range::Range;

/// The most cards of jobs that need somebody.
const MOST_CARDS: usize = 6;
/// The number of blocked jobs, and of dead ones, from which the cards are made.
const LOOK_AT: usize = 50;
const MOST_GATEWAYS: usize = 12;
const MOST_CAUSES: usize = 6;
/// The most ready jobs, and the most restarts, that are read.
const MANY: usize = 200;

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/home.html")]
struct HomePage {
    frame: Frame,
    home: Home,
}

/// The content of the page.
struct Home {
    /// The queue in a sentence, in parts.
    headline: Vec<HeadlinePart>,
    /// The line below the headline.
    beneath: String,
    cards: Vec<Card>,
    groups: Vec<FailureRow>,
    chart: Chart,
    gateways: Vec<GatewayRow>,
    kinds: Vec<KindRow>,
}

/// A part of the headline.
#[derive(Debug)]
struct HeadlinePart {
    /// The style class.
    class: &'static str,
    words: String,
    /// The address of the jobs that it counts.
    link: Option<String>,
}

/// Jobs that need somebody for the same reason.
#[derive(Debug)]
struct Card {
    /// The first of these jobs.
    job: Uuid,
    state: State,
    title: String,
    since: When,
    sentence: Prose,
    remedy: Option<Prose>,
    /// The command of the remedy, to be copied.
    command: Option<Command>,
    /// The number of further jobs.
    others: usize,
    /// The address of the search that finds all of them.
    all: String,
    /// The address of the form that retries all of them.
    retry_all: String,
}

/// The data of the page besides the queue at a glance.
pub(super) struct HomeReads {
    /// Jobs that need somebody.
    needing: Vec<JobRecord>,
    groups: Vec<Group>,
    slices: Vec<StatsBucket>,
    restarts: Vec<Restart>,
    /// Ready jobs in the order in which they are claimed.
    ready: Vec<JobRecord>,
}

#[derive(Deserialize)]
struct HomeQuery {
    #[serde(default)]
    range: String,
}

async fn show(
    context: PageContext,
    Query(query): Query<HomeQuery>,
) -> Result<Html<String>, Problem> {
    let range = Range::named(&query.range);
    let glance = context.glance().await?;
    let now = context.app.shared_reads.home[range as usize]
        .read(|_| Box::pin(read(&context.app.queue, range)))
        .await?;
    let now_ms = glance.now_ms();
    let named =
        |restart: &Restart| (glance.name(restart.gateway).unwrap_or_default(), restart.at_ms);
    let restarts: Vec<_> = now.restarts.iter().map(named).collect();
    let is_paused = |kind| glance.pause_of(&Scope::Kind(kind)).is_some();
    let home = Home {
        headline: headline(&glance.summary),
        beneath: beneath(&glance.summary),
        cards: cards(&now.needing, now_ms),
        groups: now
            .groups
            .iter()
            .map(|group| FailureRow::of(group, glance.name(group.gateway).as_deref(), now_ms))
            .collect(),
        chart: Chart::draw(range, &now.slices, &restarts, now_ms),
        gateways: gateways::rows(&glance, MOST_GATEWAYS),
        kinds: kinds::rows(range, &now.slices, &now.ready, is_paused, now_ms),
    };
    Ok(written(&HomePage { frame: context.frame("Now", &glance), home }))
}

async fn read(queue: &Queue, range: Range) -> Result<HomeReads, Problem> {
    let needing = |state: State| Search { states: vec![state], ..Search::default() };
    let (blocked, dead) = (needing(State::Blocked), needing(State::Dead));
    let oldest = Filter { limit: MANY, ..Filter::new(State::Ready) };
    let (blocked, dead, groups, slices, restarts, ready) = tokio::try_join!(
        queue.search(&blocked, None, LOOK_AT),
        queue.search(&dead, None, LOOK_AT),
        queue.groups(MOST_CAUSES),
        range.read(queue),
        queue.restarts(MANY),
        queue.list(&oldest)
    )?;
    let needing = blocked.jobs.into_iter().chain(dead.jobs).collect();
    Ok(HomeReads { needing, groups, slices, restarts, ready: ready.jobs })
}

/// Returns the queue in a sentence:
/// `2 blocked (need you) · 3 retrying · 5 running · oldest waiting 12 s`.
fn headline(summary: &Summary) -> Vec<HeadlinePart> {
    let of = |state: State| summary.counts.of(state);
    let part = |state: State, words: String| HeadlinePart {
        class: state.as_str(),
        words,
        link: Some(address::to("/jobs", &[("q", &format!("state:{state}"))])),
    };
    let mut parts = Vec::new();
    let live = |state: &State| !state.is_terminal() || *state == State::Dead;
    for state in State::BY_URGENCY.into_iter().filter(live) {
        let words = match (state, of(state)) {
            (_, 0) => continue,
            (State::Blocked, 1) => "blocked (needs you)",
            (State::Blocked, _) => "blocked (need you)",
            (State::Ready, _) => "waiting",
            _ => state.as_str(),
        };
        parts.push(part(state, format!("{} {words}", number(of(state)))));
    }
    if let Some(since) = summary.oldest_ready_at_ms {
        let words = format!("oldest waiting {}", rough(summary.at_ms.saturating_sub(since)));
        parts.push(HeadlinePart { class: "", words, link: None });
    }
    if parts.iter().all(|part| part.class == State::Scheduled.as_str()) {
        let words = match summary.last_ended_at_ms {
            Some(at) => format!("Quiet. Last job {} ago.", rough(summary.at_ms.saturating_sub(at))),
            None => "Quiet. No jobs yet.".to_owned(),
        };
        parts.insert(0, HeadlinePart { class: "", words, link: None });
    }
    parts
}

/// Returns the line below the headline: workers, the next due job, the last ended one.
fn beneath(summary: &Summary) -> String {
    let workers = match (summary.workers, summary.draining) {
        (0, _) => "No worker takes jobs: start one with worker run".to_owned(),
        (1, 0) => "1 worker takes jobs".to_owned(),
        (all, 0) => format!("{all} workers take jobs"),
        (all, draining) => format!("{} of {all} workers take jobs", all.saturating_sub(draining)),
    };
    let due = summary
        .next_due_at_ms
        .filter(|at| *at > summary.at_ms)
        .map_or_else(String::new, |at| format!(" · next job due in {}", rough(at - summary.at_ms)));
    let ended = summary.last_ended_at_ms.map_or_else(String::new, |at| {
        format!(" · last job ended {} ago", span(summary.at_ms.saturating_sub(at)))
    });
    format!("{workers}{due}{ended} · {} done jobs kept", number(summary.counts.of(State::Done)))
}

/// Returns a card for each gateway and cause of jobs that need somebody, blocked jobs first.
fn cards(jobs: &[JobRecord], now_ms: u64) -> Vec<Card> {
    let mut alike: BTreeMap<(bool, String, String), Vec<&JobRecord>> = BTreeMap::new();
    for job in jobs {
        let code = job.failure.as_ref().map_or_else(String::new, |failure| failure.code.clone());
        alike.entry((job.state != State::Blocked, job.lane.clone(), code)).or_default().push(job);
    }
    let alike = alike.iter().take(MOST_CARDS);
    alike.map(|((_, lane, code), jobs)| card(jobs[0], lane, code, jobs.len() - 1, now_ms)).collect()
}

fn card(job: &JobRecord, lane: &str, code: &str, others: usize, now_ms: u64) -> Card {
    let story = Story::of(job, Reader::Page, now_ms);
    let error = if code.is_empty() { String::new() } else { format!(" error:{code}") };
    let search = format!("state:{} gateway:{lane}{error}", job.state);
    let at_ms = job.finished_at_ms.or(job.started_at_ms).unwrap_or(job.enqueued_at_ms);
    Card {
        job: job.id,
        state: job.state,
        title: job_row::title(job),
        since: When { at_ms, now_ms },
        command: story.command,
        sentence: Prose(story.sentence),
        remedy: story.remedy.map(Prose),
        others,
        retry_all: address::to("/bulk", &[("q", &search), ("action", "retry")]),
        all: address::to("/jobs", &[("q", &search)]),
    }
}

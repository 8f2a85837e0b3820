//! The first page: the jobs that need somebody, their causes and remedies, and recent activity.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Html;
use mission_core::humanize::{count, number, rough, span};
use mission_jobs::queue::views::explain::{Reader, Story};
use mission_jobs::queue::{Filter, Group, MAX_PAGE, Restart, Search, StatsBucket, Summary, evicts};
use mission_jobs::{JobRecord, PauseScope, Queue, State};
use serde::Deserialize;

use super::chart::Chart;
use super::failures::FailureRow;
use super::gateways::GatewayRow;
use super::html::Prose;
use super::job_row::short;
use super::kinds::KindRow;
use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, gateways, kinds, written};
use crate::health::not_claiming;
use crate::problem::Answer;
use crate::stats_range::Range;

/// The most cards of jobs that need somebody.
const MOST_CARDS: usize = 6;
/// The number of blocked jobs, and of dead ones, from which the cards are made.
const LOOK_AT: usize = 50;
const MOST_GATEWAYS: usize = 12;
const MOST_CAUSES: usize = 6;

#[derive(Template)]
#[template(path = "dashboard/home.html")]
struct HomePage<'a> {
    frame: Frame,
    /// The queue in a sentence, in parts.
    headline: Vec<HeadlinePart>,
    /// The line below the headline.
    beneath: String,
    /// The `maxmemory-policy` of a Redis that deletes jobs when its memory is full.
    evicts: Option<&'a str>,
    /// The reason why this worker claims no jobs, as `/readyz` says it.
    not_ready: Option<String>,
    cards: Vec<Card<'a>>,
    groups: Vec<FailureRow<'a>>,
    chart: Chart,
    gateways: Vec<GatewayRow<'a>>,
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
struct Card<'a> {
    /// The first of these jobs.
    job: &'a JobRecord,
    story: Story,
    /// The time when it ended, or began to run.
    since_ms: u64,
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
    /// The `maxmemory-policy` of Redis, if it tells.
    eviction: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct HomeQuery {
    #[serde(default)]
    range: String,
}

pub(super) async fn show(
    context: PageContext,
    Query(query): Query<HomeQuery>,
) -> Answer<Html<String>> {
    let range = Range::named(&query.range);
    let glance = context.glance().await?;
    let app = &context.actions.app;
    let now =
        app.shared_reads.home[range as usize].read(|_| Box::pin(read(&app.queue, range))).await?;
    let now_ms = glance.now_ms();
    let named = |restart: &Restart| {
        let short = || short(&restart.gateway.to_string());
        (glance.name(restart.gateway).unwrap_or_else(short), restart.at_ms)
    };
    let restarts: Vec<_> = now.restarts.iter().map(named).collect();
    let is_paused = |kind| glance.pause_of(&PauseScope::Kind(kind)).is_some();
    Ok(written(&HomePage {
        frame: context.frame("Now", &glance),
        headline: headline(&glance.summary),
        beneath: beneath(&glance.summary),
        not_ready: not_claiming(app).await,
        evicts: now.eviction.as_deref().filter(|policy| evicts(policy)),
        cards: cards(&now.needing, now_ms),
        groups: now.groups.iter().map(|group| FailureRow::of(group, &glance)).collect(),
        chart: Chart::draw(range, &now.slices, &restarts, now_ms),
        gateways: gateways::rows(&glance, MOST_GATEWAYS),
        kinds: kinds::rows(range, &now.slices, &now.ready, is_paused, now_ms),
    }))
}

async fn read(queue: &Queue, range: Range) -> Answer<HomeReads> {
    let needing = |state: State| Search { states: vec![state], ..Search::default() };
    let (blocked, dead) = (needing(State::Blocked), needing(State::Dead));
    let oldest = Filter { limit: MAX_PAGE, ..Filter::new(State::Ready) };
    let (blocked, dead, groups, slices, restarts, ready, eviction) = tokio::try_join!(
        queue.search(&blocked, None, LOOK_AT),
        queue.search(&dead, None, LOOK_AT),
        queue.groups(MOST_CAUSES),
        range.read(queue),
        queue.restarts(MAX_PAGE),
        queue.list(&oldest),
        queue.eviction()
    )?;
    let needing = blocked.jobs.into_iter().chain(dead.jobs).collect();
    Ok(HomeReads { needing, groups, slices, restarts, ready: ready.jobs, eviction })
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
    let full = summary.slots.in_words().map_or_else(String::new, |full| format!(" · {full}"));
    format!(
        "{workers}{full}{due}{ended} · {} kept",
        count(summary.counts.of(State::Done), "done job")
    )
}

/// Returns a card for each gateway and cause of jobs that need somebody, blocked jobs first.
fn cards(jobs: &[JobRecord], now_ms: u64) -> Vec<Card<'_>> {
    let mut alike: BTreeMap<(bool, &str, &str), Vec<&JobRecord>> = BTreeMap::new();
    for job in jobs {
        let code = job.failure.as_ref().map_or("", |failure| &failure.code);
        alike.entry((job.state != State::Blocked, &job.lane, code)).or_default().push(job);
    }
    let cards = alike.into_iter().take(MOST_CARDS).map(|((_, lane, code), jobs)| {
        let job = jobs[0];
        let error = if code.is_empty() { String::new() } else { format!(" error:{code}") };
        let search = format!("state:{} gateway:{lane}{error}", job.state);
        Card {
            job,
            story: Story::of(job, Reader::Page, now_ms),
            since_ms: job.finished_at_ms.or(job.started_at_ms).unwrap_or(job.enqueued_at_ms),
            others: jobs.len() - 1,
            retry_all: address::to("/bulk", &[("q", &search), ("action", "retry")]),
            all: address::to("/jobs", &[("q", &search)]),
        }
    });
    cards.collect()
}

//! The first screen: is anything stuck, why, and what to press.

use std::collections::BTreeMap;

use askama::Template;
use mission_jobs::queue::Summary;
use mission_jobs::{JobRecord, State};
use uuid::Uuid;

use super::chart::Chart;
use super::html::{Prose, When};
use super::layout::Frame;
use super::{gateways, groups, job_row, kinds, query};
use mission_core::humanize::{number, rough, span};
use mission_jobs::queue::views::explain::{Reader, Story};

/// Most cards of jobs that need somebody.
const MOST_CARDS: usize = 6;

/// The page.
#[derive(Template)]
#[template(path = "dashboard/home.html")]
pub struct Page {
    /// What is around it.
    pub frame: Frame,
    /// What is on it.
    pub home: Home,
}

/// What is on the first screen.
pub struct Home {
    /// The queue in a sentence, in parts.
    pub headline: Vec<Part>,
    /// What else is worth a word.
    pub beneath: String,
    /// Jobs that need somebody.
    pub cards: Vec<Card>,
    /// Failures by cause.
    pub groups: Vec<groups::Row>,
    /// What happened.
    pub chart: Chart,
    /// The gateways.
    pub gateways: Vec<gateways::Row>,
    /// The kinds of job.
    pub kinds: Vec<kinds::Row>,
}

/// A part of the headline.
#[derive(Debug)]
pub struct Part {
    /// Its colour.
    pub class: &'static str,
    /// What it says.
    pub words: String,
    /// Where that is.
    pub link: Option<String>,
}

/// Jobs that need somebody for the same reason.
#[derive(Debug)]
pub struct Card {
    /// The first of them.
    pub job: Uuid,
    /// Where it is.
    pub state: State,
    /// What it is called.
    pub title: String,
    /// Since when.
    pub since: When,
    /// Why.
    pub sentence: Prose,
    /// What a person can do.
    pub remedy: Option<Prose>,
    /// Commands of that.
    pub commands: Vec<String>,
    /// How many more there are.
    pub others: usize,
    /// Where all of them are.
    pub all: String,
    /// Where all of them can be retried.
    pub retry_all: String,
}

/// The queue in a sentence: `2 blocked (need you) · 3 retrying · 5 running · oldest waiting 12 s`.
#[must_use]
pub fn headline(summary: &Summary) -> Vec<Part> {
    let of = |state: State| summary.counts.of(state);
    let part = |state: State, words: String| Part {
        class: state.as_str(),
        words,
        link: Some(query::to("/jobs", &[("q", &format!("state:{state}"))])),
    };
    let mut parts = Vec::new();
    match of(State::Blocked) {
        0 => {}
        1 => parts.push(part(State::Blocked, "1 blocked (needs you)".to_owned())),
        blocked => {
            parts.push(part(State::Blocked, format!("{} blocked (need you)", number(blocked))))
        }
    }
    for state in [
        State::Dead,
        State::Retrying,
        State::Snoozed,
        State::Running,
        State::Ready,
        State::Scheduled,
    ] {
        if of(state) > 0 {
            let words = if state == State::Ready { "waiting" } else { state.as_str() };
            parts.push(part(state, format!("{} {words}", number(of(state)))));
        }
    }
    if let Some(since) = summary.oldest_ready_at_ms {
        let words = format!("oldest waiting {}", rough(summary.at_ms.saturating_sub(since)));
        parts.push(Part { class: "", words, link: None });
    }
    if parts.iter().all(|part| part.class == State::Scheduled.as_str()) {
        let words = match summary.last_ended_at_ms {
            Some(at) => format!("Quiet. Last job {} ago.", rough(summary.at_ms.saturating_sub(at))),
            None => "Quiet. No job has come yet.".to_owned(),
        };
        parts.insert(0, Part { class: "", words, link: None });
    }
    parts
}

/// What else is worth a word: workers, what is due, what is done.
#[must_use]
pub fn beneath(summary: &Summary) -> String {
    let workers = match (summary.workers, summary.draining) {
        (0, _) => "No worker takes jobs: start one with worker run".to_owned(),
        (1, 0) => "1 worker takes jobs".to_owned(),
        (all, 0) => format!("{all} workers take jobs"),
        (all, draining) => format!("{} of {all} workers take jobs", all.saturating_sub(draining)),
    };
    let due =
        summary.next_due_at_ms.filter(|at| *at > summary.at_ms).map_or_else(String::new, |at| {
            format!(" · the next waiting job is due in {}", rough(at - summary.at_ms))
        });
    let ended = summary.last_ended_at_ms.map_or_else(String::new, |at| {
        format!(" · the last one ended {} ago", span(summary.at_ms.saturating_sub(at)))
    });
    format!("{workers}{due}{ended} · {} done are kept", number(summary.counts.of(State::Done)))
}

/// Cards for jobs that need somebody, those of one gateway and cause together. Blocked ones first.
#[must_use]
pub fn cards(jobs: &[JobRecord], now_ms: u64) -> Vec<Card> {
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
        commands: story.commands().into_iter().map(str::to_owned).collect(),
        sentence: Prose(story.sentence),
        remedy: story.remedy.map(Prose),
        others,
        retry_all: query::to("/bulk", &[("q", &search), ("action", "retry")]),
        all: query::to("/jobs", &[("q", &search)]),
    }
}

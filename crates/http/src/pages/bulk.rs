//! One action on all jobs that a search finds: a page that asks for confirmation, and one that
//! shows the progress.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use mission_core::humanize::count;
use mission_jobs::queue::Search;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::job::parse_span;
use super::job_row::JobRow;
use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, sentence, written};
use crate::App;
use crate::auth::Caller;
use crate::bulk::{self, BulkAction, BulkRequest, UNCONFIRMED};
use crate::problem::Problem;

/// The number of jobs that are shown before anything is done.
const SAMPLE: usize = 10;

/// The actions: name, past participle, and consequence.
const ACTIONS: [(&str, &str, &str); 4] = [
    (
        "retry",
        "retried",
        "They run again now, with all their attempts. Dead jobs that newer jobs have overtaken are \
            skipped.",
    ),
    ("snooze", "snoozed", "They wait until then. This does not count as an attempt."),
    ("cancel", "cancelled", "They end and do not run again. Running jobs stop within seconds."),
    ("discard", "discarded", "Only dead jobs are discarded."),
];

/// Returns the routes of both pages.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/bulk", get(ask).post(begin)).route("/bulk/{id}", get(progress))
}

/// The page that asks for confirmation.
#[derive(Template)]
#[template(path = "dashboard/bulk.html")]
struct BulkPage {
    frame: Frame,
    bulk: BulkQuestion,
}

/// The question whether all jobs found are meant.
#[derive(Debug)]
struct BulkQuestion {
    q: String,
    /// `retry`, `snooze`, `cancel` or `discard`.
    action: &'static str,
    /// The number of jobs found.
    count: u64,
    /// The number with its noun.
    words: String,
    /// `true` if the number must be typed to confirm.
    typed: bool,
    /// The error of the previous attempt.
    error: Option<String>,
    /// The reason that was typed then.
    why: String,
    /// The first of the jobs.
    sample: Vec<JobRow>,
    /// The address of the search.
    back: String,
    /// The past participle of the action.
    done: &'static str,
    consequence: &'static str,
}

/// The page that shows the progress.
#[derive(Template)]
#[template(path = "dashboard/bulk_progress.html")]
struct BulkProgressPage {
    frame: Frame,
    bulk: BulkProgressView,
}

/// The progress of a bulk action.
#[derive(Debug)]
struct BulkProgressView {
    action: String,
    sentence: String,
    /// The number of jobs, 1 at least.
    total: u64,
    /// The number of jobs that were tried.
    passed: u64,
    done: u64,
    refused: u64,
    /// The errors of the first jobs that refused.
    errors: Vec<String>,
    finished: bool,
    /// The address of the search.
    back: String,
}

impl BulkQuestion {
    /// Makes the question. Returns none if there is no such action.
    fn new(
        action: &str,
        q: &str,
        matched: usize,
        most_untyped: usize,
        sample: Vec<JobRow>,
    ) -> Option<Self> {
        let (action, done, consequence) = ACTIONS.into_iter().find(|(name, ..)| *name == action)?;
        Some(Self {
            q: q.to_owned(),
            action,
            count: u64::try_from(matched).unwrap_or_default(),
            words: count(u64::try_from(matched).unwrap_or_default(), "job"),
            typed: matched > most_untyped,
            error: None,
            why: String::new(),
            sample,
            back: address::to("/jobs", &[("q", q)]),
            done,
            consequence,
        })
    }

    /// Returns the action with a capital letter.
    fn verb(&self) -> &'static str {
        match self.action {
            "retry" => "Retry",
            "snooze" => "Snooze",
            "cancel" => "Cancel",
            _ => "Discard",
        }
    }

    /// Returns whether the action ends jobs.
    fn is_danger(&self) -> bool {
        matches!(self.action, "cancel" | "discard")
    }
}

#[derive(Deserialize)]
struct BulkQuery {
    #[serde(default)]
    q: String,
    action: String,
}

async fn ask(context: PageContext, Query(query): Query<BulkQuery>) -> Result<Response, Problem> {
    confirm(&context, &query.q, &query.action, None, String::new()).await
}

/// Returns the page that asks for confirmation, with the error of an earlier attempt if there is
/// one.
async fn confirm(
    context: &PageContext,
    q: &str,
    action: &str,
    error: Option<String>,
    why: String,
) -> Result<Response, Problem> {
    let search: Search = q.parse().map_err(|error| Problem::wrong("q", format!("{error}")))?;
    let glance = context.glance().await?;
    let matched = bulk::count(&context.app, &context.caller, &search).await?;
    let found = context.app.queue.search(&search, None, SAMPLE).await?;
    let sample = found.jobs.iter().map(|job| JobRow::of(job, glance.now_ms())).collect();
    let unknown = || Problem::wrong("action", "use retry, snooze, cancel or discard");
    let mut bulk =
        BulkQuestion::new(action, q, matched, UNCONFIRMED, sample).ok_or_else(unknown)?;
    let status = if error.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    bulk.error = error;
    bulk.why = why;
    Ok((status, written(&BulkPage { frame: context.frame(bulk.verb(), &glance), bulk }))
        .into_response())
}

#[derive(Deserialize)]
struct BulkForm {
    #[serde(default)]
    q: String,
    action: String,
    #[serde(default)]
    why: String,
    #[serde(default, rename = "for")]
    wait: String,
    #[serde(default)]
    typed: String,
}

async fn begin(
    State(app): State<Arc<App>>,
    caller: Caller,
    context: PageContext,
    Form(form): Form<BulkForm>,
) -> Result<Response, Problem> {
    let unknown = |_| Problem::wrong("action", "use retry, snooze, cancel or discard");
    let action: BulkAction =
        serde_json::from_value(Value::from(form.action.as_str())).map_err(unknown)?;
    let search: Search = form.q.parse().map_err(|error| Problem::wrong("q", format!("{error}")))?;
    let wait = if action == BulkAction::Snooze { parse_span(&form.wait)? } else { Duration::ZERO };
    let request = BulkRequest { search, action, wait, why: form.why.clone() };
    let typed = form.typed.trim().parse().ok();
    match bulk::begin(&app, &caller, request, typed).await {
        Ok(progress) => Ok(Redirect::to(&format!("/bulk/{}", progress.id)).into_response()),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            let error =
                "Nothing was done: the number does not match. It may have grown since.".to_owned();
            confirm(&context, &form.q, &form.action, Some(error), form.why).await
        }
        Err(problem) => Err(problem),
    }
}

async fn progress(context: PageContext, Path(id): Path<Uuid>) -> Result<Html<String>, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "this worker has no such bulk action; it may have restarted since",
        )
    };
    let glance = context.glance().await?;
    let bulk = context.app.bulks.get(id).ok_or_else(missing)?;
    let action = serde_json::to_value(bulk.action)
        .ok()
        .and_then(|action| action.as_str().map(str::to_owned))
        .unwrap_or_default();
    let whole = |number: usize| u64::try_from(number).unwrap_or_default();
    let passed = whole(bulk.done + bulk.refused);
    let jobs = count(whole(bulk.matched), "job");
    let sentence = if bulk.finished {
        sentence(&format!("{action}: {} of {jobs}, {} skipped", bulk.done, bulk.refused))
    } else {
        sentence(&format!("{action}: {passed} of {jobs} so far"))
    };
    let page = BulkProgressView {
        action,
        sentence,
        total: whole(bulk.matched).max(1),
        passed,
        done: whole(bulk.done),
        refused: whole(bulk.refused),
        errors: bulk.errors.into_iter().map(|refused| refused.message).collect(),
        finished: bulk.finished,
        back: address::to("/jobs", &[("q", &bulk.q)]),
    };
    Ok(written(&BulkProgressPage { frame: context.frame("Progress", &glance), bulk: page }))
}

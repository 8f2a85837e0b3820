//! One action on all jobs that a search finds: asked for with a count, then watched.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use mission_jobs::queue::Search;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::job_row::Line;
use super::jobs::{Bulk, BulkPage, Progress, ProgressPage};
use super::page_context::Visit;
use super::press::span;
use super::{query, sentence, written};
use crate::App;
use crate::access::Caller;
use crate::bulk::{self, BulkAction, Order, UNCONFIRMED};
use crate::problem::Problem;
use mission_core::humanize::count;

/// How many of the jobs are shown before anything is done.
const SAMPLE: usize = 10;

/// Both pages.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/bulk", get(ask).post(begin)).route("/bulk/{id}", get(progress))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    action: String,
}

async fn ask(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    confirm(&visit, &asked.q, &asked.action, None, String::new()).await
}

/// The page that asks, perhaps once more, and then says why.
async fn confirm(
    visit: &Visit,
    q: &str,
    action: &str,
    error: Option<String>,
    why: String,
) -> Result<Response, Problem> {
    let search: Search = q.parse().map_err(|error| Problem::wrong("q", format!("{error}")))?;
    let glance = visit.glance().await?;
    let matched = bulk::count(&visit.app, &visit.caller, &search).await?;
    let found = visit.app.queue.search(&search, None, SAMPLE).await?;
    let sample = found.jobs.iter().map(|job| Line::of(job, glance.now_ms())).collect();
    let unknown = || Problem::wrong("action", "use retry, snooze, cancel or discard");
    let mut bulk = Bulk::new(action, q, matched, UNCONFIRMED, sample).ok_or_else(unknown)?;
    let status = if error.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    bulk.error = error;
    bulk.why = why;
    Ok((status, written(&BulkPage { frame: visit.frame(bulk.verb(), &glance), bulk }))
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
    visit: Visit,
    Form(form): Form<BulkForm>,
) -> Result<Response, Problem> {
    let unknown = |_| Problem::wrong("action", "use retry, snooze, cancel or discard");
    let deed: BulkAction =
        serde_json::from_value(Value::from(form.action.as_str())).map_err(unknown)?;
    let search: Search = form.q.parse().map_err(|error| Problem::wrong("q", format!("{error}")))?;
    let wait =
        if deed == BulkAction::Snooze { span(&form.wait)? } else { std::time::Duration::ZERO };
    let order = Order { search, deed, wait, why: form.why.clone() };
    let typed = form.typed.trim().parse().ok();
    match bulk::begin(&app, &caller, order, typed).await {
        Ok(progress) => Ok(Redirect::to(&format!("/bulk/{}", progress.id)).into_response()),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            let error = "Nothing was done: that is not the number. It may have grown meanwhile; \
                look again."
                .to_owned();
            confirm(&visit, &form.q, &form.action, Some(error), form.why).await
        }
        Err(problem) => Err(problem),
    }
}

async fn progress(visit: Visit, Path(id): Path<Uuid>) -> Result<Html<String>, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "this worker knows no such action; it may have been started anew",
        )
    };
    let glance = visit.glance().await?;
    let bulk = visit.app.bulks.get(id).ok_or_else(missing)?;
    let deed = serde_json::to_value(bulk.action)
        .ok()
        .and_then(|deed| deed.as_str().map(str::to_owned))
        .unwrap_or_default();
    let whole = |number: usize| u64::try_from(number).unwrap_or_default();
    let passed = whole(bulk.done + bulk.refused);
    let jobs = count(whole(bulk.matched), "job");
    let sentence = if bulk.finished {
        sentence(&format!("{deed}: {} of {jobs}, {} left as they are", bulk.done, bulk.refused))
    } else {
        sentence(&format!("{deed}: {passed} of {jobs} so far"))
    };
    let page = Progress {
        action: deed,
        sentence,
        total: whole(bulk.matched).max(1),
        passed,
        done: whole(bulk.done),
        refused: whole(bulk.refused),
        errors: bulk.errors.into_iter().map(|refused| refused.message).collect(),
        finished: bulk.finished,
        back: query::to("/jobs", &[("q", &bulk.q)]),
    };
    Ok(written(&ProgressPage { frame: visit.frame("Progress", &glance), bulk: page }))
}

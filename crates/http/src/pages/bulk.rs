//! One action on all jobs that a search finds: a page that asks for confirmation, and one that
//! shows the progress.

use std::time::Duration;

use askama::Template;
use axum::extract::{Form, Path, Query};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use mission_core::humanize::count;
use mission_jobs::JobRecord;
use mission_jobs::queue::Search;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use uuid::Uuid;

use super::html::Prose;
use super::job::parse_span;
use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, sentence, written};
use crate::bulk::{self, BulkAction, BulkRequest, Progress, UNCONFIRMED};
use crate::problem::{Answer, Problem};

/// The number of jobs that are shown before anything is done.
const SAMPLE: usize = 10;

/// The actions: name, verb, past participle, and consequence.
pub(super) const ACTIONS: [(&str, &str, &str, &str); 4] = [
    (
        "retry",
        "Retry",
        "retried",
        "They run again now, with all their attempts. Dead jobs that newer jobs have overtaken are \
            skipped.",
    ),
    ("snooze", "Snooze", "snoozed", "They wait until then. This does not count as an attempt."),
    (
        "cancel",
        "Cancel",
        "cancelled",
        "They end and do not run again. Running jobs stop within seconds.",
    ),
    ("discard", "Discard", "discarded", "Only dead jobs are discarded."),
];

/// The page that asks for confirmation.
#[derive(Template)]
#[template(path = "dashboard/bulk.html")]
struct BulkPage<'a> {
    frame: Frame,
    q: &'a str,
    /// `retry`, `snooze`, `cancel` or `discard`.
    action: &'a str,
    /// The number of jobs found.
    count: u64,
    /// The number with its noun.
    words: String,
    /// The error of the previous attempt.
    error: Option<&'a str>,
    /// The reason that was typed then.
    why: &'a str,
    /// The first of the jobs.
    jobs: Vec<JobRecord>,
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
    bulk: Progress,
    sentence: String,
    /// The address of the search.
    back: String,
}

/// Makes the problem of an action that does not exist.
fn unknown() -> Problem {
    Problem::wrong("action", "use retry, snooze, cancel or discard")
}

#[derive(Deserialize)]
pub(super) struct BulkQuery {
    #[serde(default)]
    q: String,
    action: String,
}

pub(super) async fn ask(
    context: PageContext,
    Query(query): Query<BulkQuery>,
) -> Answer<Html<String>> {
    confirm(&context, &query.q, &query.action, None, "").await
}

/// Returns the page that asks for confirmation, with the error of an earlier attempt if there is
/// one.
async fn confirm(
    context: &PageContext,
    q: &str,
    action: &str,
    error: Option<&str>,
    why: &str,
) -> Answer<Html<String>> {
    let search: Search = Problem::parse("q", q)?;
    let glance = context.glance().await?;
    let matched = bulk::count(&context.actions, &search).await? as u64;
    let found = context.actions.app.queue.search(&search, None, SAMPLE).await?;
    let (action, verb, done, consequence) =
        ACTIONS.into_iter().find(|(name, ..)| *name == action).ok_or_else(unknown)?;
    Ok(written(&BulkPage {
        frame: context.frame(verb, &glance),
        q,
        action,
        count: matched,
        words: count(matched, "job"),
        error,
        why,
        jobs: found.jobs,
        back: address::to("/jobs", &[("q", q)]),
        done,
        consequence,
    }))
}

#[derive(Deserialize)]
pub(super) struct BulkForm {
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

pub(super) async fn begin(context: PageContext, Form(form): Form<BulkForm>) -> Answer<Response> {
    let action = BulkAction::deserialize(form.action.as_str().into_deserializer())
        .map_err(|_: Error| unknown())?;
    let search = Problem::parse("q", &form.q)?;
    let wait = if action == BulkAction::Snooze { parse_span(&form.wait)? } else { Duration::ZERO };
    let request = BulkRequest { search, action, wait, why: form.why.clone() };
    let typed = form.typed.trim().parse().ok();
    match bulk::begin(&context.actions, request, typed).await {
        Ok(progress) => Ok(Redirect::to(&format!("/bulk/{}", progress.id)).into_response()),
        Err(problem) if problem.status == StatusCode::CONFLICT => {
            let error =
                Some("Nothing was done: the number does not match. It may have grown since.");
            let page = confirm(&context, &form.q, &form.action, error, &form.why).await?;
            Ok((StatusCode::CONFLICT, page).into_response())
        }
        Err(problem) => Err(problem),
    }
}

pub(super) async fn progress(context: PageContext, Path(id): Path<Uuid>) -> Answer<Html<String>> {
    let glance = context.glance().await?;
    let bulk = context.actions.app.bulks.get(id)?;
    let Progress { action, done, refused, .. } = bulk;
    let jobs = count(bulk.matched as u64, "job");
    let words = if bulk.finished {
        format!("{action}: {done} of {jobs}, {refused} skipped")
    } else {
        format!("{action}: {} of {jobs} so far", done + refused)
    };
    Ok(written(&BulkProgressPage {
        frame: context.frame("Progress", &glance),
        sentence: sentence(&words),
        back: address::to("/jobs", &[("q", &bulk.q)]),
        bulk,
    }))
}

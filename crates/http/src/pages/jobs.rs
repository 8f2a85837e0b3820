//! The search for jobs, and the forms for all jobs that it finds.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Html;
use mission_jobs::JobRecord;
use mission_jobs::queue::{Cursor, Search, SearchError};
use serde::Deserialize;

use super::html::Prose;
use super::layout::Frame;
use super::page_context::PageContext;
use super::state_counts::{StateCount, counted};
use super::{address, sentence, written};
use crate::problem::Answer;

/// The number of jobs on a page.
pub(super) const PAGE: usize = 50;

#[derive(Template)]
#[template(path = "dashboard/jobs.html")]
struct JobsPage {
    frame: Frame,
    /// The search as it was typed.
    q: String,
    /// The error in the search.
    error: Option<String>,
    /// The text that stands in place of an empty list.
    empty: &'static str,
    counts: Vec<StateCount>,
    jobs: Vec<JobRecord>,
    /// The address of the next page.
    next: Option<String>,
    /// `true` if this page is not the first.
    later: bool,
    /// The address of the first page.
    first: String,
    /// The address of all jobs found, as JSON.
    export_json: String,
    /// The address of all jobs found, as CSV.
    export_csv: String,
    /// The command that asks the API for the same jobs.
    curl: String,
}

#[derive(Deserialize)]
pub(super) struct JobsQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

pub(super) async fn search(
    context: PageContext,
    Query(query): Query<JobsQuery>,
) -> Answer<(StatusCode, Html<String>)> {
    let glance = context.glance().await?;
    let q = query.q.trim();
    let api = address::to("/api/v1/jobs", &[("q", q)]);
    let mut page = JobsPage {
        frame: context.frame("Jobs", &glance),
        q: q.to_owned(),
        error: None,
        empty: "No matching jobs.",
        counts: Vec::new(),
        jobs: Vec::new(),
        next: None,
        later: !query.after.is_empty(),
        first: address::to("/jobs", &[("q", q)]),
        export_json: address::to("/api/v1/jobs", &[("format", "json"), ("q", q)]),
        export_csv: address::to("/api/v1/jobs", &[("format", "csv"), ("q", q)]),
        curl: format!("curl -H \"Authorization: Bearer $TOKEN\" '{}{api}'", context.origin),
    };
    let parsed = parse(q, &query.after);
    let states = parsed.as_ref().map_or(&[][..], |(search, _)| &search.states);
    page.counts = counted(&glance.summary.counts, None, true, states);
    let (search, after) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            page.error = Some(sentence(&error));
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, written(&page)));
        }
    };
    let found = context.actions.app.queue.search(&search, after.as_ref(), PAGE).await?;
    if found.jobs.is_empty() && found.next.is_some() {
        page.empty = "No matches so far. The search continues on the next page.";
    } else if search == Search::default() {
        page.empty = "No jobs yet.";
    }
    page.jobs = found.jobs;
    let next = |next: Cursor| address::to("/jobs", &[("q", q), ("after", &next.to_string())]);
    page.next = found.next.map(next);
    Ok((StatusCode::OK, written(&page)))
}

/// Parses the search, and the cursor of its page.
fn parse(q: &str, after: &str) -> Result<(Search, Option<Cursor>), String> {
    let search = q.parse().map_err(|error: SearchError| error.to_string())?;
    if after.is_empty() {
        return Ok((search, None));
    }
    let cursor = after.parse().map_err(|_| {
        "this page of the search no longer exists; start from the first page".to_owned()
    })?;
    Ok((search, Some(cursor)))
}

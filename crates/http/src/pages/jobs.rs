//! The search for jobs, and the forms for all jobs that it finds.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use mission_jobs::JobRecord;
use mission_jobs::queue::{Cursor, Search};
use serde::Deserialize;

use super::job_row::JobRow;
use super::layout::Frame;
use super::page_context::PageContext;
use super::state_counts::{StateCount, counted};
use super::{address, sentence, written};
use crate::App;
use crate::problem::Problem;

/// The number of jobs on a page.
pub(super) const PAGE: usize = 50;

/// The actions on all jobs that are found, by value and label.
pub(super) const BUTTONS: [(&str, &str); 4] = [
    ("retry", "Retry all"),
    ("snooze", "Snooze all"),
    ("cancel", "Cancel all"),
    ("discard", "Discard all"),
];

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/jobs", get(search))
}

#[derive(Template)]
#[template(path = "dashboard/jobs.html")]
struct JobsPage {
    frame: Frame,
    jobs: FoundJobs,
}

/// The result of a search.
#[derive(Debug, Default)]
struct FoundJobs {
    /// The search as it was typed.
    q: String,
    /// The error in the search.
    error: Option<String>,
    /// The text that stands in place of an empty list.
    empty: &'static str,
    counts: Vec<StateCount>,
    rows: Vec<JobRow>,
    /// The number of jobs on a page.
    limit: usize,
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
struct JobsQuery {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

async fn search(
    context: PageContext,
    Query(query): Query<JobsQuery>,
) -> Result<(StatusCode, Html<String>), Problem> {
    let glance = context.glance().await?;
    let q = query.q.trim();
    let mut page = FoundJobs {
        q: q.to_owned(),
        limit: PAGE,
        later: !query.after.is_empty(),
        first: address::to("/jobs", &[("q", q)]),
        export_json: address::to("/api/v1/jobs", &[("format", "json"), ("q", q)]),
        export_csv: address::to("/api/v1/jobs", &[("format", "csv"), ("q", q)]),
        ..FoundJobs::default()
    };
    page.curl = format!(
        "curl -H \"Authorization: Bearer $TOKEN\" '{}{}'",
        context.origin,
        address::to("/api/v1/jobs", &[("q", q)])
    );
    let status = match find(&context, q, &query.after).await? {
        Ok((search, rows, next)) => {
            page.counts = counted(&glance.summary.counts, None, true, &search.states);
            page.empty =
                if search == Search::default() { "No jobs yet." } else { "No matching jobs." };
            if rows.is_empty() && next.is_some() {
                page.empty = "No matches so far. The search continues on the next page.";
            }
            page.rows = rows.iter().map(|job| JobRow::of(job, glance.now_ms())).collect();
            page.next =
                next.map(|next| address::to("/jobs", &[("q", q), ("after", &next.to_string())]));
            StatusCode::OK
        }
        Err(error) => {
            page.counts = counted(&glance.summary.counts, None, true, &[]);
            page.error = Some(sentence(&error));
            StatusCode::UNPROCESSABLE_ENTITY
        }
    };
    Ok((status, written(&JobsPage { frame: context.frame("Jobs", &glance), jobs: page })))
}

/// The search, its jobs, and the cursor of the next page.
type Rows = (Search, Vec<JobRecord>, Option<Cursor>);

/// Reads a page of the search. An error in the search itself is the inner `Err`.
async fn find(
    context: &PageContext,
    q: &str,
    after: &str,
) -> Result<Result<Rows, String>, Problem> {
    let search: Search = match q.parse() {
        Ok(search) => search,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let after = match after {
        "" => None,
        text => match text.parse::<Cursor>() {
            Ok(cursor) => Some(cursor),
            Err(_) => {
                return Ok(Err(
                    "this page of the search no longer exists; start from the first page"
                        .to_owned(),
                ));
            }
        },
    };
    let found = context.app.queue.search(&search, after.as_ref(), PAGE).await?;
    Ok(Ok((search, found.jobs, found.next)))
}

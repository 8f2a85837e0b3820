//! Jobs: enqueued, found, shown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use mission_jobs::envelope::{MAX_TIME, PRIORITY_DEFAULT, PRIORITY_LAST};
use mission_jobs::queue::views::job_view::Attempt;
use mission_jobs::queue::{Cursor, Found, MAX_ENQUEUE, MAX_PAGE, Search};
use mission_jobs::{Enqueued, Envelope, IdempotencyKey, JobRecord};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::export::{self, Format};
use super::input::{self, Id, Query};
use crate::access::Caller;
use crate::problem::Problem;
use crate::{App, actions};

/// Jobs on a page unless asked otherwise.
const PAGE: usize = 50;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Which jobs to find.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// What to look for: `kind:` `state:` `gateway:` `agent:` `board:` `error:` `id:` and free
    /// words, such as `state:blocked,dead gateway:7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01 quota`. All
    /// jobs if left out.
    #[serde(default)]
    #[param(required = false, max_length = 500)]
    q: String,
    /// `next` of the page before.
    #[param(max_length = 500)]
    after: Option<String>,
    /// Jobs on a page at most.
    #[serde(default = "page")]
    #[param(required = false, minimum = 1, maximum = 200, default = 50)]
    limit: usize,
    /// All that are found, at most 10,000, as a file; instead of a page.
    #[param(inline)]
    format: Option<Format>,
}

const fn page() -> usize {
    PAGE
}

/// Finds jobs.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(ListQuery), responses(
    (status = 200, description = "A page: those that need somebody first, ended ones last, latest \
        first", content(
        (Found = "application/json"), (String = "text/csv")
    ))
))]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let search = search(&query.q)?;
    let after = query.after.as_deref().map(cursor).transpose()?;
    if !(1..=MAX_PAGE).contains(&query.limit) {
        return Err(Problem::wrong("limit", format!("use 1 to {MAX_PAGE}")));
    }
    if let Some(format) = query.format {
        return export::jobs(&app, &search, format).await;
    }
    Ok(Json(app.queue.search(&search, after.as_ref(), query.limit).await?).into_response())
}

/// Reads a search.
pub fn search(q: &str) -> Result<Search, Problem> {
    q.parse()
        .map_err(|error: mission_jobs::queue::SearchError| Problem::wrong("q", error.to_string()))
}

/// Reads the end of a page.
pub fn cursor(after: &str) -> Result<Cursor, Problem> {
    after.parse().map_err(|error: mission_jobs::queue::SearchError| {
        Problem::wrong("after", error.to_string())
    })
}

/// Everything about a job. Secrets are masked.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = JobRecord)))]
pub async fn show(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<JobRecord>, Problem> {
    Ok(Json(actions::job(&app, id).await?))
}

/// The runs of a job.
#[derive(Debug, Serialize, ToSchema)]
pub struct Runs {
    /// Runs that counted, the current one included.
    attempts: u32,
    /// How many may count before it is dead.
    max_attempts: u32,
    /// The last 20 runs that ended, oldest first.
    history: Vec<Attempt>,
}

/// The runs of a job, with their steps.
#[utoipa::path(get, path = "/jobs/{id}/attempts", tag = "jobs", params(("id" = Uuid, Path, description = "The job's id")),
    responses((status = 200, description = "Its runs", body = Runs)))]
pub async fn attempts(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Runs>, Problem> {
    let JobRecord { attempts, max_attempts, history, .. } = actions::job(&app, id).await?;
    Ok(Json(Runs { attempts, max_attempts, history }))
}

/// How enqueued jobs are to be run.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EnqueueQuery {
    /// Run them after so many seconds at the earliest.
    #[param(minimum = 1, maximum = 2_592_000)]
    delay: Option<u64>,
    /// Which jobs of a gateway come first: 0 comes first, 9 last; 5 if left out.
    #[param(minimum = 0, maximum = 9)]
    priority: Option<u8>,
    /// Give them up if they are not done after so many seconds.
    #[param(minimum = 1, maximum = 2_592_000)]
    expires_in: Option<u64>,
}

/// Puts jobs on the queue.
///
/// The body is a job document, or a list of at most 50; all are accepted or none. The same
/// `Idempotency-Key` within a day stores nothing and answers the first job's id; it goes with a
/// single document.
#[utoipa::path(post, path = "/jobs", tag = "jobs",
    params(EnqueueQuery, ("idempotency-key" = Option<String>, Header, description = "Names the \
        request, in at most 200 bytes",
        min_length = 1, max_length = 200)),
    request_body(content = Documents, description = "A job document, or a list of them; \
        docs/protocol.md says what is in one"),
    responses((status = 202, description = "Stored: what became of it, or a list of \
        that", body = Accepted)))]
pub async fn enqueue(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(how): Query<EnqueueQuery>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    caller.may(crate::permissions::Action::Enqueue)?;
    if !headers.get(CONTENT_TYPE).is_some_and(|kind| input::is_json(kind.as_bytes())) {
        return Err(input::no_json());
    }
    let body = input::read(request, &()).await?;
    let is_list = body.trim_ascii_start().first() == Some(&b'[');
    let documents = if is_list { documents(&body)? } else { vec![&body[..]] };
    let mut jobs = Vec::new();
    let mut wrong = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        match Envelope::new(document) {
            Ok(job) => jobs.push(how.arrange(job)?),
            Err(error) => wrong.extend(Problem::from(error).errors.into_iter().map(|mut wrong| {
                if is_list {
                    wrong.path = if wrong.path == "$" {
                        format!("[{at}]")
                    } else {
                        format!("[{at}].{}", wrong.path)
                    };
                }
                wrong
            })),
        }
    }
    if let Some(first) = wrong.first() {
        let mut problem = Problem::wrong(first.path.clone(), first.message.clone());
        problem.errors = wrong;
        return Err(problem);
    }
    if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
        let key =
            key.to_str().map_err(|_| Problem::wrong(IDEMPOTENCY_KEY, "use printable ASCII"))?;
        let key = IdempotencyKey::new(key)
            .map_err(|error| Problem::wrong(IDEMPOTENCY_KEY, error.to_string()))?;
        if jobs.len() != 1 {
            return Err(Problem::wrong(
                IDEMPOTENCY_KEY,
                "it names one request; send the documents one by one",
            ));
        }
        jobs = jobs.into_iter().map(|job| job.with_idempotency_key(key.clone())).collect();
    }
    let mut stored = actions::enqueue(&app, &caller, &jobs).await?;
    if is_list {
        return Ok((StatusCode::ACCEPTED, Json(Accepted::Many(stored))).into_response());
    }
    let stored = stored.pop().expect("one job, one answer");
    let place = AppendHeaders([(LOCATION, format!("/api/v1/jobs/{}", stored.id))]);
    Ok((StatusCode::ACCEPTED, place, Json(Accepted::One(stored))).into_response())
}

/// What is enqueued: one document, or 1 to 50.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `Envelope::new` reads")]
enum Documents {
    One(HashMap<String, Value>),
    Many(Vec<HashMap<String, Value>>),
}

/// What became of enqueued jobs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Accepted {
    /// Of one.
    One(Enqueued),
    /// Of each, in their order.
    Many(Vec<Enqueued>),
}

/// The documents of a list, as they came.
fn documents(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let documents: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Problem::wrong("$", format!("the list is no JSON: {error}")))?;
    if documents.is_empty() || documents.len() > MAX_ENQUEUE {
        return Err(Problem::wrong(
            "$",
            format!("the list has {} documents; send 1 to {MAX_ENQUEUE}", documents.len()),
        ));
    }
    Ok(documents.into_iter().map(|document| document.get().as_bytes()).collect())
}

impl EnqueueQuery {
    fn arrange(&self, mut job: Envelope) -> Result<Envelope, Problem> {
        let priority = self.priority.unwrap_or(PRIORITY_DEFAULT);
        if priority > PRIORITY_LAST {
            return Err(Problem::wrong("priority", format!("use 0 to {PRIORITY_LAST}")));
        }
        job = job.with_priority(priority);
        if let Some(delay) = self.delay {
            job = job.with_delay(time("delay", delay)?);
        }
        if let Some(expires_in) = self.expires_in {
            job = job.with_expiry(time("expires_in", expires_in)?);
        }
        Ok(job)
    }
}

/// A time that jobs can wait.
pub fn time(path: &str, seconds: u64) -> Result<Duration, Problem> {
    let most = MAX_TIME.as_secs();
    if (1..=most).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Problem::wrong(path, format!("use 1 to {most} seconds")))
}

//! Jobs: the search, single jobs and enqueueing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use mission_jobs::envelope::{MAX_TIME, PRIORITY_DEFAULT, PRIORITY_LAST};
use mission_jobs::queue::views::attempt::Attempt;
use mission_jobs::queue::{Cursor, Found, MAX_ENQUEUE, MAX_REPLICAS, Search};
use mission_jobs::{Enqueued, Envelope, IdempotencyKey, JobRecord};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::export::{self, Format};
use super::input::{self, Id, Query, limit, page};
use crate::App;
use crate::actions::{self, Actions};
use crate::auth::Action;
use crate::problem::{Answer, Problem};

/// The header with the name of a request.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The search and its page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// The search: `kind:` `state:` `gateway:` `agent:` `board:` `error:` `id:` and free words,
    /// such as `state:blocked,dead gateway:7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01 quota`. Without it,
    /// all jobs are found.
    #[serde(default)]
    #[param(required = false, max_length = 500)]
    q: String,
    /// The member `next` of the previous page.
    #[param(max_length = 500)]
    after: Option<String>,
    /// The most jobs on a page.
    #[serde(default = "page", deserialize_with = "limit")]
    #[param(required = false, minimum = 1, maximum = 200, default = 50)]
    limit: usize,
    /// The format of a file with all jobs found, 10,000 at most, instead of a page.
    #[param(inline)]
    format: Option<Format>,
}

/// Finds jobs, a page at a time.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(ListQuery), responses(
    (status = 200,
        description = "A page: jobs that need somebody first, ended jobs last, newest first",
        content((Found = "application/json"), (String = "text/csv")))
))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Answer<Response> {
    let search: Search = Problem::parse("q", &query.q)?;
    let after: Option<Cursor> =
        query.after.as_deref().map(|after| Problem::parse("after", after)).transpose()?;
    if let Some(format) = query.format {
        return export::jobs(&app, &search, format).await;
    }
    Ok(Json(app.queue.search(&search, after.as_ref(), query.limit).await?).into_response())
}

/// Returns everything about a job. Secrets are masked.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    responses((status = 200, description = "The job", body = JobRecord)))]
pub(crate) async fn show(State(app): State<Arc<App>>, Id(id): Id) -> Answer<Json<JobRecord>> {
    Ok(Json(actions::job(&app, id).await?))
}

/// The runs of a job, with their limits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Runs {
    /// The number of counted attempts, the current one included.
    attempts: u32,
    /// The number of attempts after which the job is dead.
    max_attempts: u32,
    /// The last 20 ended runs, oldest first.
    history: Vec<Attempt>,
}

/// Returns the runs of a job with their steps.
#[utoipa::path(get, path = "/jobs/{id}/attempts", tag = "jobs",
    params(("id" = Uuid, Path, description = "The id of the job")),
    responses((status = 200, description = "The runs", body = Runs)))]
pub(crate) async fn attempts(State(app): State<Arc<App>>, Id(id): Id) -> Answer<Json<Runs>> {
    let JobRecord { attempts, max_attempts, history, .. } = actions::job(&app, id).await?;
    Ok(Json(Runs { attempts, max_attempts, history }))
}

/// The options of enqueued jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EnqueueQuery {
    /// The seconds before the first run.
    #[param(minimum = 1, maximum = 2_592_000)]
    delay: Option<u64>,
    /// The priority among the jobs of a gateway: 0 is first, 9 is last. The default is 5.
    #[param(minimum = 0, maximum = 9)]
    priority: Option<u8>,
    /// The seconds after which the jobs expire unless they are done; more than `delay`.
    #[param(minimum = 1, maximum = 2_592_000)]
    expires_in: Option<u64>,
    /// The number of replicas of Redis that should have the jobs before the answer. It waits for a
    /// second at most; `replicas` of each job says how many have it. Fewer mean that the job is
    /// stored all the same, but that a failover may lose it.
    #[param(minimum = 1, maximum = 9)]
    #[serde(default, deserialize_with = "replicas")]
    replicas: Option<u8>,
}

/// Reads a number of replicas. Whatever does not fit has the same message.
fn replicas<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u8>, D::Error> {
    let given = String::deserialize(input)?.parse().ok();
    let given = given.filter(|replicas| (1..=MAX_REPLICAS).contains(replicas));
    given.map(Some).ok_or_else(|| D::Error::custom(format!("use 1 to {MAX_REPLICAS}")))
}

/// Enqueues jobs.
///
/// The body is a job document, or a list of at most 50. All are accepted, or none. A request with
/// the same `Idempotency-Key` within a day stores nothing and returns the id of the first job, or 409
/// if that has another document. The key needs a single document.
#[utoipa::path(post, path = "/jobs", tag = "jobs",
    params(EnqueueQuery, ("idempotency-key" = Option<String>, Header,
        description = "The name of the request, of 200 bytes at most",
        min_length = 1, max_length = 200)),
    request_body(content = Documents,
        description = "A job document, or a list of them; docs/protocol.md describes it"),
    responses((status = 202, description = "The stored job, or the list of stored jobs",
        body = Accepted)))]
pub(crate) async fn enqueue(
    actions: Actions,
    Query(how): Query<EnqueueQuery>,
    headers: HeaderMap,
    request: Request,
) -> Answer<Response> {
    actions.caller.may(Action::Enqueue)?;
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
                "the key needs a single document; send the documents one by one",
            ));
        }
        jobs = jobs.into_iter().map(|job| job.with_idempotency_key(key.clone())).collect();
    }
    let mut stored = actions.enqueue(&jobs, how.replicas.unwrap_or_default()).await?;
    if is_list {
        return Ok((StatusCode::ACCEPTED, Json(Accepted::Many(stored))).into_response());
    }
    let stored = stored.pop().expect("one job, one answer");
    if stored.other_document {
        let detail = format!(
            "this {IDEMPOTENCY_KEY} belongs to job {}, which has another document, so nothing was \
                stored; send this one with another key",
            stored.id
        );
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let place = AppendHeaders([(LOCATION, format!("/api/v1/jobs/{}", stored.id))]);
    Ok((StatusCode::ACCEPTED, place, Json(Accepted::One(stored))).into_response())
}

/// The body of an enqueue request: one document, or a list of 1 to 50.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `Envelope::new` reads")]
enum Documents {
    One(HashMap<String, Value>),
    Many(Vec<HashMap<String, Value>>),
}

/// The enqueued jobs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Accepted {
    /// The job of a single document.
    One(Enqueued),
    /// The jobs of a list, in its order.
    Many(Vec<Enqueued>),
}

/// Splits a list into its documents, byte for byte.
fn documents(body: &[u8]) -> Answer<Vec<&[u8]>> {
    let documents: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|error| Problem::wrong("$", format!("the list is not valid JSON: {error}")))?;
    if documents.is_empty() || documents.len() > MAX_ENQUEUE {
        return Err(Problem::wrong(
            "$",
            format!("the list has {} documents; send 1 to {MAX_ENQUEUE}", documents.len()),
        ));
    }
    Ok(documents.into_iter().map(|document| document.get().as_bytes()).collect())
}

impl EnqueueQuery {
    fn arrange(&self, mut job: Envelope) -> Answer<Envelope> {
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
        if job.expires_too_soon() {
            return Err(Problem::wrong(
                "expires_in",
                "the job would expire before it is due; make it longer than `delay`",
            ));
        }
        Ok(job)
    }
}

/// Checks a time that jobs can wait.
pub(super) fn time(path: &str, seconds: u64) -> Answer<Duration> {
    let most = MAX_TIME.as_secs();
    if (1..=most).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Problem::wrong(path, format!("use 1 to {most} seconds")))
}

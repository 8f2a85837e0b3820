//! The queue as a whole: at a glance, what fails, what is paused, what people did.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mission_jobs::queue::{AuditEntry, Group, MAX_PAGE, Pause, Summary};
use mission_jobs::{QueueError, Scope};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::export::{self, Format, MAX_ROWS};
use super::input::{Body, Query, reason};
use crate::access::Caller;
use crate::permissions::Action;
use crate::problem::Problem;
use crate::{App, actions};

/// The queue at a glance.
#[utoipa::path(get, path = "/summary", tag = "queue",
    responses((status = 200, description = "Counts, what waits longest, what is \
        paused", body = Summary)))]
pub async fn summary(State(app): State<Arc<App>>) -> Result<Json<Summary>, Problem> {
    Ok(Json(app.queue.summary().await?))
}

/// Failures that jobs have not got past, those of one sort together.
#[utoipa::path(get, path = "/failures", tag = "queue",
    responses((status = 200, description = "At most 200 sorts, the latest \
        first", body = Vec<Group>)))]
pub async fn failures(State(app): State<Arc<App>>) -> Result<Json<Vec<Group>>, Problem> {
    Ok(Json(app.queue.groups(MAX_PAGE).await?))
}

/// What is paused.
#[utoipa::path(get, path = "/pauses", tag = "queue",
    responses((status = 200, description = "Each with who did it and why, oldest \
        first", body = Vec<Pause>)))]
pub async fn pauses(State(app): State<Arc<App>>) -> Result<Json<Vec<Pause>>, Problem> {
    Ok(Json(app.queue.paused().await?))
}

/// Which jobs, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// `all`, `kind:KIND` or `gateway:ID`.
    #[schema(
        pattern = r"^(all|kind:(provision|provision-main|cleanup|heartbeat-sync)|gateway:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
    )]
    scope: String,
    /// The reason, for the audit and for those who wonder.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// What has changed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed {
    /// Whether it was not so before.
    pub changed: bool,
}

impl Which {
    fn scope(&self) -> Result<Scope, Problem> {
        self.scope.parse().map_err(|error: QueueError| Problem::wrong("scope", error.to_string()))
    }
}

/// Stops all workers from taking such jobs. Running ones go on.
#[utoipa::path(post, path = "/pause", tag = "queue", request_body = Which,
    responses((status = 200, description = "It is paused", body = Changed)))]
pub async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(which): Body<Which>,
) -> Result<Json<Changed>, Problem> {
    actions::pause(&app, &caller, &which.scope()?, &which.reason).await?;
    Ok(Json(Changed { changed: true }))
}

/// Lets workers take such jobs again.
#[utoipa::path(post, path = "/resume", tag = "queue", request_body = Which,
    responses((status = 200, description = "It is not paused", body = Changed)))]
pub async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Body(which): Body<Which>,
) -> Result<Json<Changed>, Problem> {
    let changed = actions::resume(&app, &caller, &which.scope()?, &which.reason).await?;
    Ok(Json(Changed { changed }))
}

/// Which entries of the audit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// `id` of the last entry of the page before.
    #[param(pattern = r"^[0-9]{1,15}-[0-9]{1,9}$")]
    after: Option<String>,
    /// Entries on a page at most.
    #[serde(default = "page")]
    #[param(required = false, minimum = 1, maximum = 200, default = 50)]
    limit: usize,
    /// The newest 10,000 as a file; for admins.
    #[param(inline)]
    format: Option<Format>,
}

const fn page() -> usize {
    50
}

/// What people did: who, when, from where, to what, and why. Newest first.
#[utoipa::path(get, path = "/audit", tag = "queue", params(AuditQuery), responses(
    (status = 200, description = "A page", content((Vec<AuditEntry> = "application/json"), (String = "text/csv")))
))]
pub async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Problem> {
    if !(1..=MAX_PAGE).contains(&query.limit) {
        return Err(Problem::wrong("limit", format!("use 1 to {MAX_PAGE}")));
    }
    let Some(format) = query.format else {
        let after = query.after.as_deref();
        if after.is_some_and(|after| !after.contains('-')) {
            return Err(no_entry());
        }
        let page = app.queue.audit(after, query.limit).await.map_err(|error| match error {
            QueueError::EntryId { .. } => no_entry(),
            error => error.into(),
        });
        return Ok(Json(page?).into_response());
    };
    caller.may(Action::ExportAudit)?;
    let mut entries: Vec<AuditEntry> = Vec::new();
    while entries.len() < MAX_ROWS {
        let after = entries.last().map(|entry| entry.id.clone());
        let page = app.queue.audit(after.as_deref(), MAX_PAGE).await?;
        if page.is_empty() {
            break;
        }
        entries.extend(page);
    }
    Ok(export::audit(entries, format))
}

fn no_entry() -> Problem {
    Problem::wrong("after", "use the `id` of an entry")
}

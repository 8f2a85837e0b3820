//! The queue as a whole: summary, failures, pauses and audit.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mission_jobs::QueueError;
use mission_jobs::queue::{AuditEntry, Group, MAX_PAGE, Pause, Summary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::export::{self, Format, MAX_ROWS};
use super::input::{Body, Query, limit, page, reason};
use crate::App;
use crate::actions::Actions;
use crate::auth::{Action, Caller};
use crate::problem::{Answer, Problem};

/// Returns the queue at a glance.
#[utoipa::path(get, path = "/summary", tag = "queue",
    responses((status = 200, description = "Counts, the oldest ready job and the pauses",
        body = Summary)))]
pub(crate) async fn summary(State(app): State<Arc<App>>) -> Answer<Json<Summary>> {
    Ok(Json(app.queue.summary().await?))
}

/// Lists the failures of jobs that have not succeeded since, grouped by cause.
#[utoipa::path(get, path = "/failures", tag = "queue",
    responses((status = 200, description = "At most 200 groups, latest failure first",
        body = Vec<Group>)))]
pub(crate) async fn failures(State(app): State<Arc<App>>) -> Answer<Json<Vec<Group>>> {
    Ok(Json(app.queue.groups(MAX_PAGE).await?))
}

/// Lists all present pauses.
#[utoipa::path(get, path = "/pauses", tag = "queue",
    responses((status = 200, description = "The pauses with actor and reason, oldest first",
        body = Vec<Pause>)))]
pub(crate) async fn pauses(State(app): State<Arc<App>>) -> Answer<Json<Vec<Pause>>> {
    Ok(Json(app.queue.paused().await?))
}

/// The scope of a pause, and the reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// `all`, `kind:KIND` or `gateway:ID`.
    #[schema(
        pattern = r"^(all|kind:(provision|provision-main|cleanup|heartbeat-sync)|gateway:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
    )]
    scope: String,
    /// The reason, for the audit and for the banner of the dashboard.
    #[serde(default, deserialize_with = "reason")]
    #[schema(required = false, max_length = 500)]
    reason: String,
}

/// The effect of an action.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Changed {
    /// `true` if the action changed anything.
    pub changed: bool,
}

/// Stops all workers from claiming the jobs of a scope. Running jobs continue.
#[utoipa::path(post, path = "/pause", tag = "queue", request_body = Which,
    responses((status = 200, description = "The scope is paused", body = Changed)))]
pub(crate) async fn pause(actions: Actions, Body(which): Body<Which>) -> Answer<Json<Changed>> {
    actions.pause(&Problem::parse("scope", &which.scope)?, &which.reason).await?;
    Ok(Json(Changed { changed: true }))
}

/// Lets workers claim the jobs of a scope again.
#[utoipa::path(post, path = "/resume", tag = "queue", request_body = Which,
    responses((status = 200, description = "The scope is not paused", body = Changed)))]
pub(crate) async fn resume(actions: Actions, Body(which): Body<Which>) -> Answer<Json<Changed>> {
    let scope = Problem::parse("scope", &which.scope)?;
    Ok(Json(Changed { changed: actions.resume(&scope, &which.reason).await? }))
}

/// The page of the audit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// The `id` of the last entry of the previous page.
    #[param(pattern = r"^[0-9]{1,15}-[0-9]{1,9}$")]
    after: Option<String>,
    /// The most entries on a page.
    #[serde(default = "page", deserialize_with = "limit")]
    #[param(required = false, minimum = 1, maximum = 200, default = 50)]
    limit: usize,
    /// The format of a file with the newest 10,000 entries, for admins.
    #[param(inline)]
    format: Option<Format>,
}

/// Lists the actions of people, newest first: actor, time, origin, target and reason.
#[utoipa::path(get, path = "/audit", tag = "queue", params(AuditQuery), responses(
    (status = 200, description = "A page of entries",
        content((Vec<AuditEntry> = "application/json"), (String = "text/csv")))
))]
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Answer<Response> {
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

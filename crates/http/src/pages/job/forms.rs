//! The forms that act on one job.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::response::Redirect;
use axum::routing::post;
use serde::Deserialize;
use uuid::Uuid;

use crate::auth::Caller;
use crate::pages::address;
use crate::problem::Problem;
use crate::{App, actions};

/// Returns the routes of the forms.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/jobs/{id}/retry", post(retry))
        .route("/jobs/{id}/snooze", post(snooze))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/discard", post(discard))
}

#[derive(Deserialize)]
struct JobForm {
    #[serde(default)]
    why: String,
    #[serde(default)]
    force: bool,
    #[serde(default, rename = "for")]
    wait: String,
}

fn parse_id(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| Problem::wrong("id", format!("{id} is not a job's id")))
}

/// Redirects to the page of the job, which shows what was done.
fn did(what: &str, id: Uuid) -> Redirect {
    Redirect::to(&address::to(&format!("/jobs/{id}"), &[("did", what)]))
}

async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Redirect, Problem> {
    let id = parse_id(&id)?;
    actions::retry(&app, &caller, id, form.force, &form.why).await?;
    Ok(did("retry", id))
}

async fn snooze(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Redirect, Problem> {
    let id = parse_id(&id)?;
    actions::snooze(&app, &caller, id, parse_span(&form.wait)?, &form.why).await?;
    Ok(did("snooze", id))
}

async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Redirect, Problem> {
    let id = parse_id(&id)?;
    actions::cancel(&app, &caller, id, &form.why).await?;
    Ok(did("cancel", id))
}

async fn discard(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<JobForm>,
) -> Result<Redirect, Problem> {
    let id = parse_id(&id)?;
    actions::discard(&app, &caller, id, &form.why).await?;
    Ok(did("discard", id))
}

/// Parses a length of time such as `10m`.
pub(in crate::pages) fn parse_span(text: &str) -> Result<Duration, Problem> {
    let span =
        text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.ok_or_else(|| Problem::wrong("for", "use a time such as 10m, 1h or 24h"))
}

//! What is done when a form is sent: as the API does it, then back to a page that says so.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use axum::routing::post;
use mission_jobs::{QueueError, Scope};
use serde::Deserialize;
use uuid::Uuid;

use super::page_context::known_theme;
use super::query;
use crate::access::Caller;
use crate::problem::Problem;
use crate::{App, actions};

/// All that can be done to one thing.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/jobs/{id}/retry", post(retry))
        .route("/jobs/{id}/snooze", post(snooze))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/discard", post(discard))
        .route("/workers/{name}/drain", post(drain))
        .route("/workers/{name}/undrain", post(undrain))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
}

/// What needs no signing in.
pub fn open() -> Router<Arc<App>> {
    Router::new().route("/theme", post(theme))
}

#[derive(Deserialize)]
struct OnJob {
    #[serde(default)]
    why: String,
    #[serde(default)]
    force: bool,
    #[serde(default, rename = "for")]
    wait: String,
}

fn job(id: &str) -> Result<Uuid, Problem> {
    id.parse().map_err(|_| Problem::wrong("id", format!("{id} is not a job's id")))
}

fn did(what: &str, id: Uuid) -> Redirect {
    Redirect::to(&query::to(&format!("/jobs/{id}"), &[("did", what)]))
}

type AppState = State<Arc<App>>;

async fn retry(
    State(app): AppState,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<OnJob>,
) -> Result<Redirect, Problem> {
    let id = job(&id)?;
    actions::retry(&app, &caller, id, form.force, &form.why).await?;
    Ok(did("retry", id))
}

async fn snooze(
    State(app): AppState,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<OnJob>,
) -> Result<Redirect, Problem> {
    let id = job(&id)?;
    actions::snooze(&app, &caller, id, span(&form.wait)?, &form.why).await?;
    Ok(did("snooze", id))
}

async fn cancel(
    State(app): AppState,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<OnJob>,
) -> Result<Redirect, Problem> {
    let id = job(&id)?;
    actions::cancel(&app, &caller, id, &form.why).await?;
    Ok(did("cancel", id))
}

async fn discard(
    State(app): AppState,
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<OnJob>,
) -> Result<Redirect, Problem> {
    let id = job(&id)?;
    actions::discard(&app, &caller, id, &form.why).await?;
    Ok(did("discard", id))
}

/// Reads a length of time such as `10m`.
pub fn span(text: &str) -> Result<Duration, Problem> {
    let span =
        text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.ok_or_else(|| Problem::wrong("for", "use a time such as 10m, 1h or 24h"))
}

async fn drain(
    State(app): AppState,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Redirect, Problem> {
    actions::drain(&app, &caller, &name, true, "").await?;
    Ok(Redirect::to("/workers?did=drain"))
}

async fn undrain(
    State(app): AppState,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Redirect, Problem> {
    actions::drain(&app, &caller, &name, false, "").await?;
    Ok(Redirect::to("/workers?did=undrain"))
}

#[derive(Deserialize)]
struct OnScope {
    scope: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    back: String,
}

impl OnScope {
    fn scope(&self) -> Result<Scope, Problem> {
        self.scope
            .parse::<Scope>()
            .map_err(|error: QueueError| Problem::wrong("scope", error.to_string()))
    }

    fn back(&self, what: &str) -> Redirect {
        let path = own_path(&self.back).split('?').next().unwrap_or("/");
        Redirect::to(&query::to(path, &[("did", what)]))
    }
}

async fn pause(
    State(app): AppState,
    caller: Caller,
    Form(form): Form<OnScope>,
) -> Result<Redirect, Problem> {
    actions::pause(&app, &caller, &form.scope()?, &form.why).await?;
    Ok(form.back("pause"))
}

async fn resume(
    State(app): AppState,
    caller: Caller,
    Form(form): Form<OnScope>,
) -> Result<Redirect, Problem> {
    actions::resume(&app, &caller, &form.scope()?, &form.why).await?;
    Ok(form.back("resume"))
}

#[derive(Deserialize)]
struct Theme {
    theme: String,
    #[serde(default)]
    back: String,
}

async fn theme(Form(form): Form<Theme>) -> Response {
    let back = Redirect::to(own_path(&form.back));
    match known_theme(&form.theme) {
        Some(theme) => {
            let cookie = format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Strict");
            (AppendHeaders([(SET_COOKIE, cookie)]), back).into_response()
        }
        None => back.into_response(),
    }
}

/// A path of this origin, or the first page.
fn own_path(path: &str) -> &str {
    let own = path.starts_with('/')
        && !path.starts_with("//")
        && path.chars().all(|c| !c.is_control() && c != '\\');
    if own { path } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_stays_here() {
        assert_eq!(own_path("/jobs?q=state:dead"), "/jobs?q=state:dead");
        for elsewhere in
            ["//evil.example", "https://evil.example", "/\\evil.example", "", "/a\r\nb"]
        {
            assert_eq!(own_path(elsewhere), "/");
        }
    }
}

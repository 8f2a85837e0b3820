//! The forms that pause and resume all jobs, a kind or a gateway.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, State};
use axum::response::Redirect;
use axum::routing::post;
use mission_jobs::{QueueError, Scope};
use serde::Deserialize;

use super::address;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::{App, actions};

/// Returns the routes of both forms.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/pause", post(pause)).route("/resume", post(resume))
}

#[derive(Deserialize)]
struct PauseForm {
    scope: String,
    #[serde(default)]
    why: String,
    /// The page to return to.
    #[serde(default)]
    back: String,
}

impl PauseForm {
    fn scope(&self) -> Result<Scope, Problem> {
        self.scope
            .parse::<Scope>()
            .map_err(|error: QueueError| Problem::wrong("scope", error.to_string()))
    }

    fn back(&self, what: &str) -> Redirect {
        let path = address::own_path(&self.back).split('?').next().unwrap_or("/");
        Redirect::to(&address::to(path, &[("did", what)]))
    }
}

async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Form(form): Form<PauseForm>,
) -> Result<Redirect, Problem> {
    actions::pause(&app, &caller, &form.scope()?, &form.why).await?;
    Ok(form.back("pause"))
}

async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Form(form): Form<PauseForm>,
) -> Result<Redirect, Problem> {
    actions::resume(&app, &caller, &form.scope()?, &form.why).await?;
    Ok(form.back("resume"))
}

//! The API at `/api/v1`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use mission_jobs::queue::Counts;

use super::App;
use super::access::Caller;
use super::action::Action;
use super::problem::Problem;

/// All of it.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/summary", get(summary))
}

async fn summary(State(app): State<Arc<App>>, caller: Caller) -> Result<Json<Counts>, Problem> {
    caller.may(Action::Read)?;
    Ok(Json(app.queue.counts().await?))
}

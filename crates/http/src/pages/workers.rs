//! The page of workers, and the forms that drain them.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{Html, Redirect};
use axum::routing::{get, post};
use mission_core::humanize::{count, rough};
use mission_jobs::queue::WorkerRecord;

use super::html::When;
use super::layout::Frame;
use super::page_context::PageContext;
use super::written;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::{App, actions};

/// Returns the routes of the page and of its forms.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/workers", get(show))
        .route("/workers/{name}/drain", post(drain))
        .route("/workers/{name}/undrain", post(undrain))
}

#[derive(Template)]
#[template(path = "dashboard/workers.html")]
struct WorkersPage {
    frame: Frame,
    sentence: String,
    workers: Vec<WorkerRow>,
}

/// A worker in the list.
#[derive(Debug)]
struct WorkerRow {
    name: String,
    host: String,
    pid: u32,
    version: String,
    /// The time since it started.
    up: String,
    /// The number of jobs that it runs.
    running: u64,
    concurrency: u64,
    /// The time of its last heartbeat.
    seen: When,
    draining: bool,
    /// A badge beside the name.
    said: Option<&'static str>,
    /// The style class of the badge.
    class: &'static str,
}

async fn show(context: PageContext) -> Result<Html<String>, Problem> {
    let glance = context.glance().await?;
    let workers = context.app.queue.workers().await?;
    Ok(written(&WorkersPage::of(context.frame("Workers", &glance), &workers)))
}

async fn drain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Redirect, Problem> {
    actions::drain(&app, &caller, &name, true, "").await?;
    Ok(Redirect::to("/workers?did=drain"))
}

async fn undrain(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Redirect, Problem> {
    actions::drain(&app, &caller, &name, false, "").await?;
    Ok(Redirect::to("/workers?did=undrain"))
}

impl WorkerRow {
    fn of(worker: &WorkerRecord, now_ms: u64) -> Self {
        let (said, class) = match (worker.gone, worker.draining) {
            (true, _) => (Some("gone"), "cancelled"),
            (false, true) => (Some("draining"), "snoozed"),
            (false, false) => (None, ""),
        };
        Self {
            name: worker.name.clone(),
            host: worker.host.clone(),
            pid: worker.pid,
            version: worker.version.clone(),
            up: rough(
                worker
                    .seen_at_ms
                    .max(if worker.gone { 0 } else { now_ms })
                    .saturating_sub(worker.started_at_ms),
            ),
            running: worker.running,
            concurrency: worker.concurrency,
            seen: When { at_ms: worker.seen_at_ms, now_ms },
            draining: worker.draining,
            said,
            class,
        }
    }
}

impl WorkersPage {
    fn of(frame: Frame, workers: &[WorkerRecord]) -> Self {
        let now_ms = frame.now_ms;
        let live: Vec<_> = workers.iter().filter(|worker| !worker.gone).collect();
        let running = live.iter().map(|worker| worker.running).sum();
        let sentence = match live.len() {
            0 => "No worker takes jobs".to_owned(),
            live => format!(
                "{}, {} in flight",
                count(u64::try_from(live).unwrap_or_default(), "worker"),
                count(running, "job")
            ),
        };
        Self {
            frame,
            sentence,
            workers: workers.iter().map(|worker| WorkerRow::of(worker, now_ms)).collect(),
        }
    }
}

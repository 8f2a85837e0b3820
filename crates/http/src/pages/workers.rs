//! The page of workers, and the forms that drain them.

use askama::Template;
use axum::extract::Path;
use axum::response::{Html, Redirect};
use mission_core::humanize::{count, rough};
use mission_jobs::queue::WorkerRecord;

use super::layout::Frame;
use super::page_context::PageContext;
use super::written;
use crate::actions::Actions;
use crate::problem::Answer;

#[derive(Template)]
#[template(path = "dashboard/workers.html")]
struct WorkersPage {
    frame: Frame,
    sentence: String,
    workers: Vec<WorkerRecord>,
}

pub(super) async fn show(context: PageContext) -> Answer<Html<String>> {
    let glance = context.glance().await?;
    let workers = context.actions.app.queue.workers().await?;
    let live: Vec<_> = workers.iter().filter(|worker| !worker.gone).collect();
    let running = live.iter().map(|worker| worker.running).sum();
    let sentence = match live.len() as u64 {
        0 => "No worker takes jobs".to_owned(),
        live => format!("{}, {} in flight", count(live, "worker"), count(running, "job")),
    };
    let full = glance.summary.slots.in_words().map(|full| format!("; {full}"));
    let sentence = sentence + &full.unwrap_or_default();
    Ok(written(&WorkersPage { frame: context.frame("Workers", &glance), sentence, workers }))
}

pub(super) async fn drain(actions: Actions, Path(name): Path<String>) -> Answer<Redirect> {
    actions.drain(&name, true, "").await?;
    Ok(Redirect::to("/workers?did=drain"))
}

pub(super) async fn undrain(actions: Actions, Path(name): Path<String>) -> Answer<Redirect> {
    actions.drain(&name, false, "").await?;
    Ok(Redirect::to("/workers?did=undrain"))
}

impl WorkersPage {
    /// Returns the time since a worker started, or for which it ran.
    fn up(&self, worker: &WorkerRecord) -> String {
        let until = worker.seen_at_ms.max(if worker.gone { 0 } else { self.frame.now_ms });
        rough(until.saturating_sub(worker.started_at_ms))
    }
}

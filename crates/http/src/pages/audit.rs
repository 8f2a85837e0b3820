//! The page of the audit: the actions that people took, newest first.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Query;
use axum::response::Html;
use axum::routing::get;
use mission_jobs::Scope;
use mission_jobs::queue::AuditEntry;
use serde::Deserialize;
use uuid::Uuid;

use super::html::When;
use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, written};
use crate::App;
use crate::problem::Problem;

/// The number of entries on a page.
const MANY: usize = 200;

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/audit", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/audit.html")]
struct AuditPage {
    frame: Frame,
    entries: Vec<AuditRow>,
    /// The address of the next page, with older entries.
    older: Option<String>,
}

/// An action in the list.
#[derive(Debug)]
struct AuditRow {
    at: When,
    by: String,
    from: String,
    action: String,
    target: String,
    /// The address of the target, if it has a page.
    link: Option<String>,
    /// The states before and after.
    change: String,
    why: String,
}

#[derive(Deserialize)]
struct AuditQuery {
    /// The id of the last entry of the previous page.
    #[serde(default)]
    after: String,
}

async fn show(
    context: PageContext,
    Query(query): Query<AuditQuery>,
) -> Result<Html<String>, Problem> {
    let glance = context.glance().await?;
    let after = Some(query.after.as_str()).filter(|after| !after.is_empty());
    let entries = context.app.queue.audit(after, MANY).await?;
    let older = entries
        .last()
        .filter(|_| entries.len() == MANY)
        .map(|last| address::to("/audit", &[("after", &last.id)]));
    let entries = entries.iter().map(|entry| AuditRow::of(entry, glance.now_ms())).collect();
    Ok(written(&AuditPage { frame: context.frame("Audit", &glance), entries, older }))
}

impl AuditRow {
    fn of(entry: &AuditEntry, now_ms: u64) -> Self {
        let record = &entry.record;
        let link = if record.target.parse::<Uuid>().is_ok() {
            Some(format!("/jobs/{}", record.target))
        } else if let Ok(Scope::Gateway(id)) = record.target.parse::<Scope>() {
            Some(format!("/gateways/{id}"))
        } else {
            None
        };
        let change = match (&record.before, &record.after) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (None, Some(state)) | (Some(state), None) => state.clone(),
            (None, None) => String::new(),
        };
        Self {
            at: When { at_ms: record.at_ms, now_ms },
            by: record.by.clone(),
            from: record.from.clone(),
            action: record.action.clone(),
            target: record.target.clone(),
            link,
            change,
            why: record.why.clone(),
        }
    }
}

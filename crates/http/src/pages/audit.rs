//! The page of the audit: the actions that people took, newest first.

use askama::Template;
use axum::extract::Query;
use axum::response::Html;
use mission_jobs::PauseScope;
use mission_jobs::queue::AuditEntry;
use serde::Deserialize;
use uuid::Uuid;

use super::layout::Frame;
use super::page_context::PageContext;
use super::{address, written};
use crate::problem::Answer;

/// The number of entries on a page.
const MANY: usize = 200;

#[derive(Template)]
#[template(path = "dashboard/audit.html")]
struct AuditPage {
    frame: Frame,
    entries: Vec<AuditEntry>,
    /// The address of the next page, with older entries.
    older: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct AuditPageQuery {
    /// The id of the last entry of the previous page.
    #[serde(default)]
    after: String,
}

pub(super) async fn show(
    context: PageContext,
    Query(query): Query<AuditPageQuery>,
) -> Answer<Html<String>> {
    let glance = context.glance().await?;
    let after = Some(query.after.as_str()).filter(|after| !after.is_empty());
    let entries = context.actions.app.queue.audit(after, MANY).await?;
    let older = entries
        .last()
        .filter(|_| entries.len() == MANY)
        .map(|last| address::to("/audit", &[("after", &last.id)]));
    Ok(written(&AuditPage { frame: context.frame("Audit", &glance), entries, older }))
}

/// Returns the address of the target of an action, if it has a page.
fn link(target: &str) -> Option<String> {
    if target.parse::<Uuid>().is_ok() {
        return Some(format!("/jobs/{target}"));
    }
    match target.parse() {
        Ok(PauseScope::Gateway(id)) => Some(format!("/gateways/{id}")),
        _ => None,
    }
}

//! The page of failures, grouped by cause.

use askama::Template;
use axum::response::Html;
use mission_core::humanize::{count, number};
use mission_jobs::queue::{Group, MAX_PAGE};

use super::html::Prose;
use super::job_row::short;
use super::layout::Frame;
use super::page_context::{Glance, PageContext};
use super::{address, sentence, written};
use crate::problem::Answer;

#[derive(Template)]
#[template(path = "dashboard/failures.html")]
struct FailuresPage<'a> {
    frame: Frame,
    sentence: String,
    groups: Vec<FailureRow<'a>>,
}

/// The failures of one cause.
#[derive(Debug)]
pub(super) struct FailureRow<'a> {
    pub group: &'a Group,
    /// The name of the gateway.
    pub gateway: String,
    /// The remedy in a sentence.
    pub action: Option<String>,
    /// The number of jobs.
    pub count: String,
    /// The address of the search that finds all of them.
    pub search: String,
    /// The address of the form that retries all of them.
    pub retry: String,
}

pub(super) async fn show(context: PageContext) -> Answer<Html<String>> {
    let glance = context.glance().await?;
    let groups = context.actions.app.queue.groups(MAX_PAGE).await?;
    let jobs = groups.iter().map(|group| group.count).sum();
    let sentence = match groups.len() as u64 {
        0 => "No failures".to_owned(),
        causes => format!("{} failing for {}", count(jobs, "job"), count(causes, "cause")),
    };
    Ok(written(&FailuresPage {
        frame: context.frame("Failures", &glance),
        sentence,
        groups: groups.iter().map(|group| FailureRow::of(group, &glance)).collect(),
    }))
}

impl<'a> FailureRow<'a> {
    /// Makes the row of a group.
    pub(super) fn of(group: &'a Group, glance: &Glance) -> Self {
        let search = group.search().to_string();
        Self {
            group,
            gateway: glance
                .name(group.gateway)
                .unwrap_or_else(|| short(&group.gateway.to_string())),
            action: group.remedy().text().map(sentence),
            count: number(group.count),
            retry: address::to("/bulk", &[("q", &search), ("action", "retry")]),
            search: address::to("/jobs", &[("q", &search)]),
        }
    }
}

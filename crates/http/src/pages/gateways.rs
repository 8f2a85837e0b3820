//! The page of all gateways, and their rows on the first page.

use askama::Template;
use axum::response::Html;
use mission_core::humanize::{count, rough};
use mission_jobs::queue::GatewayRecord;
use mission_jobs::{PauseScope, State};

use super::job_row::short;
use super::layout::Frame;
use super::page_context::{Glance, PageContext};
use super::sparkline::Sparkline;
use super::state_counts::{StateCount, counted};
use super::written;
use crate::problem::Answer;

#[derive(Template)]
#[template(path = "dashboard/gateways.html")]
struct GatewaysPage<'a> {
    frame: Frame,
    sentence: String,
    gateways: Vec<GatewayRow<'a>>,
}

/// A gateway in a list.
#[derive(Debug)]
pub(super) struct GatewayRow<'a> {
    pub record: &'a GatewayRecord,
    pub name: String,
    /// `yes`, `no`, `refused` or `unknown`.
    pub reach: &'static str,
    /// The same in words.
    pub reach_words: String,
    /// The time of the next try, if its jobs wait for that.
    pub held_until: Option<u64>,
    /// The results of its runs in the last hour.
    pub spark: Option<Sparkline>,
    pub counts: Vec<StateCount>,
    pub paused: bool,
}

/// Returns the rows of the gateways that were used most recently, `most` at most.
pub(super) fn rows(glance: &Glance, most: usize) -> Vec<GatewayRow<'_>> {
    let row = |record| {
        let (reach, reach_words) = reach(record, glance.now_ms());
        GatewayRow {
            record,
            name: name(record),
            reach,
            reach_words,
            held_until: held_until(record, glance.now_ms()),
            spark: Sparkline::draw(&record.recent, glance.now_ms()),
            counts: counted(&record.jobs, Some(record.id), false, &[]),
            paused: glance.pause_of(&PauseScope::Gateway(record.id)).is_some(),
        }
    };
    glance.gateways.iter().take(most).map(row).collect()
}

pub(super) async fn show(context: PageContext) -> Answer<Html<String>> {
    let glance = context.glance().await?;
    let gateways = rows(&glance, usize::MAX);
    let away = gateways.iter().filter(|gateway| gateway.reach == "no").count();
    let refusing = gateways.iter().filter(|gateway| gateway.reach == "refused").count();
    let all = count(gateways.len() as u64, "gateway");
    let sentence = match (gateways.len(), away, refusing) {
        (0, ..) => "No gateways yet".to_owned(),
        (_, 0, 0) => format!("{all}, all reachable"),
        _ => format!("{all}: {away} unreachable, {refusing} busy or refusing"),
    };
    Ok(written(&GatewaysPage { frame: context.frame("Gateways", &glance), sentence, gateways }))
}

/// Returns the name of a gateway, or the beginning of its id if it has none.
pub(super) fn name(gateway: &GatewayRecord) -> String {
    gateway.name.clone().unwrap_or_else(|| short(&gateway.id.to_string()))
}

/// Returns whether the gateway's last failure is newer than its last success.
pub(super) fn is_failing(gateway: &GatewayRecord) -> bool {
    gateway
        .failed_at_ms
        .is_some_and(|failed| gateway.reached_at_ms.is_none_or(|reached| failed > reached))
}

/// Returns the time until which the gateway is left alone, if that is in the future.
pub(super) fn held_until(gateway: &GatewayRecord, now_ms: u64) -> Option<u64> {
    gateway.held_until_ms.filter(|until| *until > now_ms)
}

/// Returns whether a gateway can be reached, as a style class and in words.
pub(super) fn reach(gateway: &GatewayRecord, now_ms: u64) -> (&'static str, String) {
    if gateway.is_unreachable() {
        return ("no", format!("unreachable, {}", count(gateway.failures.into(), "attempt")));
    }
    if gateway.jobs.of(State::Blocked) > 0 && is_failing(gateway) {
        return ("refused", "refuses connections".to_owned());
    }
    if held_until(gateway, now_ms).is_some() {
        return ("refused", "busy".to_owned());
    }
    match gateway.reached_at_ms {
        Some(at) => ("yes", format!("reached {} ago", rough(now_ms.saturating_sub(at)))),
        None => ("unknown", "not tried yet".to_owned()),
    }
}

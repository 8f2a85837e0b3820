//! The page of all gateways, and their rows on the first page.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use mission_core::humanize::{count, rough};
use mission_jobs::queue::GatewayRecord;
use mission_jobs::{Scope, State};

use super::html::When;
use super::job_row::short;
use super::layout::Frame;
use super::page_context::{Glance, PageContext};
use super::sparkline::Sparkline;
use super::state_counts::{StateCount, counted};
use super::written;
use crate::App;
use crate::problem::Problem;

/// Returns the route of the page.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/gateways", get(show))
}

#[derive(Template)]
#[template(path = "dashboard/gateways.html")]
struct GatewaysPage {
    frame: Frame,
    sentence: String,
    gateways: Vec<GatewayRow>,
}

/// A gateway in a list.
#[derive(Debug)]
pub(super) struct GatewayRow {
    pub id: String,
    pub name: String,
    pub url: Option<String>,
    /// `yes`, `no`, `refused` or `unknown`.
    pub reach: &'static str,
    /// The same in words.
    pub reach_words: String,
    /// The time of the next try, if its jobs wait for that.
    pub held_until: Option<When>,
    /// `true` if its certificate is not checked.
    pub insecure: bool,
    pub version: String,
    pub protocol: Option<u32>,
    /// The gateway's limit for config writes.
    pub writes: String,
    /// The time of its last known restart.
    pub restarted: Option<When>,
    /// The results of its runs in the last hour.
    pub spark: Option<Sparkline>,
    pub counts: Vec<StateCount>,
    pub paused: bool,
}

/// Returns the rows of the gateways that were used most recently, `most` at most.
pub(super) fn rows(glance: &Glance, most: usize) -> Vec<GatewayRow> {
    let row = |gateway: &GatewayRecord| {
        let paused = glance.pause_of(&Scope::Gateway(gateway.id)).is_some();
        GatewayRow::of(gateway, paused, glance.now_ms())
    };
    glance.gateways.iter().take(most).map(row).collect()
}

async fn show(context: PageContext) -> Result<Html<String>, Problem> {
    let glance = context.glance().await?;
    Ok(written(&GatewaysPage::of(context.frame("Gateways", &glance), rows(&glance, usize::MAX))))
}

/// Returns the name of a gateway, or the beginning of its id if it has none.
pub(super) fn name(gateway: &GatewayRecord) -> String {
    let name = gateway.name.clone().filter(|name| !name.is_empty());
    name.unwrap_or_else(|| short(&gateway.id.to_string()))
}

/// Returns whether the gateway's last failure is newer than its last success.
pub(super) fn is_failing(gateway: &GatewayRecord) -> bool {
    gateway
        .failed_at_ms
        .is_some_and(|failed| gateway.reached_at_ms.is_none_or(|reached| failed > reached))
}

/// Returns whether a gateway can be reached, as a style class and in words.
pub(super) fn reach(gateway: &GatewayRecord, now_ms: u64) -> (&'static str, String) {
    if gateway.is_unreachable() {
        return ("no", format!("unreachable, {}", count(u64::from(gateway.failures), "attempt")));
    }
    if gateway.jobs.of(State::Blocked) > 0 && is_failing(gateway) {
        return ("refused", "refuses connections".to_owned());
    }
    if gateway.held_until_ms.is_some_and(|until| until > now_ms) {
        return ("refused", "busy".to_owned());
    }
    match gateway.reached_at_ms {
        Some(at) => ("yes", format!("reached {} ago", rough(now_ms.saturating_sub(at)))),
        None => ("unknown", "not tried yet".to_owned()),
    }
}

impl GatewayRow {
    fn of(gateway: &GatewayRecord, paused: bool, now_ms: u64) -> Self {
        let (reach, reach_words) = reach(gateway, now_ms);
        let id = gateway.id.to_string();
        Self {
            name: name(gateway),
            url: gateway.url.clone(),
            reach,
            reach_words,
            held_until: gateway
                .held_until_ms
                .filter(|until| *until > now_ms)
                .map(|at_ms| When { at_ms, now_ms }),
            insecure: gateway.insecure_tls,
            version: gateway.version.clone().unwrap_or_else(|| "–".to_owned()),
            protocol: gateway.protocol,
            writes: gateway.write_limit.clone().unwrap_or_else(|| "–".to_owned()),
            restarted: gateway.restarted_at_ms.map(|at_ms| When { at_ms, now_ms }),
            spark: Sparkline::draw(&gateway.recent, now_ms),
            counts: counted(&gateway.jobs, Some(&id), false, &[]),
            paused,
            id,
        }
    }
}

impl GatewaysPage {
    fn of(frame: Frame, gateways: Vec<GatewayRow>) -> Self {
        let all = u64::try_from(gateways.len()).unwrap_or_default();
        let away = gateways.iter().filter(|gateway| gateway.reach == "no").count();
        let refusing = gateways.iter().filter(|gateway| gateway.reach == "refused").count();
        let sentence = match (all, away, refusing) {
            (0, ..) => "No gateways yet".to_owned(),
            (_, 0, 0) => format!("{}, all reachable", count(all, "gateway")),
            _ => format!(
                "{}: {away} unreachable, {refusing} busy or refusing",
                count(all, "gateway")
            ),
        };
        Self { frame, sentence, gateways }
    }
}

//! What is shown when a page is asked for.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use mission_core::single_flight::Shared;
use mission_jobs::queue::{Cursor, Filter, Group, Restart, Search, StatsBucket};
use mission_jobs::{JobRecord, Queue, QueueError, Scope, State};
use serde::Deserialize;
use uuid::Uuid;

use super::chart::{Chart, Range};
use super::home::{self, Home};
use super::job_row::Line;
use super::page_context::{Glance, Visit};
use super::{docs, gateways, groups, job, jobs, kinds, others, query, written};
use crate::problem::Problem;
use crate::{App, api as programs};

/// How many jobs a page of a search has.
const PAGE: usize = 50;
/// How many jobs the first screen looks at to find those that need somebody.
const LOOK_AT: usize = 50;
/// Most gateways on the first screen.
const MOST_GATEWAYS: usize = 12;
/// Most causes of failures on the first screen.
const MOST_CAUSES: usize = 6;
/// Most causes of failures on their own page, and most entries of the audit on a page.
const MANY: usize = 200;
/// Most other jobs of an agent on a job's page.
const MOST_SIBLINGS: usize = 10;

/// What people look at who look at the same time: read once for all of them.
#[derive(Default)]
pub struct SharedReads {
    /// The queue at a glance, on every page.
    pub glance: Shared<Glance>,
    /// What the first screen shows besides, by range.
    now: [Shared<Now>; Range::ALL.len()],
}

/// What the first screen is made from, besides the queue at a glance.
struct Now {
    /// Jobs that need somebody.
    needing: Vec<JobRecord>,
    groups: Vec<Group>,
    slices: Vec<StatsBucket>,
    restarts: Vec<Restart>,
    /// Jobs that are ready, those that come next.
    ready: Vec<JobRecord>,
}

/// All pages.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(first_screen))
        .route("/jobs", get(search))
        .route("/jobs/{id}", get(one_job))
        .route("/failures", get(failures))
        .route("/gateways", get(all_gateways))
        .route("/gateways/{id}", get(one_gateway))
        .route("/workers", get(workers))
        .route("/audit", get(audit))
        .route("/api/docs", get(api))
}

#[derive(Deserialize)]
struct Look {
    #[serde(default)]
    range: String,
}

async fn first_screen(visit: Visit, Query(look): Query<Look>) -> Result<Html<String>, Problem> {
    let range = Range::named(&look.range);
    let glance = visit.glance().await?;
    let now = visit.app.crowd.now[range as usize]
        .read(|_| Box::pin(read_now(&visit.app.queue, range)))
        .await?;
    let now_ms = glance.now_ms();
    let named =
        |restart: &Restart| (glance.name(restart.gateway).unwrap_or_default(), restart.at_ms);
    let restarts: Vec<_> = now.restarts.iter().map(named).collect();
    let is_paused = |kind| glance.pause_of(&Scope::Kind(kind)).is_some();
    let home = Home {
        headline: home::headline(&glance.summary),
        beneath: home::beneath(&glance.summary),
        cards: home::cards(&now.needing, now_ms),
        groups: now
            .groups
            .iter()
            .map(|group| groups::Row::of(group, glance.name(group.gateway).as_deref(), now_ms))
            .collect(),
        chart: Chart::draw(range, &now.slices, &restarts, now_ms),
        gateways: rows(&glance, MOST_GATEWAYS),
        kinds: kinds::rows(range, &now.slices, &now.ready, is_paused, now_ms),
    };
    Ok(written(&home::Page { frame: visit.frame("Now", &glance), home }))
}

async fn read_now(queue: &Queue, range: Range) -> Result<Now, Problem> {
    let needing = |state: State| Search { states: vec![state], ..Search::default() };
    let (blocked, dead) = (needing(State::Blocked), needing(State::Dead));
    let oldest = Filter { limit: MANY, ..Filter::new(State::Ready) };
    let (blocked, dead, groups, slices, restarts, ready) = tokio::try_join!(
        queue.search(&blocked, None, LOOK_AT),
        queue.search(&dead, None, LOOK_AT),
        queue.groups(MOST_CAUSES),
        slices(queue, range),
        queue.restarts(MANY),
        queue.list(&oldest)
    )?;
    let needing = blocked.jobs.into_iter().chain(dead.jobs).collect();
    Ok(Now { needing, groups, slices, restarts, ready: ready.jobs })
}

async fn slices(queue: &Queue, range: Range) -> Result<Vec<StatsBucket>, QueueError> {
    match range {
        Range::Hour => queue.stats(60).await,
        Range::Day => queue.quarters(96).await,
        Range::Week => queue.hours(range.hours()).await,
    }
}

/// The rows of the first gateways.
fn rows(glance: &Glance, most: usize) -> Vec<gateways::Row> {
    let row = |gateway: &mission_jobs::queue::GatewayRecord| {
        let paused = glance.pause_of(&Scope::Gateway(gateway.id)).is_some();
        gateways::Row::of(gateway, paused, glance.now_ms())
    };
    glance.gateways.iter().take(most).map(row).collect()
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    after: String,
}

async fn search(
    visit: Visit,
    Query(asked): Query<Asked>,
) -> Result<(StatusCode, Html<String>), Problem> {
    let glance = visit.glance().await?;
    let q = asked.q.trim();
    let mut page = jobs::Jobs {
        q: q.to_owned(),
        limit: PAGE,
        later: !asked.after.is_empty(),
        first: query::to("/jobs", &[("q", q)]),
        export_json: query::to("/api/v1/jobs", &[("format", "json"), ("q", q)]),
        export_csv: query::to("/api/v1/jobs", &[("format", "csv"), ("q", q)]),
        ..jobs::Jobs::default()
    };
    page.curl = format!(
        "curl -H \"Authorization: Bearer $TOKEN\" '{}{}'",
        visit.origin,
        query::to("/api/v1/jobs", &[("q", q)])
    );
    let status = match found(&visit, q, &asked.after).await? {
        Ok((search, rows, next)) => {
            page.counts = gateways::counted(&glance.summary.counts, None, true, &search.states);
            page.empty = if search == Search::default() {
                "No job has come yet."
            } else {
                "No job is like that."
            };
            if rows.is_empty() && next.is_some() {
                page.empty = "None among those looked at so far; there are more.";
            }
            page.rows = rows.iter().map(|job| Line::of(job, glance.now_ms())).collect();
            page.next =
                next.map(|next| query::to("/jobs", &[("q", q), ("after", &next.to_string())]));
            StatusCode::OK
        }
        Err(error) => {
            page.counts = gateways::counted(&glance.summary.counts, None, true, &[]);
            page.error = Some(super::sentence(&error));
            StatusCode::UNPROCESSABLE_ENTITY
        }
    };
    Ok((status, written(&jobs::Page { frame: visit.frame("Jobs", &glance), jobs: page })))
}

type Rows = (Search, Vec<mission_jobs::JobRecord>, Option<Cursor>);

/// A page of what is found, or what is wrong with the search.
async fn found(visit: &Visit, q: &str, after: &str) -> Result<Result<Rows, String>, Problem> {
    let search: Search = match q.parse() {
        Ok(search) => search,
        Err(error) => return Ok(Err(format!("{error}"))),
    };
    let after = match after {
        "" => None,
        text => match text.parse::<Cursor>() {
            Ok(cursor) => Some(cursor),
            Err(_) => {
                return Ok(Err(
                    "this page of the search is not there any more; begin with the first"
                        .to_owned(),
                ));
            }
        },
    };
    let found = visit.app.queue.search(&search, after.as_ref(), PAGE).await?;
    Ok(Ok((search, found.jobs, found.next)))
}

async fn one_job(visit: Visit, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let missing = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            format!("there is no job {id}; it may have ended and been removed"),
        )
    };
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = visit.glance().await?;
    let record = visit.app.queue.get(id).await?.ok_or_else(missing)?;
    let ids = record
        .subject
        .split_once('/')
        .and_then(|(lane, agent)| Some((lane.parse().ok()?, agent.parse().ok()?)));
    let siblings = match ids {
        Some((lane, agent)) => visit.app.queue.agent_jobs(lane, agent, MOST_SIBLINGS + 1).await?,
        None => Vec::new(),
    };
    let job = job::View::of(&record, &siblings, &visit.origin, glance.now_ms());
    Ok(written(&job::Page { frame: visit.frame(&job.title, &glance), job }))
}

async fn failures(visit: Visit) -> Result<Html<String>, Problem> {
    let glance = visit.glance().await?;
    let groups = visit.app.queue.groups(MANY).await?;
    let jobs = groups.iter().map(|group| group.count).sum();
    let row =
        |group| groups::Row::of(group, glance.name(group.gateway).as_deref(), glance.now_ms());
    let rows = groups.iter().map(row).collect();
    Ok(written(&groups::Page::of(visit.frame("Failures", &glance), rows, jobs)))
}

async fn all_gateways(visit: Visit) -> Result<Html<String>, Problem> {
    let glance = visit.glance().await?;
    Ok(written(&gateways::Page::of(visit.frame("Gateways", &glance), rows(&glance, usize::MAX))))
}

async fn one_gateway(visit: Visit, Path(id): Path<String>) -> Result<Html<String>, Problem> {
    let missing =
        || Problem::new(StatusCode::NOT_FOUND, format!("no job has come for a gateway {id}"));
    let id: Uuid = id.parse().map_err(|_| missing())?;
    let glance = visit.glance().await?;
    let record = glance.gateways.iter().find(|gateway| gateway.id == id).ok_or_else(missing)?;
    let live = State::ALL
        .into_iter()
        .filter(|state| !state.is_terminal() || *state == State::Dead)
        .collect();
    let search = Search { gateway: Some(id), states: live, ..Search::default() };
    let found = visit.app.queue.search(&search, None, PAGE).await?;
    let jobs = found.jobs.iter().map(|job| Line::of(job, glance.now_ms())).collect();
    let gateway =
        gateways::One::of(record, glance.pause_of(&Scope::Gateway(id)), jobs, glance.now_ms());
    Ok(written(&gateways::OnePage { frame: visit.frame(&gateway.name, &glance), gateway }))
}

async fn workers(visit: Visit) -> Result<Html<String>, Problem> {
    let glance = visit.glance().await?;
    let workers = visit.app.queue.workers().await?;
    Ok(written(&others::WorkersPage::of(visit.frame("Workers", &glance), &workers)))
}

async fn audit(visit: Visit, Query(asked): Query<Asked>) -> Result<Html<String>, Problem> {
    let glance = visit.glance().await?;
    let after = Some(asked.after.as_str()).filter(|after| !after.is_empty());
    let entries = visit.app.queue.audit(after, MANY).await?;
    let older = entries
        .last()
        .filter(|_| entries.len() == MANY)
        .map(|last| query::to("/audit", &[("after", &last.id)]));
    let entries = entries.iter().map(|entry| others::Entry::of(entry, glance.now_ms())).collect();
    Ok(written(&others::AuditPage { frame: visit.frame("Audit", &glance), entries, older }))
}

async fn api(visit: Visit) -> Result<Html<String>, Problem> {
    let glance = visit.glance().await?;
    Ok(written(&docs::Page::of(visit.frame("API", &glance), &programs::docs::value())))
}

//! The gateways of the queue.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use mission_jobs::queue::{
    AgentPage, GatewayConnection, GatewayDetails, GatewayRecord, MAX_AGENTS, MAX_PAGE,
    StoredConnection,
};
use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::input::{self, Id, Query, reason};
use super::queue::Changed;
use crate::App;
use crate::actions::Actions;
use crate::auth::Action;
use crate::problem::{Answer, Problem};

/// Lists the gateways that have jobs, most recently used first, 200 at most.
#[utoipa::path(get, path = "/gateways", tag = "gateways",
    responses((status = 200, description = "The gateways, each with its jobs by state",
        body = Vec<GatewayRecord>)))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Answer<Json<Vec<GatewayRecord>>> {
    Ok(Json(app.queue.gateways(MAX_PAGE).await?))
}

/// Returns a gateway by its id, with the connection that its jobs use and the number of its agents
/// by phase.
#[utoipa::path(get, path = "/gateways/{id}", tag = "gateways",
    params(("id" = Uuid, Path, description = "The id of the gateway")),
    responses((status = 200, description = "The gateway", body = GatewayDetails)))]
pub(crate) async fn show(State(app): State<Arc<App>>, Id(id): Id) -> Answer<Json<GatewayDetails>> {
    let missing = || Problem::missing(format!("nothing is known of gateway {id}"));
    app.queue.gateway_details(id).await?.map(Json).ok_or_else(missing)
}

/// The reason for an action that has no other options.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhyQuery {
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[param(required = false, max_length = 500)]
    reason: String,
}

/// Stores the connection of a gateway.
///
/// The body is what job documents have as `gateway`; its `id` can be left out. All jobs of the
/// gateway use the connection from then on, and documents may name the gateway by its id alone. If
/// it is another connection than before, blocked jobs of the gateway are tried again. If a newer
/// revision is in force, nothing is stored.
#[utoipa::path(put, path = "/gateways/{id}", tag = "gateways",
    params(("id" = Uuid, Path, description = "The id of the gateway"), WhyQuery),
    request_body(content = HashMap<String, Value>,
        description = "The connection; docs/protocol.md describes it"),
    responses((status = 200, description = "The connection is stored, or a newer one is in force",
        body = StoredConnection)))]
pub(crate) async fn put(
    actions: Actions,
    Id(id): Id,
    Query(why): Query<WhyQuery>,
    request: Request,
) -> Answer<Json<StoredConnection>> {
    actions.caller.may(Action::PutGateway)?;
    if !request.headers().get(CONTENT_TYPE).is_some_and(|kind| input::is_json(kind.as_bytes())) {
        return Err(input::no_json());
    }
    let mut gateway = GatewayConnection::read_json(&input::read(request, &()).await?)?;
    if let Some(members) = gateway.as_object_mut() {
        members.entry("id").or_insert_with(|| Value::String(id.to_string()));
    }
    let connection = GatewayConnection::new(&gateway)?;
    if connection.gateway() != id {
        return Err(Problem::wrong("gateway.id", "this is another id than that of the address"));
    }
    Ok(Json(actions.put_gateway(&connection, &why.reason).await?))
}

/// The options of forgetting a gateway.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ForgetQuery {
    /// Also forgets agents that are not deleted, and cancels waiting jobs.
    #[serde(default)]
    #[param(required = false)]
    force: bool,
    /// The reason, for the audit.
    #[serde(default, deserialize_with = "reason")]
    #[param(required = false, max_length = 500)]
    reason: String,
}

/// Forgets a gateway: its connection, its agents and its figures. Nothing is changed on the gateway
/// itself.
///
/// Refused while jobs of the gateway run and, without `force`, while jobs of it wait or agents are
/// recorded on it that are not deleted.
#[utoipa::path(delete, path = "/gateways/{id}", tag = "gateways",
    params(("id" = Uuid, Path, description = "The id of the gateway"), ForgetQuery),
    responses((status = 200, description = "The gateway is forgotten", body = Changed)))]
pub(crate) async fn forget(
    actions: Actions,
    Id(id): Id,
    Query(how): Query<ForgetQuery>,
) -> Answer<Json<Changed>> {
    actions.forget_gateway(id, how.force, &how.reason).await?;
    Ok(Json(Changed { changed: true }))
}

/// The page of a gateway's agents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AgentsQuery {
    /// The member `next` of the previous page.
    #[serde(default)]
    #[param(required = false, maximum = 1_000_000_000)]
    after: u64,
    /// The most agents on a page, 1 to 100.
    #[serde(default = "most_agents")]
    #[param(required = false, minimum = 1, maximum = 100, default = 100)]
    limit: usize,
}

const fn most_agents() -> usize {
    MAX_AGENTS
}

/// Lists the agents that are recorded on a gateway: first those that a cleanup is to remove, then
/// those that it should have, then those that were removed within the last day.
#[utoipa::path(get, path = "/gateways/{id}/agents", tag = "gateways",
    params(("id" = Uuid, Path, description = "The id of the gateway"), AgentsQuery),
    responses((status = 200, description = "A page of agents", body = AgentPage)))]
pub(crate) async fn agents(
    State(app): State<Arc<App>>,
    Id(id): Id,
    Query(page): Query<AgentsQuery>,
) -> Answer<Json<AgentPage>> {
    if !(1..=MAX_AGENTS).contains(&page.limit) {
        return Err(Problem::wrong("limit", format!("use 1 to {MAX_AGENTS}")));
    }
    if page.after > MOST_AFTER {
        return Err(Problem::wrong("after", "use the `next` of a page"));
    }
    Ok(Json(app.queue.recorded_agents(id, page.after, page.limit).await?))
}

/// The highest place in the list of agents.
const MOST_AFTER: u64 = 1_000_000_000;

//! The queue's events, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use utoipa::IntoParams;
use uuid::Uuid;

use super::input::Query;
use crate::App;
use crate::event_hub::{Event, News, Subscription};
use crate::problem::Problem;

/// Most who listen to one process.
const MOST: usize = 400;
/// How often a sign of life is sent.
const ALIVE: Duration = Duration::from_secs(15);
/// After how long a stream ends, so that whoever listens shows again who they are; browsers come
/// back by themselves.
const LIFE: Duration = Duration::from_secs(3600);

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only of this job.
    job: Option<Uuid>,
    /// Only of jobs of this gateway, and what is paused or resumed.
    gateway: Option<Uuid>,
}

/// What happens, as it happens.
///
/// Each event is named as its member `event`: `job`, `paused`, `resumed`; docs/protocol.md says
/// what is in them. `reset` says: what happened before is not known, so read anew what you show.
/// The first event is `reset`, unless `Last-Event-ID` names one that is still known.
#[utoipa::path(get, path = "/events", tag = "queue", params(EventsQuery,
    ("last-event-id" = Option<String>, Header, description = "The id of the last event that you \
        know")),
    responses((status = 200, description = "A stream without an \
        end", content_type = "text/event-stream", body = String)))]
pub async fn events(
    State(app): State<Arc<App>>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if app.live.listeners() >= MOST {
        let detail = format!("{MOST} others are listening; ask another worker, or try again later");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).for_seconds(30));
    }
    let since = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let stream = told(app.live.join(since))
        .filter(move |event| std::future::ready(query.wants(event.as_deref())));
    let stream =
        stream.map(|event| Ok::<_, Infallible>(sent(event.as_deref()))).take_until(sleep(LIFE));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

fn told(heard: Subscription) -> impl Stream<Item = News> {
    unfold((heard.missed, heard.next), |(mut missed, mut next)| async move {
        if let Some(news) = missed.pop_front() {
            return Some((news, (missed, next)));
        }
        match next.recv().await {
            Ok(news) => Some((news, (missed, next))),
            Err(RecvError::Lagged(_)) => Some((None, (missed, next))),
            Err(RecvError::Closed) => None,
        }
    })
}

fn sent(event: Option<&Event>) -> sse::Event {
    // Browsers pass over an event without content.
    let Some(event) = event else { return sse::Event::default().event("reset").data("{}") };
    let name = event.value.get("event").and_then(Value::as_str).unwrap_or("other");
    sse::Event::default().id(&event.id).event(name).data(event.value.to_string())
}

impl EventsQuery {
    fn wants(&self, event: Option<&Event>) -> bool {
        let Some(event) = event else { return true };
        let is = |member: &str, wanted: Option<Uuid>| {
            let id = event.value.get(member).and_then(Value::as_str).and_then(|id| id.parse().ok());
            wanted.is_none_or(|wanted| id.is_none_or(|id: Uuid| id == wanted))
        };
        is("id", self.job) && is("gateway", self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_a_job_hears_of_it_and_of_pauses() {
        let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let query = EventsQuery { job: Some(one), gateway: None };
        let wants = |value: Value| query.wants(Some(&Event { id: "1-1".to_owned(), value }));
        assert!(wants(serde_json::json!({ "event": "job", "id": one })));
        assert!(!wants(serde_json::json!({ "event": "job", "id": other })));
        assert!(wants(serde_json::json!({ "event": "paused", "scope": "all" })));
        assert!(query.wants(None));
    }
}

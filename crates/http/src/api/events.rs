//! The queue's events, as server-sent events.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{iter, unfold};
use futures_util::{Stream, StreamExt};
use mission_jobs::queue::QueueEvent;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use utoipa::IntoParams;
use uuid::Uuid;

use super::input::Query;
use crate::App;
use crate::event_hub::{Event, EventOrGap, Subscription};
use crate::problem::{Answer, Problem};

/// The most subscribers of one process.
const MOST: usize = 400;
/// The interval of keep-alive comments.
const ALIVE: Duration = Duration::from_secs(15);
/// The time after which a stream ends, so that its caller authenticates again. Browsers reconnect
/// by themselves.
const LIFE: Duration = Duration::from_secs(3600);

/// The events to send.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Only events of this job.
    job: Option<Uuid>,
    /// Only events of this gateway's jobs, and pauses.
    gateway: Option<Uuid>,
}

/// Streams events as they happen.
///
/// The name of an event is its member `event`: `job`, `paused` or `resumed`; docs/protocol.md
/// describes them. The event `reset` means that earlier events may be lost, so read the queue
/// again. The first event is `reset`, unless `Last-Event-ID` names one that is still known.
#[utoipa::path(get, path = "/events", tag = "queue", params(EventsQuery,
    ("last-event-id" = Option<String>, Header,
        description = "The id of the last event that you know")),
    responses((status = 200, description = "An endless stream",
        content_type = "text/event-stream", body = String)))]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    if app.events.subscribers() >= MOST {
        let detail =
            format!("{MOST} others are subscribed; use another worker, or try again later");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).for_seconds(30));
    }
    let since = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let stream = stream_of(app.events.subscribe(since))
        .filter(move |event| ready(query.wants(event.as_deref())))
        .map(|event| Ok::<_, Infallible>(sse_event(event.as_deref())))
        .take_until(sleep(LIFE));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

fn stream_of(Subscription { missed, next }: Subscription) -> impl Stream<Item = EventOrGap> {
    let later = unfold(next, |mut next| async move {
        match next.recv().await {
            Ok(event) => Some((event, next)),
            Err(RecvError::Lagged(_)) => Some((None, next)),
            Err(RecvError::Closed) => None,
        }
    });
    iter(missed).chain(later)
}

fn sse_event(event: Option<&Event>) -> sse::Event {
    // Browsers ignore an event without data.
    let Some(event) = event else { return sse::Event::default().event("reset").data("{}") };
    let name = Some(QueueEvent::of(&event.value).event).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "other".to_owned());
    sse::Event::default().id(&event.id).event(name).data(event.value.to_string())
}

impl EventsQuery {
    fn wants(&self, event: Option<&Event>) -> bool {
        let Some(event) = event else { return true };
        let event = QueueEvent::of(&event.value);
        let is = |id: Option<Uuid>, wanted: Option<Uuid>| {
            wanted.is_none_or(|wanted| id.is_none_or(|id| id == wanted))
        };
        is(event.job(), self.job) && is(event.gateway(), self.gateway)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_subscriber_to_a_job_gets_its_events_and_pauses() {
        let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let query = EventsQuery { job: Some(one), gateway: None };
        let wants = |value: Value| query.wants(Some(&Event { id: "1-1".to_owned(), value }));
        assert!(wants(serde_json::json!({ "event": "job", "id": one })));
        assert!(!wants(serde_json::json!({ "event": "job", "id": other })));
        assert!(wants(serde_json::json!({ "event": "paused", "scope": "all" })));
        assert!(query.wants(None));
    }
}

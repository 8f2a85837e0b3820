//! The queue over the HTTP API of a worker.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use mission_jobs::queue::{
    AuditEntry, Cursor, Found, GatewayRecord, Group, MAX_PAGE, Search, Summary, WorkerRecord,
};
use mission_jobs::{JobRecord, Scope, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Answer, JobAction, QueueClient};
use crate::client::Client;
use mission_http::api::series::KindStatus;

/// The answer to an action on a job.
#[derive(Deserialize)]
struct Acted {
    was: State,
}

/// The answer to a pause or a drain.
#[derive(Deserialize)]
struct Changed {
    changed: bool,
}

impl QueueClient for Client {
    fn summary(&self) -> Answer<'_, Summary> {
        Box::pin(async { Ok(self.get(&["summary"], &[]).await?) })
    }

    fn search<'a>(
        &'a self,
        search: &'a Search,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> Answer<'a, Found> {
        let limit = limit.clamp(1, MAX_PAGE).to_string();
        let mut query = vec![("q", search.to_string()), ("limit", limit)];
        query.extend(after.map(|after| ("after", after.to_string())));
        Box::pin(async move { Ok(self.get(&["jobs"], &query).await?) })
    }

    fn job(&self, id: Uuid) -> Answer<'_, JobRecord> {
        Box::pin(async move { Ok(self.get(&["jobs", &id.to_string()], &[]).await?) })
    }

    fn act<'a>(&'a self, id: Uuid, action: JobAction, reason: &'a str) -> Answer<'a, State> {
        let (name, body) = match action {
            JobAction::Retry { force } => ("retry", json!({ "force": force, "reason": reason })),
            JobAction::Unblock => ("unblock", json!({ "reason": reason })),
            JobAction::Snooze(time) => {
                ("snooze", json!({ "seconds": time.as_secs().max(1), "reason": reason }))
            }
            JobAction::Cancel => ("cancel", json!({ "reason": reason })),
            JobAction::Discard => ("discard", json!({ "reason": reason })),
        };
        Box::pin(async move {
            let Acted { was } = self.post(&["jobs", &id.to_string(), name], &body).await?;
            Ok(was)
        })
    }

    fn pause<'a>(&'a self, scope: &'a Scope, pause: bool, reason: &'a str) -> Answer<'a, bool> {
        let action = if pause { "pause" } else { "resume" };
        let body = json!({ "scope": scope, "reason": reason });
        Box::pin(async move {
            let Changed { changed } = self.post(&[action], &body).await?;
            Ok(changed)
        })
    }

    fn drain<'a>(&'a self, worker: &'a str, drain: bool, reason: &'a str) -> Answer<'a, bool> {
        let action = if drain { "drain" } else { "undrain" };
        let body = json!({ "reason": reason });
        Box::pin(async move {
            let Changed { changed } = self.post(&["workers", worker, action], &body).await?;
            Ok(changed)
        })
    }

    fn failures(&self) -> Answer<'_, Vec<Group>> {
        Box::pin(async { Ok(self.get(&["failures"], &[]).await?) })
    }

    fn gateways(&self) -> Answer<'_, Vec<GatewayRecord>> {
        Box::pin(async { Ok(self.get(&["gateways"], &[]).await?) })
    }

    fn kinds(&self) -> Answer<'_, Vec<KindStatus>> {
        Box::pin(async { Ok(self.get(&["kinds"], &[]).await?) })
    }

    fn workers(&self) -> Answer<'_, Vec<WorkerRecord>> {
        Box::pin(async { Ok(self.get(&["workers"], &[]).await?) })
    }

    fn audit<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AuditEntry>> {
        let mut query = vec![("limit", limit.clamp(1, MAX_PAGE).to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        Box::pin(async move { Ok(self.get(&["audit"], &query).await?) })
    }

    fn forward_events<'a>(&'a self, sender: &'a mpsc::Sender<Value>) -> Answer<'a, ()> {
        Box::pin(async {
            let mut events = std::pin::pin!(self.events().await?);
            while let (Some(event), false) = (events.next().await, sender.is_closed()) {
                let _ = sender.try_send(event);
            }
            Ok(())
        })
    }

    fn close(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

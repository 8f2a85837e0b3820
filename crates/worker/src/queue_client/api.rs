//! The queue over the HTTP API of a worker.

use futures_util::TryFutureExt;
use mission_jobs::queue::{
    AgentPage, AuditEntry, Cursor, Found, GatewayDetails, GatewayRecord, Group, MAX_PAGE, Search,
    StoredConnection, Summary, WorkerRecord,
};
use mission_jobs::{JobRecord, PauseScope, State};
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
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

impl Client {
    fn get<'a, T: DeserializeOwned + Send + 'a>(
        &'a self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Answer<'a, T> {
        Box::pin(self.call(Method::GET, self.url(path, query), None).err_into())
    }

    /// Sends a POST request and takes the result from its answer.
    fn post<'a, T: DeserializeOwned + Send + 'a, R: 'a>(
        &'a self,
        path: &[&str],
        body: Value,
        result: fn(T) -> R,
    ) -> Answer<'a, R> {
        let answer = self.call(Method::POST, self.url(path, &[]), Some(body));
        Box::pin(answer.map_ok(result).err_into())
    }
}

impl QueueClient for Client {
    fn summary(&self) -> Answer<'_, Summary> {
        self.get(&["summary"], &[])
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
        self.get(&["jobs"], &query)
    }

    fn job(&self, id: Uuid) -> Answer<'_, JobRecord> {
        self.get(&["jobs", &id.to_string()], &[])
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
        self.post(&["jobs", &id.to_string(), name], body, |Acted { was }| was)
    }

    fn pause<'a>(
        &'a self,
        scope: &'a PauseScope,
        pause: bool,
        reason: &'a str,
    ) -> Answer<'a, bool> {
        let action = if pause { "pause" } else { "resume" };
        let body = json!({ "scope": scope, "reason": reason });
        self.post(&[action], body, |Changed { changed }| changed)
    }

    fn drain<'a>(&'a self, worker: &'a str, drain: bool, reason: &'a str) -> Answer<'a, bool> {
        let action = if drain { "drain" } else { "undrain" };
        let body = json!({ "reason": reason });
        self.post(&["workers", worker, action], body, |Changed { changed }| changed)
    }

    fn failures(&self) -> Answer<'_, Vec<Group>> {
        self.get(&["failures"], &[])
    }

    fn gateways(&self) -> Answer<'_, Vec<GatewayRecord>> {
        self.get(&["gateways"], &[])
    }

    fn gateway(&self, id: Uuid) -> Answer<'_, GatewayDetails> {
        self.get(&["gateways", &id.to_string()], &[])
    }

    fn agents(&self, gateway: Uuid, after: u64) -> Answer<'_, AgentPage> {
        let query = [("after", after.to_string())];
        self.get(&["gateways", &gateway.to_string(), "agents"], &query)
    }

    fn put_gateway<'a>(
        &'a self,
        gateway: &'a Value,
        reason: &'a str,
    ) -> Answer<'a, StoredConnection> {
        let id = gateway["id"].as_str().unwrap_or_default();
        let url = self.url(&["gateways", id], &[("reason", reason.to_owned())]);
        Box::pin(self.call(Method::PUT, url, Some(gateway.clone())).err_into())
    }

    fn forget_gateway<'a>(&'a self, id: Uuid, force: bool, reason: &'a str) -> Answer<'a, ()> {
        let query = [("force", force.to_string()), ("reason", reason.to_owned())];
        let url = self.url(&["gateways", &id.to_string()], &query);
        let answer = self.call(Method::DELETE, url, None);
        Box::pin(answer.map_ok(|Changed { .. }| ()).err_into())
    }

    fn kinds(&self) -> Answer<'_, Vec<KindStatus>> {
        self.get(&["kinds"], &[])
    }

    fn workers(&self) -> Answer<'_, Vec<WorkerRecord>> {
        self.get(&["workers"], &[])
    }

    fn audit<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<AuditEntry>> {
        let mut query = vec![("limit", limit.clamp(1, MAX_PAGE).to_string())];
        query.extend(after.map(|after| ("after", after.to_owned())));
        self.get(&["audit"], &query)
    }

    fn forward_events<'a>(&'a self, sender: &'a mpsc::Sender<Value>) -> Answer<'a, ()> {
        Box::pin(self.send_events(sender).err_into())
    }
}

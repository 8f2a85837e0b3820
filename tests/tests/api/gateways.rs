//! Gateways over HTTP: their connections, their agents, and forgetting them.

use serde_json::{Value, json};

use super::access::token;
use super::server::{Answer, Server};
use super::{document, hold, waiting};
use crate::documents::GATEWAY_TOKEN;

/// Returns the `gateway` of a document with these members changed.
fn gateway(changes: &Value) -> Value {
    let mut gateway = document("Ada")["gateway"].take();
    let members = changes.as_object().unwrap().clone();
    gateway.as_object_mut().unwrap().extend(members);
    gateway
}

fn path(gateway: &Value) -> String {
    format!("/api/v1/gateways/{}", gateway["id"].as_str().unwrap())
}

impl Server {
    async fn put(&self, path: &str, headers: &[&str], body: &Value) -> Answer {
        let headers = [headers, &["content-type: application/json"]].concat();
        self.send(&format!("PUT {path}"), &headers, &body.to_string()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_stored_shown_and_forgotten() {
    let server = Server::start(&[]).await;
    hold(&server.queue).await;
    let bearer = server.bearer();
    let given = gateway(&json!({ "revision": 2, "name": "Berlin" }));
    let at = path(&given);
    assert_eq!(server.get(&at, &[]).await.status, 404);
    let mut nameless = given.clone();
    nameless.as_object_mut().unwrap().remove("id");
    let stored = server.put(&format!("{at}?reason=new"), &[&bearer], &nameless).await;
    assert_eq!(stored.status, 200, "{stored:?}");
    assert_eq!(stored.json(), json!({ "stored": true, "changed": true, "revision": 2 }));
    let older = server.put(&at, &[&bearer], &gateway(&json!({ "revision": 1 }))).await;
    assert_eq!(older.json(), json!({ "stored": false, "changed": false, "revision": 2 }));

    let job = waiting(&server.queue, "Ada").await;
    let shown = server.get(&at, &[]).await;
    let connection = &shown.json()["connection"];
    assert_eq!((&connection["revision"], &connection["stored_alone"]), (&json!(2), &json!(false)));
    assert_eq!(shown.json()["agents"], json!({ "wanted": 1, "deleting": 0, "deleted": 0 }));
    assert_eq!(shown.json()["jobs"]["ready"], 1);
    let agents = server.get(&format!("{at}/agents?limit=1"), &[]).await.json();
    assert_eq!(agents["agents"][0]["phase"], "wanted");
    assert_eq!(agents["agents"][0]["job"], job.to_string());
    assert_eq!(agents["agents"][0]["owed"], json!(["provision"]));
    let page = server.get(&at.replace("/api/v1", ""), &[&bearer]).await;
    assert!(page.body.contains("1 wanted") && page.body.contains("to be written"), "{page:?}");
    assert!(!page.body.contains(GATEWAY_TOKEN) && !shown.body.contains(GATEWAY_TOKEN));

    let refused = server.send(&format!("DELETE {at}"), &[&bearer], "").await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("1 of its agents"), "{refused:?}");
    let forgotten = server.send(&format!("DELETE {at}?force=true"), &[&bearer], "").await;
    assert_eq!((forgotten.status, forgotten.json()), (200, json!({ "changed": true })));
    let cancelled = server.get(&format!("/api/v1/jobs/{job}"), &[]).await.json();
    assert_eq!(cancelled["state"], "cancelled");
    let audit = server.get("/api/v1/audit", &[]).await.json();
    let done: Vec<&Value> = audit.as_array().unwrap().iter().map(|it| &it["action"]).collect();
    assert_eq!(done, ["forget-gateway", "put-gateway", "pause"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_connection_is_refused_with_its_path() {
    let server = Server::start(&[]).await;
    let bearer = server.bearer();
    let at = path(&gateway(&json!({})));
    for (changes, wrong) in [
        (json!({ "url": null }), "gateway.url"),
        (json!({ "workspace_root": null }), "gateway.workspace_root"),
        (json!({ "colour": "red" }), "gateway.colour"),
        (json!({ "revision": -1 }), "gateway.revision"),
        (json!({ "id": "00000000-0000-0000-0000-000000000009" }), "gateway.id"),
    ] {
        let answer = server.put(&at, &[&bearer], &gateway(&changes)).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["path"]), (422, &json!(wrong)));
    }
    let headers = [bearer.as_str(), "content-type: application/json"];
    for (body, wrong) in [("{", "$"), ("[]", "gateway"), (r#"{"url":"","url":""}"#, "gateway.url")]
    {
        let answer = server.send(&format!("PUT {at}"), &headers, body).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["path"]), (422, &json!(wrong)));
    }
    assert_eq!(server.send(&format!("PUT {at}"), &[&bearer], "{}").await.status, 415);
    let wrong = server.put("/api/v1/gateways/acme", &[&bearer], &gateway(&json!({}))).await;
    assert_eq!(wrong.status, 422);
    for query in ["limit=101", "limit=0", "after=-1"] {
        let answer = server.get(&format!("{at}/agents?{query}"), &[]).await;
        assert_eq!(answer.status, 422, "{query}");
    }
    let unknown = server.send(&format!("DELETE {at}"), &[&bearer], "").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_store_connections_and_admins_forget_gateways() {
    let roles = ["viewer", "operator", "admin"];
    let tokens = roles.map(|role| token(role, role));
    let entries = tokens.iter().map(|(_, entry)| entry.as_str()).collect::<Vec<_>>().join(" ");
    let server = Server::start(&[("MISSION_HTTP_TOKENS", &entries)]).await;
    let given = gateway(&json!({}));
    let at = path(&given);
    for ((secret, _), (put, forget)) in tokens.iter().zip([(403, 403), (200, 403), (200, 200)]) {
        let bearer = format!("authorization: Bearer {secret}");
        assert_eq!(server.put(&at, &[&bearer], &given).await.status, put);
        assert_eq!(server.send(&format!("DELETE {at}"), &[&bearer], "").await.status, forget);
    }
    assert_eq!(server.put(&at, &[], &given).await.status, 401);
    assert_eq!(server.send(&format!("DELETE {at}"), &[], "").await.status, 401);
}

//! Connections that are stored without a job, and what another connection of a gateway changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mission_core::{Failure, Outcome, Scope};
use mission_jobs::queue::{
    AgentCounts, AgentPhase, GatewayConnection, InUse, Owed, PauseScope, RecordedAgent,
    StoredConnection,
};
use mission_jobs::{Envelope, Keyring, Queue, QueueError, RunResult, State};
use mission_test_support::RedisServer;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync};
use crate::records::{agent, document, pause, provision, runs_until_done};
use crate::worker::{
    Gate, HOUR, Runs, Worker, brisk, by, done, eventually, look, patient, put, put_all, reaches,
    unreachable,
};

fn connection(changes: &Value) -> GatewayConnection {
    let mut gateway = json!({
        "id": Uuid::from_u128(1), "url": "ws://127.0.0.1:1", "workspace_root": "/srv",
        "token": "gateway-token",
    });
    gateway.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    GatewayConnection::new(&gateway).unwrap()
}

async fn store(queue: &Queue, changes: &Value) -> StoredConnection {
    queue.put_gateway(&connection(changes), &by("test"), "rotated").await.unwrap()
}

fn nameless(number: u128) -> Envelope {
    document(&[agent(number), ("/gateway", json!({ "id": Uuid::from_u128(1) }))])
}

fn gateway_tokens(runs: &Runs) -> Vec<Option<String>> {
    let secret = |token: &secrecy::SecretString| token.expose_secret().to_owned();
    runs.map(|claimed| provision(claimed).gateway.token.as_ref().map(secret))
}

#[tokio::test]
async fn a_connection_that_is_stored_alone_serves_documents_that_name_the_gateway_only() {
    for keys in ["", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="] {
        let redis = RedisServer::start().await;
        let keyring: Keyring = keys.parse().unwrap();
        let queue = redis.queue().with_keys(Arc::new(keyring));
        let stored = store(&queue, &json!({ "revision": 3 })).await;
        let first = StoredConnection { stored: true, changed: true, revision: Some(3) };
        assert_eq!(stored, first);
        put(&queue, &nameless(1)).await;
        let runs = runs_until_done(&queue, 1).await;
        assert_eq!(gateway_tokens(&runs), [Some("gateway-token".to_owned())]);
        let document = queue.record_documents().await.unwrap().into_iter().next().unwrap();
        assert!(
            !queue.reseal(document.0, document.1).await.unwrap(),
            "it is sealed if there is a key"
        );

        let older = store(&queue, &json!({ "revision": 2, "token": "older" })).await;
        assert_eq!(older, StoredConnection { stored: false, changed: false, revision: Some(3) });
        let same = store(&queue, &json!({ "name": "Berlin" })).await;
        assert_eq!(same, StoredConnection { stored: true, changed: false, revision: Some(3) });
        put(&queue, &nameless(2)).await;
        let runs = runs_until_done(&queue, 2).await;
        assert_eq!(gateway_tokens(&runs), [Some("gateway-token".to_owned())]);
        assert_eq!(runs.map(provision)[0].gateway.name, "Berlin");
        let gateway = queue.gateway(Uuid::from_u128(1)).await.unwrap();
        assert!(gateway.is_some(), "the gateway is listed");
        let entry = queue.audit(None, 1).await.unwrap().remove(0).record;
        assert_eq!((entry.action.as_str(), entry.why.as_str()), ("put-gateway", "rotated"));
        assert_eq!(entry.after.as_deref(), Some("same"));
    }
}

#[tokio::test]
async fn a_job_that_no_connection_is_known_for_proves_nothing() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let first = document(&[
        ("/gateway", json!({ "id": Uuid::from_u128(1) })),
        ("/options/wake", json!({})),
    ]);
    put(&queue, &first).await;
    runs_until_done(&queue, 1).await;
    let agents = queue.recorded_agents(Uuid::from_u128(1), 0, 1).await.unwrap().agents;
    assert!(!agents[0].observed);
    assert_eq!(agents[0].owed, [Owed::Provision, Owed::Wake]);
    store(&queue, &json!({})).await;
    put(&queue, &nameless(1)).await;
    let runs = runs_until_done(&queue, 2).await;
    assert!(runs.map(provision)[0].options.wake.is_some());
    let agents = queue.recorded_agents(Uuid::from_u128(1), 0, 1).await.unwrap().agents;
    assert!(agents[0].observed && agents[0].owed.is_empty());
}

#[test]
fn a_connection_is_checked_like_the_gateway_of_a_job() {
    let id = Uuid::from_u128(1);
    for (gateway, path) in [
        (json!({ "id": id }), "gateway.url"),
        (json!({ "id": id, "url": "http://host", "workspace_root": "/srv" }), "gateway.url"),
        (json!({ "id": id, "url": "ws://host" }), "gateway.workspace_root"),
        (json!({ "url": "ws://host", "workspace_root": "/srv" }), "gateway.id"),
        (
            json!({ "id": id, "url": "ws://h", "workspace_root": "/", "revision": -1 }),
            "gateway.revision",
        ),
        (json!("gateway"), "gateway"),
    ] {
        let error = GatewayConnection::new(&gateway).unwrap_err();
        assert_eq!(error.problems[0].path, path, "{gateway}");
    }
}

/// Returns the end of a run that the gateway refused because of a wrong token.
fn refused() -> RunResult {
    let failure = Failure::new("unauthorized", "a wrong token").of_gateway();
    Outcome::Blocked(failure).into()
}

/// Blocks that many jobs of a gateway, one for each agent, because of its token.
async fn block(queue: &Queue, count: u128) {
    for number in 1..=count {
        put(queue, &document(&[agent(number)])).await;
    }
    let _worker = Worker::start(queue, brisk(), |_| async { refused() });
    eventually("all blocked", async || {
        u128::from(queue.counts().await.unwrap().of(State::Blocked)) == count
    })
    .await;
}

async fn count_of(queue: &Queue, state: State) -> u64 {
    queue.counts().await.unwrap().of(state)
}

#[tokio::test]
async fn another_connection_frees_all_blocked_jobs_at_once_and_the_same_one_none() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    block(&queue, 4).await;
    pause(&queue).await;
    put(&queue, &document(&[agent(5)])).await;
    store(&queue, &json!({ "revision": 7, "name": "Berlin" })).await;
    assert_eq!(count_of(&queue, State::Blocked).await, 4);
    put(&queue, &document(&[agent(6), ("/gateway/token", json!("corrected"))])).await;
    assert_eq!(count_of(&queue, State::Ready).await, 6, "the newest revision counts");
    assert_eq!(count_of(&queue, State::Blocked).await, 0);
    runs_until_done(&queue, 6).await;
}

#[tokio::test]
async fn a_connection_with_a_known_key_frees_the_jobs_that_one_with_an_unknown_key_blocked() {
    let redis = RedisServer::start().await;
    let [wrong, right] =
        [(); 2].map(|()| Arc::new(Keyring::generate().parse::<Keyring>().unwrap()));
    let queue = redis.queue().with_keys(right);
    store(&redis.queue().with_keys(wrong), &json!({})).await;
    let jobs = [1, 2, 3].map(nameless);
    put_all(&queue, &jobs).await;
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    for job in &jobs {
        let failure = reaches(&queue, job.id, State::Blocked).await.failure.unwrap();
        assert_eq!((failure.code.as_str(), failure.scope), ("unknown_key", Scope::Gateway));
        let ways = ["MISSION_SECRET_KEY", "worker gateways put"];
        assert!(ways.iter().all(|way| failure.remedy.text.contains(way)), "{failure:?}");
    }
    assert!(store(&queue, &json!({})).await.changed);
    for job in &jobs {
        reaches(&queue, job.id, State::Done).await;
    }
}

#[tokio::test]
async fn each_change_of_a_connection_frees_each_blocked_job_once() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    block(&queue, 45).await;
    pause(&queue).await;
    assert!(store(&queue, &json!({ "token": "another" })).await.changed);
    assert_eq!(count_of(&queue, State::Ready).await, 20);
    queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();
    let again = Arc::new(AtomicU64::new(0));
    let count = again.clone();
    let worker = Worker::start(&queue, brisk(), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { refused() }
    });
    eventually("each was tried", async || again.load(Ordering::Relaxed) >= 45).await;
    eventually("all blocked", async || count_of(&queue, State::Blocked).await == 45).await;
    drop(worker);
    assert_eq!(again.load(Ordering::Relaxed), 45);
    pause(&queue).await;
    assert!(store(&queue, &json!({ "token": "a third" })).await.changed);
    assert_eq!(count_of(&queue, State::Ready).await, 20);
    runs_until_done(&queue, 45).await;
}

#[tokio::test]
async fn another_connection_lifts_the_hold_of_a_lane() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let away = document(&[]);
    put(&queue, &away).await;
    let worker = Worker::start(&queue, patient(), |_| async { unreachable() });
    reaches(&queue, away.id, State::Retrying).await;
    drop(worker);
    let lane = async || queue.gateway(Uuid::from_u128(1)).await.unwrap().unwrap();
    assert!(lane().await.failures > 0 && lane().await.held_until_ms.is_some());
    store(&queue, &json!({ "url": "ws://127.0.0.2:1" })).await;
    assert_eq!((lane().await.failures, lane().await.held_until_ms), (0, None));
}

#[tokio::test]
async fn a_gateway_is_forgotten_when_nothing_needs_it() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let id = Uuid::from_u128(1);
    let forget = async |force| queue.forget_gateway(id, force, &by("ada"), "moved").await;
    assert_eq!(forget(false).await, Err(QueueError::UnknownGateway { id }));
    store(&queue, &json!({})).await;
    forget(false).await.unwrap();
    assert!(queue.gateway(id).await.unwrap().is_none());
    assert!(queue.record_documents().await.unwrap().is_empty());

    block(&queue, 2).await;
    let in_use = |what| Err(QueueError::GatewayInUse { id, what });
    assert_eq!(forget(false).await, in_use(InUse::Agents(2)));
    let gate = Gate::default();
    let running = put(&queue, &document(&[agent(3)])).await.id;
    let worker = Worker::start(&queue, brisk(), gate.handler(done));
    reaches(&queue, running, State::Running).await;
    assert_eq!(forget(true).await, in_use(InUse::Running(1)));
    queue.cancel(running, &by("ada"), "").await.unwrap();
    drop(worker);
}

#[tokio::test]
async fn forgetting_by_force_cancels_waiting_jobs_in_steps() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let id = Uuid::from_u128(1);
    pause(&queue).await;
    let jobs: Vec<Envelope> = (1..=250).map(|number| document(&[agent(number)])).collect();
    put_all(&queue, &jobs).await;
    put(&queue, &document(&[agent(7)]).with_delay(HOUR)).await;
    let sync = heartbeat_sync(1, &[(1, "2m")]);
    put(&queue, &sync).await;
    let other = document(&[("/gateway/id", json!(Uuid::from_u128(2)))]);
    put(&queue, &other).await;

    queue.forget_gateway(id, true, &by("ada"), "moved").await.unwrap();
    assert_eq!(count_of(&queue, State::Cancelled).await, 252);
    assert_eq!(count_of(&queue, State::Ready).await, 1, "the other gateway's");
    let reason = look(&queue, sync.id).await.reason.unwrap();
    assert_eq!(reason, "cancelled by ada: its gateway is forgotten: moved");
    let documents = queue.record_documents().await.unwrap();
    assert_eq!(documents, [(other.lane, other.id)].into());
    let mut left: Vec<String> = redis.tell(&format!("KEYS *:{id}")).await;
    // Ended jobs keep their documents.
    left.retain(|key| *key != queue.keys().documents(&id.to_string()));
    assert_eq!(left, Vec::<String>::new());
    assert!(queue.gateways(10).await.unwrap().iter().all(|gateway| gateway.id != id));
    let entry = queue.audit(None, 1).await.unwrap().remove(0).record;
    assert_eq!(entry.action, "forget-gateway");
    let again = queue.forget_gateway(id, true, &by("ada"), "moved").await;
    assert_eq!(again, Err(QueueError::UnknownGateway { id }), "only ended jobs are left of it");
    // The gateway can come back.
    put(&queue, &document(&[])).await;
    runs_until_done(&queue, 2).await;
}

#[tokio::test]
async fn people_see_the_records_of_a_gateway() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let id = Uuid::from_u128(1);
    let nothing = queue.recorded(id).await.unwrap();
    assert!(nothing.connection.is_none() && nothing.agents == AgentCounts::default());
    store(&queue, &json!({ "revision": 3, "name": "Berlin", "url": "ws://me:hunter2@host" })).await;
    let nameless = |number: u128, changes: &[(&str, Value)]| {
        let gateway = ("/gateway", json!({ "id": Uuid::from_u128(1) }));
        document(&[&[agent(number), gateway], changes].concat())
    };
    let first = nameless(1, &[("/agent/generation", json!(7)), ("/options/wake", json!({}))]);
    put(&queue, &first).await;
    let agents = async || queue.recorded_agents(id, 0, 100).await.unwrap().agents;
    let expected = RecordedAgent {
        id,
        phase: AgentPhase::Wanted,
        generation: Some(7),
        observed: false,
        owed: vec![Owed::Provision, Owed::Wake],
        job: Some(first.id),
    };
    assert_eq!(agents().await, std::slice::from_ref(&expected));
    runs_until_done(&queue, 1).await;
    assert_eq!(agents().await, [RecordedAgent { observed: true, owed: vec![], ..expected }]);

    pause(&queue).await;
    put(&queue, &nameless(2, &[])).await;
    put(&queue, &cleanup(1, 2)).await;
    put(&queue, &cleanup(1, 3)).await;
    let shown = queue.recorded(id).await.unwrap();
    let connection = shown.connection.unwrap();
    assert_eq!((connection.revision, connection.stored_alone), (Some(3), false));
    assert_eq!(shown.agents, AgentCounts { wanted: 1, deleting: 2, deleted: 0 });
    let page = queue.recorded_agents(id, 0, 2).await.unwrap();
    assert!(page.agents.iter().all(|agent| agent.phase == AgentPhase::Deleting));
    let rest = queue.recorded_agents(id, page.next.unwrap(), 2).await.unwrap();
    assert_eq!((rest.agents[0].id, rest.next), (id, None));
    runs_until_done(&queue, 3).await;
    let counts = queue.recorded(id).await.unwrap().agents;
    assert_eq!(counts, AgentCounts { wanted: 1, deleting: 0, deleted: 2 });
}

#[tokio::test]
async fn the_connection_in_force_is_shown_without_secrets() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    store(&queue, &json!({ "revision": 3, "name": "Berlin", "url": "ws://me:hunter2@host" })).await;
    let recorded = queue.recorded(Uuid::from_u128(1)).await.unwrap().connection.unwrap();
    assert_eq!(recorded.url.as_deref(), Some("ws://me:***@host/"));
    assert_eq!(recorded.name.as_deref(), Some("Berlin"));
    assert!(recorded.stored_alone && recorded.at_ms.is_some());
    assert_eq!(queue.record_counts().await.unwrap(), (1, 0));
}

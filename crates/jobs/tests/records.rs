//! The records of gateways and agents: a run carries out the newest documents, whichever job they
//! came with.

use std::time::Duration;

use mission_core::Job;
use mission_core::applied::Applied;
use mission_core::model::{Action, Provision};
use mission_jobs::queue::PauseScope;
use mission_jobs::{Claimed, Envelope, Keep, Queue, Settings, State};
use mission_test_support::RedisServer;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync};
use crate::worker::{
    HOUR, Runs, Worker, brisk, by, done, eventually, look, permanent, put, reaches,
};

/// Returns a provisioning of agent 1 of gateway 1 with these members of the document changed, by
/// JSON pointer.
pub(crate) fn document(changes: &[(&str, Value)]) -> Envelope {
    let id = Uuid::from_u128(1);
    let mut document = json!({
        "version": 1,
        "kind": "provision",
        "gateway": {
            "id": id, "url": "ws://127.0.0.1:1", "workspace_root": "/srv", "token": "gateway-token",
        },
        "agent": { "id": id, "name": "Ada" },
        "board": { "id": id, "name": "Board" },
        "auth_token": "agent-token",
        "options": {},
    });
    for (path, value) in changes {
        let (parent, name) = path.rsplit_once('/').expect("a pointer");
        let parent = document.pointer_mut(parent).expect("an object");
        parent[name] = value.clone();
    }
    Envelope::new(document.to_string().as_bytes()).unwrap()
}

pub(crate) fn agent(number: u128) -> (&'static str, Value) {
    ("/agent/id", json!(Uuid::from_u128(number)))
}

/// Returns an edit: an update without the agent's token.
fn edit(changes: &[(&str, Value)]) -> Envelope {
    let update = [("/options/action", json!("update")), ("/auth_token", Value::Null)];
    document(&[&update, changes].concat())
}

pub(crate) fn provision(claimed: &Claimed) -> Provision {
    let Job::Provision(job) = &claimed.job else { panic!("{claimed:?}") };
    (**job).clone()
}

fn token(job: &Provision) -> Option<&str> {
    job.auth_token.as_ref().map(ExposeSecret::expose_secret)
}

pub(crate) async fn pause(queue: &Queue) {
    queue.pause(&PauseScope::All, &by("test"), "").await.unwrap();
}

/// Resumes the queue, and returns its runs once that many jobs are done.
pub(crate) async fn runs_until_done(queue: &Queue, count: u64) -> Runs {
    let runs = Runs::default();
    let _worker = Worker::start(queue, brisk(), runs.handler(|_| done()));
    queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();
    eventually("all done", async || queue.counts().await.unwrap().of(State::Done) == count).await;
    runs
}

#[tokio::test]
async fn a_corrected_token_of_the_gateway_reaches_every_job_that_waits() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    for number in 1..=3 {
        put(&queue, &document(&[agent(number)])).await;
    }
    put(&queue, &document(&[agent(4), ("/gateway/token", json!("corrected"))])).await;
    put(&queue, &edit(&[agent(5), ("/gateway", json!({ "id": Uuid::from_u128(1) }))])).await;
    let tokens = runs_until_done(&queue, 5).await.map(|claimed| {
        let gateway = provision(claimed).gateway;
        gateway.token.map(|token| token.expose_secret().to_owned())
    });
    assert_eq!(tokens, vec![Some("corrected".to_owned()); 5]);
}

#[tokio::test]
async fn an_older_revision_of_a_connection_does_not_replace_a_newer_one() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    let revision = |number: u64, token: &str| {
        [("/gateway/revision", json!(number)), ("/gateway/token", json!(token))]
    };
    put(&queue, &document(&[&[agent(1)], &revision(2, "newer")[..]].concat())).await;
    put(&queue, &document(&[&[agent(2)], &revision(1, "older")[..]].concat())).await;
    let tokens = runs_until_done(&queue, 2).await.map(|claimed| {
        provision(claimed).gateway.token.map(|token| token.expose_secret().to_owned())
    });
    assert_eq!(tokens, vec![Some("newer".to_owned()); 2]);
}

#[tokio::test]
async fn an_edit_before_the_first_run_keeps_the_token_and_everything_that_is_owed() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    let create = document(&[
        ("/options/wake", json!({ "verb": "born" })),
        ("/options/reset_session", json!(true)),
        ("/options/force_bootstrap", json!(true)),
    ]);
    put(&queue, &create).await;
    put(&queue, &edit(&[("/agent/name", json!("Renamed"))])).await;
    let last = edit(&[("/agent/name", json!("Renamed again"))]);
    assert_eq!(look(&queue, create.id).await.state, State::Superseded);
    put(&queue, &last).await;
    let runs = runs_until_done(&queue, 1).await;
    assert_eq!(runs.map(|claimed| (claimed.id, claimed.wake_id)), [(last.id, create.id)]);
    let job = runs.map(provision).remove(0);
    assert_eq!((job.agent.name.as_str(), token(&job)), ("Renamed again", Some("agent-token")));
    assert_eq!(job.options.action, Action::Provision);
    assert!(job.options.reset_session && job.options.force_bootstrap);
    assert_eq!(job.options.wake.unwrap().verb.as_deref(), Some("born"));

    put(&queue, &edit(&[])).await;
    let job = runs_until_done(&queue, 2).await.map(provision).remove(0);
    assert_eq!((job.options.action, token(&job)), (Action::Update, Some("agent-token")));
    assert!(!job.options.reset_session && !job.options.force_bootstrap);
    assert!(job.options.wake.is_none(), "what a run has carried out is not owed any more");
}

#[tokio::test]
async fn what_is_owed_outlives_the_death_of_its_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let create = document(&[("/options/wake", json!({}))]);
    put(&queue, &create).await;
    let worker = Worker::start(&queue, brisk(), |_| async { permanent() });
    reaches(&queue, create.id, State::Dead).await;
    drop(worker);
    put(&queue, &edit(&[])).await;
    let job = runs_until_done(&queue, 1).await.map(provision).remove(0);
    assert_eq!((job.options.action, token(&job)), (Action::Provision, Some("agent-token")));
    assert!(job.options.wake.is_some());
}

#[tokio::test]
async fn a_document_of_an_older_generation_changes_nothing() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    let generation = |number: u64, token: &str| {
        document(&[("/agent/generation", json!(number)), ("/auth_token", json!(token))])
    };
    let (newer, older) = (generation(2, "two"), generation(1, "one"));
    put(&queue, &newer).await;
    assert_eq!(put(&queue, &older).await.state, Some(State::Superseded));
    let record = look(&queue, older.id).await;
    assert_eq!((record.state, record.superseded_by), (State::Superseded, Some(newer.id)));
    let runs = runs_until_done(&queue, 1).await;
    assert_eq!(token(&runs.map(provision)[0]), Some("two"));
    // It is also too late when the newer one has been carried out.
    assert_eq!(put(&queue, &generation(1, "one")).await.state, Some(State::Superseded));
}

#[tokio::test]
async fn the_newest_heartbeat_counts_whatever_kind_of_job_asks_for_it() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    let every = |every: &str| ("/agent/heartbeat_config", json!({ "every": every }));
    put(&queue, &document(&[agent(1), every("1m")])).await;
    put(&queue, &heartbeat_sync(1, &[(1, "2m"), (2, "2m")])).await;
    put(&queue, &document(&[agent(2), every("3m")])).await;
    let mut heartbeats: Vec<(u128, Value)> = runs_until_done(&queue, 3)
        .await
        .map(|claimed| match &claimed.job {
            Job::HeartbeatSync(sync) => sync.agents.clone(),
            _ => vec![provision(claimed).agent],
        })
        .concat()
        .into_iter()
        .map(|agent| (agent.id.as_u128(), agent.heartbeat_config["every"].clone()))
        .collect();
    heartbeats.sort_by_key(|(agent, every)| (*agent, every.to_string()));
    assert_eq!(heartbeats, [(1, json!("2m")), (1, json!("2m")), (2, json!("3m"))]);
}

#[tokio::test]
async fn an_agent_that_was_cleaned_up_begins_a_new_life() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let generation = |number: u64| ("/agent/generation", json!(number));
    put(&queue, &document(&[generation(3), ("/options/wake", json!({}))])).await;
    runs_until_done(&queue, 1).await;
    put(&queue, &cleanup(1, 1)).await;
    runs_until_done(&queue, 2).await;
    assert_eq!(put(&queue, &document(&[generation(2)])).await.state, Some(State::Superseded));
    put(&queue, &edit(&[generation(4), ("/auth_token", json!("new"))])).await;
    let job = runs_until_done(&queue, 3).await.map(provision).remove(0);
    assert_eq!((token(&job), job.options.wake.is_some()), (Some("new"), false));
}

#[tokio::test]
async fn a_cancelled_job_is_not_owed_what_it_asked_for_but_its_token_stays() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    let create = document(&[("/options/wake", json!({})), ("/options/reset_session", json!(true))]);
    put(&queue, &create).await;
    queue.cancel(create.id, &by("test"), "").await.unwrap();
    put(&queue, &edit(&[])).await;
    let job = runs_until_done(&queue, 1).await.map(provision).remove(0);
    assert_eq!((job.options.action, token(&job)), (Action::Provision, Some("agent-token")));
    assert!(job.options.wake.is_none() && !job.options.reset_session);
}

#[tokio::test]
async fn a_document_that_a_record_needs_outlives_its_job() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let create = document(&[]);
    put(&queue, &create).await;
    let none = Keep { age: Duration::from_secs(3600), count: 0 };
    let settings = Settings { keep_ended: none, ..brisk() };
    let runs = Runs::default();
    let _worker = Worker::start(&queue, settings, runs.handler(|_| done()));
    eventually("removed", async || queue.get(create.id).await.unwrap().is_none()).await;
    let is_there = async || {
        let key = queue.keys().documents(&create.lane.to_string());
        redis.tell::<bool>(&format!("HEXISTS {key} {}", create.id)).await
    };
    assert!(is_there().await);

    let newer = edit(&[]);
    put(&queue, &newer).await;
    eventually("a second run", async || runs.map(provision).len() == 2).await;
    assert_eq!(token(&runs.map(provision)[1]), Some("agent-token"));
    eventually("removed", async || queue.get(newer.id).await.unwrap().is_none()).await;
    put(&queue, &document_with_all_parts()).await;
    eventually("not needed any more", async || !is_there().await).await;
}

/// Returns a document after which no older one of the agent or its gateway is needed.
fn document_with_all_parts() -> Envelope {
    document(&[("/auth_token", json!("another"))])
}

#[tokio::test]
async fn a_delayed_document_counts_at_once_and_is_not_lost_when_it_is_replaced() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let generation = |number: u64| ("/agent/generation", json!(number));
    let create = document(&[generation(5), ("/options/wake", json!({}))]).with_delay(HOUR);
    put(&queue, &create).await;
    assert_eq!(put(&queue, &document(&[generation(4)])).await.state, Some(State::Superseded));
    assert_eq!(put(&queue, &edit(&[generation(6)])).await.superseded, [create.id]);
    let job = runs_until_done(&queue, 1).await.map(provision).remove(0);
    assert_eq!((token(&job), job.options.wake.is_some()), (Some("agent-token"), true));
}

#[tokio::test]
async fn what_a_run_has_applied_reaches_the_next_one_until_the_agent_is_removed() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let known = |runs: &Runs| {
        let applied = |claimed: &Claimed| match &claimed.job {
            Job::Provision(job) => job.applied.as_ref().map(|known| known.files["a"].clone()),
            _ => None,
        };
        runs.map(applied).remove(0)
    };
    let run = async |document: Envelope, count: u64, applies: Option<&'static str>| {
        put(&queue, &document).await;
        let runs = Runs::default();
        let end = move |_: &Claimed| {
            let files = |text: &str| [("a".to_owned(), text.to_owned())].into();
            let applied = applies.map(|text| Applied { files: files(text), ..Applied::default() });
            done().with_applied(applied)
        };
        let _worker = Worker::start(&queue, brisk(), runs.handler(end));
        let all = async || queue.counts().await.unwrap().of(State::Done) == count;
        eventually("all done", all).await;
        known(&runs)
    };
    assert_eq!(run(document(&[]), 1, Some("first")).await, None);
    assert_eq!(run(edit(&[]), 2, None).await.as_deref(), Some("first"));
    assert_eq!(run(edit(&[]), 3, Some("second")).await.as_deref(), Some("first"));
    assert_eq!(run(document(&[agent(2)]), 4, None).await, None, "another agent");
    assert_eq!(run(edit(&[]), 5, None).await.as_deref(), Some("second"));
    assert_eq!(run(cleanup(1, 1), 6, None).await, None);
    assert_eq!(run(document(&[]), 7, None).await, None, "a new life");
}

/// Replaces a field of a hash of the queue.
async fn spoil(redis: &RedisServer, queue: &Queue, key: &str, field: &str, value: &[u8]) {
    let key = format!("{{{}}}:{key}", queue.name());
    let mut connection = redis.connect().await;
    redis::cmd("HSET").arg(key).arg(field).arg(value).exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_spoilt_record_stops_no_job() {
    let gateway = Uuid::from_u128(1).to_string();
    let subject = format!("{gateway}/{gateway}");
    for spoilt in [&b"garbage"[..], b"\xc1", b"", b"\x93\x01\x02\x03", b"\x81\xa3seq\xa1x"] {
        let redis = RedisServer::start().await;
        let queue = redis.queue();
        pause(&queue).await;
        put(&queue, &document(&[])).await;
        put(&queue, &document(&[agent(2)]).with_delay(Duration::from_millis(10))).await;
        let heartbeats = format!("heartbeats:{gateway}");
        for (key, field) in [
            ("agents", &subject),
            ("applied", &subject),
            ("connections", &gateway),
            (&heartbeats, &gateway),
        ] {
            spoil(&redis, &queue, key, field, spoilt).await;
        }
        put(&queue, &heartbeat_sync(1, &[(1, "2m")])).await;
        put(&queue, &document(&[agent(3)])).await;
        let runs = runs_until_done(&queue, 4).await;
        assert_eq!(runs.map(|claimed| claimed.run), [1; 4], "{spoilt:?}");
    }
}

#[tokio::test]
async fn a_connection_that_this_worker_cannot_read_does_not_reach_other_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    pause(&queue).await;
    put(&queue, &document(&[agent(1)])).await;
    let newest = document(&[agent(2)]);
    put(&queue, &newest).await;
    let nameless = edit(&[agent(3), ("/gateway", json!({ "id": Uuid::from_u128(1) }))]);
    put(&queue, &nameless).await;
    let strange = String::from_utf8(newest.payload.expose().to_vec()).unwrap();
    let strange = strange.replace("\"gateway\":{", "\"gateway\":{\"colour\":\"red\",");
    spoil(
        &redis,
        &queue,
        &format!("document:{}", newest.lane),
        &newest.id.to_string(),
        strange.as_bytes(),
    )
    .await;
    let runs = runs_until_done(&queue, 1).await;
    assert_eq!(runs.map(|claimed| provision(claimed).agent.id.as_u128()), [1]);
    // A job that has no connection itself waits for one; it has not been carried out.
    let record = reaches(&queue, nameless.id, State::Blocked).await;
    assert_eq!(record.failure.unwrap().code, "connection_unknown");
    assert_eq!(reaches(&queue, newest.id, State::Dead).await.reason.as_deref(), Some("invalid"));
}

#[tokio::test]
async fn a_cleanup_that_was_given_up_does_not_keep_its_agent_from_syncs_for_ever() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let dead = cleanup(1, 1);
    put(&queue, &dead).await;
    let none = Keep { age: HOUR, count: 0 };
    let settings = Settings { keep_dead: none, ..brisk() };
    let worker = Worker::start(&queue, settings, |_| async { permanent() });
    eventually("removed", async || queue.get(dead.id).await.unwrap().is_none()).await;
    drop(worker);
    put(&queue, &heartbeat_sync(1, &[(1, "2m")])).await;
    let synced = runs_until_done(&queue, 1).await.map(|claimed| match &claimed.job {
        Job::HeartbeatSync(sync) => sync.agents.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(synced, [1]);
}

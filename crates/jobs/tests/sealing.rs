//! Secrets are sealed in Redis, and no wrong or missing key loses a job.

use std::collections::HashSet;
use std::sync::Arc;

use mission_core::Job;
use mission_core::model::MAX_DOCUMENT_BYTES;
use mission_jobs::queue::PauseScope;
use mission_jobs::{Envelope, Keep, Keyring, Queue, Settings, State};
use mission_test_support::RedisServer;
use redis::AsyncCommands;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::documents::{provision_main, update_main};
use crate::worker::{HOUR, Worker, brisk, by, done, eventually, look, permanent, put, reaches};

/// Returns the queue with these keys.
fn sealed(redis: &RedisServer, keys: &[&str]) -> Queue {
    redis.queue().with_keys(Arc::new(keys.join(",").parse::<Keyring>().unwrap()))
}

/// Returns a job's document as Redis holds it.
async fn stored(redis: &RedisServer, queue: &Queue, job: &Envelope) -> String {
    let mut connection = redis.connect().await;
    let key = queue.keys().documents(&job.lane.to_string());
    let document: Vec<u8> = connection.hget(key, job.id.to_string()).await.unwrap();
    String::from_utf8(document).unwrap()
}

#[tokio::test]
async fn redis_never_sees_a_secret_and_the_handler_gets_it() {
    let redis = RedisServer::start().await;
    let queue = sealed(&redis, &[&Keyring::generate()]);
    let job = provision_main(1, 1);
    put(&queue, &job).await;
    let document = stored(&redis, &queue, &job).await;
    assert!(!document.contains("secret-") && document.contains("sealed:"), "{document}");
    assert_eq!(queue.document(job.id).await.unwrap().unwrap().expose(), job.payload.expose());
    let shown = look(&queue, job.id).await.document.unwrap();
    assert_eq!((&shown["auth_token"], &shown["gateway"]["token"]), (&"***".into(), &"***".into()));

    let expected = mission_core::Job::parse(job.payload.expose()).unwrap();
    let _worker = Worker::start(&queue, brisk(), move |claimed| {
        assert_eq!(format!("{:?}", claimed.job), format!("{expected:?}"));
        async { done() }
    });
    reaches(&queue, job.id, State::Done).await;
}

#[tokio::test]
async fn a_job_sealed_with_a_missing_key_waits_for_it() {
    let redis = RedisServer::start().await;
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let job = provision_main(1, 1);
    put(&sealed(&redis, &[&old]), &job).await;
    for queue in [redis.queue(), sealed(&redis, &[&new])] {
        let worker = Worker::start(&queue, brisk(), |_| async { done() });
        let record = reaches(&queue, job.id, State::Blocked).await;
        worker.stop();
        worker.ended().await;
        let failure = record.failure.unwrap();
        assert_eq!((failure.code.as_str(), record.attempts), ("unknown_key", 0));
        assert!(failure.remedy.text.contains("MISSION_SECRET_KEY"));
        queue.retry(job.id, false, &by("test"), "").await.unwrap();
    }
    let queue = sealed(&redis, &[&new, &old]);
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, job.id, State::Done).await;
}

#[tokio::test]
async fn a_job_with_a_changed_sealed_secret_is_dead_with_a_reason() {
    let redis = RedisServer::start().await;
    let queue = sealed(&redis, &[&Keyring::generate()]);
    let (job, other) = (provision_main(1, 1), provision_main(2, 2));
    put(&queue, &job).await;
    put(&queue, &other).await;
    // With the document of one job in the place of another's, its tokens would go to the wrong
    // gateway.
    let document = stored(&redis, &queue, &job).await.replace("00000001\"", "00000002\"");
    let key = queue.keys().documents(&other.lane.to_string());
    let _: () = redis.connect().await.hset(key, other.id.to_string(), document).await.unwrap();
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    let record = reaches(&queue, other.id, State::Dead).await;
    assert_eq!(
        (record.failure.unwrap().code.as_str(), record.reason.as_deref()),
        ("sealed_corrupt", Some("invalid"))
    );
    reaches(&queue, job.id, State::Done).await;
}

/// Whoever can write to Redis could otherwise have the tokens of agents sent to an address of their
/// own.
#[tokio::test]
async fn a_sealed_token_is_not_sent_to_a_connection_that_somebody_has_made_up() {
    let redis = RedisServer::start().await;
    let queue = sealed(&redis, &[&Keyring::generate()]);
    let job = provision_main(1, 1);
    queue.pause(&PauseScope::All, &by("test"), "").await.unwrap();
    put(&queue, &job).await;
    let moved = |token: &str| {
        let document = String::from_utf8(provision_main(1, 2).payload.expose().to_vec()).unwrap();
        let document = document.replace("ws://127.0.0.1:1", "ws://other-host");
        Envelope::new(document.replace("secret-gateway", token).as_bytes()).unwrap()
    };
    put(&redis.queue(), &moved("made-up")).await;
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();
    let record = reaches(&queue, job.id, State::Blocked).await;
    assert_eq!(record.failure.unwrap().code, "unsealed_connection");

    // A producer with the key may move the gateway, which frees the job.
    put(&queue, &moved("secret-gateway")).await;
    reaches(&queue, job.id, State::Done).await;
}

/// The same, if that person also removes or changes the records themselves.
#[tokio::test]
async fn changed_records_do_not_lead_a_sealed_token_to_another_address() {
    let elsewhere = |job: &Envelope| {
        let document = String::from_utf8(job.payload.expose().to_vec()).unwrap();
        Envelope::new(document.replace("ws://127.0.0.1:1", "ws://other-host").as_bytes()).unwrap()
    };
    for no_token in [false, true] {
        let redis = RedisServer::start().await;
        let queue = sealed(&redis, &[&Keyring::generate()]);
        queue.pause(&PauseScope::All, &by("test"), "").await.unwrap();
        let job = provision_main(1, 1);
        put(&queue, &job).await;
        let mut connection = redis.connect().await;
        let key = |name: &str| format!("{{{}}}:{name}", queue.name());
        let victim = if no_token {
            // The agent's record names a token that does not exist, so only the job has one.
            put(&redis.queue(), &elsewhere(&provision_main(1, 2))).await;
            let change = "redis.call('HSET', KEYS[1], ARGV[1], \
                cmsgpack.pack({ seq = 1, job = ARGV[2], token = ARGV[2] }))";
            let change = redis::Script::new(change);
            let mut change = change.key(key("agents"));
            change.arg(&job.subject).arg(Uuid::nil().to_string());
            let _: () = change.invoke_async(&mut connection).await.unwrap();
            job.id
        } else {
            // No connection is in force, so the address is that of the newest document.
            let update = elsewhere(&update_main(1, 1));
            put(&redis.queue(), &update).await;
            let _: () = connection.del(key("connections")).await.unwrap();
            update.id
        };
        let _worker = Worker::start(&queue, brisk(), |_| async { done() });
        queue.resume(&PauseScope::All, &by("test"), "").await.unwrap();
        let record = reaches(&queue, victim, State::Blocked).await;
        assert_eq!(record.failure.unwrap().code, "unsealed_connection", "{no_token}");
    }
}

#[tokio::test]
async fn documents_that_only_a_record_needs_can_be_resealed() {
    let redis = RedisServer::start().await;
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let job = provision_main(1, 1);
    let queue = sealed(&redis, &[&old]);
    put(&queue, &job).await;
    let none = Keep { age: HOUR, count: 0 };
    let settings = Settings { keep_ended: none, ..brisk() };
    let worker = Worker::start(&queue, settings, |_| async { done() });
    eventually("removed", async || queue.get(job.id).await.unwrap().is_none()).await;
    drop(worker);
    assert_eq!(queue.record_documents().await.unwrap(), HashSet::from([(job.lane, job.id)]));
    assert!(sealed(&redis, &[&new, &old]).reseal(job.lane, job.id).await.unwrap());
    let update = update_main(1, 1);
    let queue = sealed(&redis, &[&new]);
    put(&queue, &update).await;
    let _worker = Worker::start(&queue, brisk(), |claimed| {
        let Job::ProvisionMain(job) = &claimed.job else { panic!("{claimed:?}") };
        let token = job.auth_token.as_ref().map(|token| token.expose_secret().to_owned());
        async move { if token.as_deref() == Some("secret-agent") { done() } else { permanent() } }
    });
    reaches(&queue, update.id, State::Done).await;
}

#[tokio::test]
async fn waiting_jobs_can_be_resealed() {
    let redis = RedisServer::start().await;
    let (old, new) = (Keyring::generate(), Keyring::generate());
    let (plain, sealed_once) = (provision_main(1, 1), provision_main(2, 2));
    put(&redis.queue(), &plain).await;
    put(&sealed(&redis, &[&old]), &sealed_once).await;
    let both = sealed(&redis, &[&new, &old]);
    for job in [&plain, &sealed_once] {
        assert!(both.reseal(job.lane, job.id).await.unwrap());
        assert!(!both.reseal(job.lane, job.id).await.unwrap(), "once is enough");
    }
    let queue = sealed(&redis, &[&new]);
    assert!(!stored(&redis, &queue, &plain).await.contains("secret-"));
    let _worker = Worker::start(&queue, brisk(), |_| async { done() });
    reaches(&queue, plain.id, State::Done).await;
    reaches(&queue, sealed_once.id, State::Done).await;
    assert!(!queue.reseal(plain.lane, Uuid::now_v7()).await.unwrap(), "there is no such job");
}

#[tokio::test]
async fn the_largest_document_can_be_sealed() {
    let redis = RedisServer::start().await;
    let queue = sealed(&redis, &[&Keyring::generate()]);
    let text = String::from_utf8(provision_main(1, 1).payload.expose().to_vec()).unwrap();
    let padded = format!("{text}{}", " ".repeat(MAX_DOCUMENT_BYTES - text.len()));
    // Sealing removes white space, so a text that stays must have that length as well.
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries = (0..250).map(|key| (format!("key {key}"), "x".repeat(4000).into()));
    document["agent"]["identity_profile"] = serde_json::Value::Object(entries.collect());
    for key in 0.. {
        let room = MAX_DOCUMENT_BYTES - document.to_string().len();
        let Some(length) = room.checked_sub(r#","rest 00":"""#.len()).filter(|length| *length > 0)
        else {
            break;
        };
        document["agent"]["identity_profile"][format!("rest {key:02}")] =
            "x".repeat(length.min(4000)).into();
    }
    for document in [padded, document.to_string()] {
        assert!(document.len() > MAX_DOCUMENT_BYTES - 16);
        let job = Envelope::new(document.as_bytes()).unwrap();
        put(&queue, &job).await;
        let opened = queue.document(job.id).await.unwrap().unwrap();
        assert!(opened.expose().len() <= MAX_DOCUMENT_BYTES);
        let worker = Worker::start(&queue, brisk(), |_| async { done() });
        reaches(&queue, job.id, State::Done).await;
        worker.stop();
        worker.ended().await;
    }
}

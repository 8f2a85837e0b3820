//! The move from earlier layouts of the keys. The files `migration/layout….json` have the keys of a
//! queue that the last version with that layout has written, and what that version showed of it.
//! Packed maps stand there as objects.

mod spoilt;

use std::collections::BTreeSet;
use std::sync::Arc;

use mission_core::Job;
use mission_core::model::Action;
use mission_jobs::envelope::IdempotencyKey;
use mission_jobs::queue::{Filter, Layout, MAX_PAGE, PauseScope, QueueError, test_script};
use mission_jobs::{Queue, State};
use mission_test_support::RedisServer;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::connections::documented_user;
use crate::documents::cleanup;
use crate::worker::{Runs, Worker, by, eventually, look, notified, put, reached, short_lease};

/// The keys that layouts 1 and 2 have left.
const FIXTURES: [&str; 2] =
    [include_str!("migration/layout1.json"), include_str!("migration/layout2.json")];
/// The key that one document of layout 1 is sealed with.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Finds what workers would heal in a queue in which nobody works.
const WOUNDS: &str = "local found = {}
for _, id in ipairs(call('HKEYS', K.job)) do
  local job = read(id)
  local function wrong(what) found[#found + 1] = id .. ' ' .. job.state .. ' ' .. what end
  if not call('ZSCORE', K.state .. job.state, id) then wrong('is not listed') end
  if not call('HEXISTS', K.document .. job.lane, id) then wrong('has no document') end
  local waits = job.state ~= 'scheduled' and not ENDED[job.state]
  if waits and not is_in_line(job) then wrong('is not in its line') end
  if waits and (line_of(job.subject).only == '*') ~= (job.lined or false) then
    wrong('is not marked as its line')
  end
  if job.state == 'ready' and line_ids(job.subject, 0, 0)[1] == id then
    local offers = job.lost and K.suspects or K.lane .. job.lane
    if not call('ZSCORE', offers, offered_as(job)) then wrong('is not offered') end
  end
  if line_of(job.subject).seq < job.seq then wrong('is newer than its line knows') end
end
return found";

/// A fixture as if it had been written that many milliseconds ago.
async fn fixture(redis: &RedisServer, text: &str, ago: u64) -> Value {
    let written = serde_json::from_str::<Value>(text).unwrap()["at_ms"].as_u64().unwrap();
    let (seconds, _): (u64, u64) = redis.tell("TIME").await;
    serde_json::from_str(&shifted(text, written, seconds * 1000 - ago)).unwrap()
}

/// Moves all times of a text, which are numbers of 13 digits.
fn shifted(text: &str, from: u64, to: u64) -> String {
    let mut shifted = String::with_capacity(text.len());
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        match digits.parse::<u64>() {
            Ok(time) if digits.len() == 13 => shifted += &(time + to - from).to_string(),
            _ => shifted += digits,
        }
        shifted += &part[digits.len()..];
    }
    shifted
}

/// Writes the keys of a fixture.
async fn load(redis: &RedisServer, fixture: &Value) {
    let mut connection = redis.connect().await;
    let pack = redis::Script::new("return cmsgpack.pack(cjson.decode(ARGV[1]))");
    for entry in fixture["keys"].as_array().unwrap() {
        let key = format!("{{test}}:{}", entry["key"].as_str().unwrap());
        let (kind, value) = (entry["type"].as_str().unwrap(), &entry["value"]);
        let mut commands = redis::pipe();
        match kind {
            "string" => {
                commands.cmd("SET").arg(&key).arg(value.as_str().unwrap());
            }
            "stream" => {
                for entry in value.as_array().unwrap() {
                    let fields = entry[1].as_array().unwrap().iter().filter_map(Value::as_str);
                    let id = entry[0].as_str().unwrap();
                    commands.cmd("XADD").arg(&key).arg(id).arg(fields.collect::<Vec<_>>());
                }
            }
            _ => {
                for (name, value) in value.as_object().unwrap() {
                    let value: Vec<u8> = if let Some(text) = value.as_str() {
                        text.as_bytes().to_vec()
                    } else {
                        let mut call = pack.prepare_invoke();
                        call.arg(value.to_string());
                        call.invoke_async(&mut connection).await.unwrap()
                    };
                    if kind == "zset" {
                        commands.cmd("ZADD").arg(&key).arg(value).arg(name);
                    } else {
                        commands.cmd("HSET").arg(&key).arg(name).arg(value);
                    }
                }
            }
        }
        if let Some(ttl) = entry["ttl"].as_u64() {
            commands.cmd("PEXPIRE").arg(&key).arg(ttl);
        }
        commands.exec_async(&mut connection).await.unwrap();
    }
}

/// A queue with the keys of a fixture, whose workers ended a minute ago, and the fixture.
async fn old_queue(redis: &RedisServer, text: &str) -> (Queue, Value) {
    let fixture = fixture(redis, text, 60_000).await;
    load(redis, &fixture).await;
    (open(redis), fixture)
}

fn open(redis: &RedisServer) -> Queue {
    redis.queue().with_keys(Arc::new(KEY.parse().unwrap()))
}

/// The id of a job of the fixture.
fn job(fixture: &Value, name: &str) -> Uuid {
    let jobs = fixture["shown"]["jobs"].as_array().unwrap();
    let job = jobs.iter().find(|job| job["name"] == name).unwrap();
    job["record"]["id"].as_str().unwrap().parse().unwrap()
}

/// The values that are not compared: figures of whole minutes, and what differs by version, because
/// layout 1 has fields of its own and lets no job wait to run alone.
const LEFT_OUT: [&str; 3] = ["recent", "inherited", "waiting_since_ms"];

/// Removes these, and what is null or an empty name, which is the same to this version.
fn comparable(value: &Value) -> Value {
    let Some(object) = value.as_object() else { return value.clone() };
    let is_kept = |(name, value): &(&String, &Value)| {
        !value.is_null() && *value != "" && !LEFT_OUT.contains(&name.as_str())
    };
    let kept = object.iter().filter(is_kept);
    kept.map(|(name, value)| (name.clone(), comparable(value))).collect()
}

/// Compares everything that the earlier version showed with what this one shows.
async fn is_whole(redis: &RedisServer, queue: &Queue, fixture: &Value) {
    let shown = &fixture["shown"];
    for job in shown["jobs"].as_array().unwrap() {
        let (name, expected) = (&job["name"], comparable(&job["record"]));
        let id = expected["id"].as_str().unwrap().parse().unwrap();
        let mut record = comparable(&serde_json::to_value(look(queue, id).await).unwrap());
        record.as_object_mut().unwrap().retain(|name, _| expected.get(name).is_some());
        assert_eq!(record, expected, "{name}");
        let document = queue.document(id).await.unwrap().unwrap();
        let [expected, document] =
            [job["document"].as_str().unwrap().as_bytes(), document.expose()]
                .map(|text| serde_json::from_slice::<Value>(text).unwrap());
        assert_eq!(document, expected, "{name}");
    }
    for gateway in shown["gateways"].as_array().unwrap() {
        let Some(id) = gateway["gateway"]["id"].as_str() else { continue };
        let id = id.parse().unwrap();
        let known = serde_json::to_value(queue.gateway(id).await.unwrap()).unwrap();
        let expected = comparable(&gateway["gateway"]);
        let mut known = comparable(&known);
        known.as_object_mut().unwrap().retain(|name, _| expected.get(name).is_some());
        assert_eq!(known, expected);
        if let Some(recorded) = gateway["recorded"].as_str() {
            let recorded = recorded.replace("Some(\"\")", "None");
            assert_eq!(format!("{:?}", queue.recorded(id).await.unwrap()), recorded);
        }
    }
    let counts = queue.counts().await.unwrap();
    assert_eq!(serde_json::to_value(&counts).unwrap(), shown["counts"]);
    for state in State::ALL {
        let page = queue.list(&Filter { limit: MAX_PAGE, ..Filter::new(state) }).await.unwrap();
        assert_eq!(page.jobs.len() as u64, counts.of(state), "{state}");
    }
    assert_eq!(serde_json::to_value(queue.groups(50).await.unwrap()).unwrap(), shown["groups"]);
    assert_eq!(serde_json::to_value(queue.paused().await.unwrap()).unwrap(), shown["paused"]);
    assert_eq!(wounds(redis).await, Vec::<String>::new());

    let keys: Vec<String> = redis.tell("KEYS *").await;
    let heads: BTreeSet<String> = redis.tell("HKEYS {test}:job").await;
    assert_eq!(heads.len() as u64, State::ALL.iter().map(|state| counts.of(*state)).sum::<u64>());
    let several: Vec<_> = keys.iter().filter(|key| key.contains(":subject:")).collect();
    assert_eq!(several.len(), 2, "only lines of several have a set: {several:?}");
    for old in keys.iter().filter(|key| key.contains(":job:") || key.contains(":latest:")) {
        // What is known of agents without jobs and records expires by itself.
        assert!(redis.tell::<i64>(&format!("PTTL {old}")).await > 0, "{old}");
    }
    assert_eq!(redis.tell::<String>("GET {test}:layout").await, "3");
}

async fn wounds(redis: &RedisServer) -> Vec<String> {
    let script = redis::Script::new(&test_script(WOUNDS));
    script.key("{test}").invoke_async(&mut redis.connect().await).await.unwrap()
}

#[tokio::test]
async fn a_queue_of_layout_1_is_moved_whole_and_worked_off() {
    is_moved_and_worked_off(FIXTURES[0]).await;
}

#[tokio::test]
async fn a_queue_of_layout_2_is_moved_whole_and_worked_off() {
    is_moved_and_worked_off(FIXTURES[1]).await;
}

async fn is_moved_and_worked_off(text: &str) {
    let redis = RedisServer::start().await;
    let (queue, fixture) = old_queue(&redis, text).await;
    let error = queue.get(job(&fixture, "done")).await.unwrap_err();
    assert!(error.to_string().contains("`worker migrate`"), "{error}");
    let before = queue.migration().await.unwrap();
    assert_eq!(before.layout, Layout::Earlier);
    assert_eq!(serde_json::to_value(&before.jobs).unwrap(), fixture["shown"]["counts"]);

    let migrated = queue.migrate(|_| ()).await.unwrap();
    assert_eq!(migrated.unreadable, Vec::<String>::new());
    is_whole(&redis, &queue, &fixture).await;
    assert_eq!(queue.migration().await.unwrap().layout, Layout::Present);
    assert_eq!(queue.migrate(|_| ()).await.unwrap().moved, 0, "it is complete");

    let deleted = queue.recorded(Uuid::from_u128(1)).await.unwrap().agents.deleted;
    assert_eq!(deleted, 1, "no sync brings it back");
    let deleting = queue.recorded(Uuid::from_u128(5)).await.unwrap().agents.deleting;
    assert_eq!(deleting, 1, "of the cleanup that is ready");

    // The chain of an agent, the key of a request, the audit and the counters go on.
    let (of, on) = (Uuid::from_u128(17), Uuid::from_u128(5));
    let chain = queue.agent_jobs(on, of, 10).await.unwrap();
    assert_eq!(
        chain.iter().map(|job| job.id).collect::<Vec<_>>(),
        ["its successor", "superseded"].map(|name| job(&fixture, name))
    );
    let key = IdempotencyKey::new("key of 13").unwrap();
    let again = cleanup(5, 90).with_idempotency_key(key);
    assert_eq!(put(&queue, &again).await.id, job(&fixture, "ready with a key"));
    assert!(queue.audit(None, 50).await.unwrap().len() > 5);
    let last: u64 = redis.tell("GET {test}:seq").await;
    put(&queue, &cleanup(5, 90)).await;
    assert_eq!(redis.tell::<u64>("GET {test}:seq").await, last + 1);

    work_off(&queue, &fixture).await;
    assert_eq!(wounds(&redis).await, Vec::<String>::new());
}

/// Lets a worker run all jobs that are left, and compares their order and documents.
async fn work_off(queue: &Queue, fixture: &Value) {
    queue.resume(&PauseScope::Gateway(Uuid::from_u128(7)), &by("Ada"), "upgraded").await.unwrap();
    for state in [State::Scheduled, State::Snoozed, State::Blocked, State::Retrying] {
        for job in queue.list(&Filter::new(state)).await.unwrap().jobs {
            queue.retry(job.id, false, &by("Ada"), "now").await.unwrap();
        }
    }
    let runs = Runs::default();
    let _worker = Worker::start(queue, short_lease(), runs.handler(|_| reached()));
    eventually("all have ended", async || queue.is_idle().await.unwrap()).await;
    let counts = queue.counts().await.unwrap();
    assert_eq!([State::Blocked, State::Dead].map(|state| counts.of(state)), [0, 1]);
    let stopped = look(queue, job(fixture, "running")).await;
    assert_eq!((stopped.state, stopped.runs), (State::Cancelled, 1), "it was asked to stop");
    let taken_back = look(queue, job(fixture, "running before another")).await;
    assert_eq!(taken_back.state, State::Superseded, "its successor does what it did");
    let ids = runs.ids();
    let place = |name| ids.iter().position(|id| *id == job(fixture, name)).unwrap();
    assert!(place("first by priority") < place("ready until it expires"));
    assert!(place("ready until it expires") < place("ready"));
    let shared = runs.map(|claimed| claimed.shared_with.len());
    assert_eq!(shared[place("first sync")], 2, "the syncs share a run");
    let asked = runs.map(|claimed| match &claimed.job {
        Job::Provision(job) => {
            (job.auth_token.is_some(), job.options.reset_session, job.options.action)
        }
        _ => (false, false, Action::Update),
    });
    assert_eq!(asked[place("its successor")], (true, true, Action::Provision), "it inherits");
    let has_records = fixture["shown"]["gateways"][0].get("recorded").is_some();
    let special = if has_records { "needs the token of a job that is gone" } else { "sealed" };
    assert!(asked[place(special)].0, "{special}");
}

#[tokio::test]
async fn a_move_that_is_cut_off_is_continued() {
    let mut redis = RedisServer::start().await;
    for (steps, text) in (1..14).flat_map(|steps| FIXTURES.map(|text| (steps, text))) {
        redis.tell::<()>("FLUSHALL").await;
        let (queue, fixture) = old_queue(&redis, text).await;
        let (reached, mut count) = (Arc::new(Notify::new()), 0);
        let told = reached.clone();
        let progress = move |_| {
            count += 1;
            if count == steps {
                told.notify_one();
            }
        };
        tokio::select! {
            _ = queue.migrate(progress) => {}
            () = notified(&reached) => {}
        }
        if steps == 7 {
            redis.kill();
            redis.restart().await;
        }
        let queue = open(&redis);
        if queue.migration().await.unwrap().layout == Layout::Moving {
            let layout: String = redis.tell("GET {test}:layout").await;
            assert!(layout.contains("`worker migrate`"), "older programs show it: {layout}");
            let error = queue.enqueue(&[cleanup(1, 1)]).await.unwrap_err();
            assert!(matches!(error, QueueError::Layout { .. }), "{error}");
            assert!(error.to_string().contains("run `worker migrate` until"), "{error}");
        }
        queue.migrate(|_| ()).await.unwrap();
        is_whole(&redis, &queue, &fixture).await;
    }
}

#[tokio::test]
async fn older_workers_are_waited_for() {
    let redis = RedisServer::start().await;
    let fixture = fixture(&redis, FIXTURES[1], 0).await;
    load(&redis, &fixture).await;
    let queue = redis.queue();
    for error in [queue.migration().await.unwrap_err(), queue.migrate(|_| ()).await.unwrap_err()] {
        let text = error.to_string();
        assert!(matches!(error, QueueError::OldWorkers { .. }), "{text}");
        for part in ["test-", "leases of running jobs: 2", "stop them all"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert_eq!(redis.tell::<String>("GET {test}:layout").await, "2");
}

#[tokio::test]
async fn a_job_that_cannot_be_read_stays_and_is_named() {
    let redis = RedisServer::start().await;
    let (queue, fixture) = old_queue(&redis, FIXTURES[0]).await;
    let (spoilt, other) = (job(&fixture, "ready"), job(&fixture, "ready cleanup"));
    redis.tell::<()>(&format!("HSET {{test}}:job:{spoilt} job x")).await;
    let migrated = queue.migrate(|_| ()).await.unwrap();
    assert_eq!(migrated.unreadable, [spoilt.to_string()]);
    assert!(redis.tell::<bool>(&format!("EXISTS {{test}}:job:{spoilt}")).await);
    assert_eq!(look(&queue, other).await.state, State::Ready);
    let before = fixture["shown"]["counts"]["ready"].as_u64().unwrap();
    assert_eq!(queue.counts().await.unwrap().of(State::Ready), before - 1);
}

#[tokio::test]
async fn other_layouts_are_left_alone() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    assert_eq!(queue.migration().await.unwrap().layout, Layout::Present, "there are no keys");
    put(&queue, &cleanup(1, 1)).await;
    assert_eq!(queue.migrate(|_| ()).await.unwrap().moved, 0);
    for layout in ["0", "99"] {
        redis.tell::<()>(&format!("SET {{test}}:layout {layout}")).await;
        let error = queue.migrate(|_| ()).await.unwrap_err();
        assert_eq!(error, QueueError::NotMovable { layout: layout.to_owned() });
    }
    let error = queue.counts().await.unwrap_err().to_string();
    assert!(error.contains("upgrade to a version that has layout 99"), "{error}");
    assert_eq!(json!(queue.name()), "test");
}

#[tokio::test]
async fn nothing_is_moved_without_the_keys_of_sealed_documents() {
    let redis = RedisServer::start().await;
    let (_, fixture) = old_queue(&redis, FIXTURES[0]).await;
    let queue = redis.queue();
    for error in [queue.migration().await.unwrap_err(), queue.migrate(|_| ()).await.unwrap_err()] {
        let QueueError::Sealed { id, .. } = &error else { panic!("{error}") };
        assert_eq!(*id, job(&fixture, "sealed"));
    }
    assert_eq!(redis.tell::<String>("GET {test}:layout").await, "1");
}

#[tokio::test]
async fn the_documented_user_may_do_so_also_without_functions() {
    for less in ["", " -fcall"] {
        let redis = RedisServer::start().await;
        old_queue(&redis, FIXTURES[0]).await;
        let user = documented_user().join(" ").replace("{mission}", "{test}");
        redis.tell::<()>(&format!("ACL {user}{less}")).await;
        let url = format!("{}?user=mission&pass=PASSWORD", redis.url());
        let queue = Queue::open(&url, "test").unwrap().with_keys(Arc::new(KEY.parse().unwrap()));
        assert_eq!(queue.migrate(|_| ()).await.unwrap().moved, 31);
    }
}

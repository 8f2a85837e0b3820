//! Jobs are found by their visible fields.

use std::collections::HashSet;

use mission_core::{Failure, Outcome};
use mission_jobs::queue::{Found, MAX_PAGE, Search};
use mission_jobs::{Claimed, Envelope, Queue, RunResult, State};
use mission_test_support::RedisServer;
use uuid::Uuid;

use crate::documents::{cleanup, heartbeat_sync, provision_main, update};
use crate::worker::{HOUR, Runs, Worker, by, done, look, patient, put, put_all, reaches};

async fn find(queue: &Queue, text: &str) -> Found {
    queue.search(&text.parse().unwrap(), None, 50).await.unwrap()
}

async fn ids(queue: &Queue, text: &str) -> Vec<Uuid> {
    find(queue, text).await.jobs.iter().map(|job| job.id).collect()
}

/// Returns all pages of a search.
async fn all(queue: &Queue, search: &Search, limit: usize) -> Vec<Uuid> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..10_000 {
        let page = queue.search(search, after.as_ref(), limit).await.unwrap();
        assert!(page.jobs.len() <= limit && page.looked_at <= 2500, "{}", page.looked_at);
        found.extend(page.jobs.iter().map(|job| job.id));
        let Some(next) = page.next else { return found };
        after = Some(next.to_string().parse().unwrap());
    }
    panic!("the pages do not end");
}

fn agent(claimed: &Claimed) -> u128 {
    claimed.job.agent_id().map_or(0, |id| id.as_u128())
}

/// Fails for agents 1 to 4, each in its own way.
fn fails(claimed: &Claimed) -> RunResult {
    match agent(claimed) {
        1 => Outcome::Blocked(Failure::new("pairing_required", "Device ab12 is not paired")).into(),
        2 => Outcome::Transient(Failure::new("not_kept", "the Quota of the disk is full")).into(),
        3 => Outcome::Permanent(Failure::new("template", "line 3 of \"SOUL\"")).into(),
        4 => {
            Outcome::Busy { retry_after: None, failure: Failure::new("rate_limited", "slow down") }
                .into()
        }
        _ => done(),
    }
}

#[tokio::test]
async fn jobs_are_found_by_each_qualifier_and_by_words() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [cleanup(1, 1), update(1, 2), cleanup(2, 3), provision_main(2, 4), cleanup(2, 5)];
    queue.enqueue(&jobs).await.unwrap();
    let worker = Worker::start(&queue, patient(), Runs::default().handler(fails));
    for (job, state) in
        jobs.iter().zip([State::Blocked, State::Retrying, State::Dead, State::Snoozed, State::Done])
    {
        reaches(&queue, job.id, state).await;
    }
    drop(worker);
    let [blocked, retrying, dead, snoozed, ended] = jobs.map(|job| job.id);
    let later = update(1, 6).with_delay(HOUR);
    put(&queue, &later).await;

    assert_eq!(ids(&queue, "").await, [blocked, dead, retrying, snoozed, later.id, ended]);
    let one = Uuid::from_u128(1);
    let two = Uuid::from_u128(2);
    for (text, expected) in [
        ("state:done,dead".to_owned(), vec![dead, ended]),
        ("kind:provision".to_owned(), vec![retrying, later.id]),
        (format!("gateway:{two}"), vec![dead, snoozed, ended]),
        (format!("gateway:{two} state:snoozed"), vec![snoozed]),
        (format!("agent:{two}"), vec![retrying]),
        (format!("agent:{two} gateway:{two}"), vec![]),
        (format!("board:{one}"), vec![retrying, later.id]),
        (format!("board:{two}"), vec![]),
        ("error:template".to_owned(), vec![dead]),
        ("error:nothing".to_owned(), vec![]),
        (format!("error:not_kept gateway:{one}"), vec![retrying]),
        (format!("error:not_kept gateway:{two}"), vec![]),
        (format!("id:{dead}"), vec![dead]),
        (format!("id:{dead} state:done"), vec![]),
        ("quota DISK".to_owned(), vec![retrying]),
        ("\"disk is full\"".to_owned(), vec![retrying]),
        ("\"Agent 3\"".to_owned(), vec![dead]),
        ("provision-main".to_owned(), vec![snoozed]),
        // Other contents of the document than names are not searched, least of all secrets.
        ("secret".to_owned(), vec![]),
        ("auth_token".to_owned(), vec![]),
        ("workspace_root".to_owned(), vec![]),
    ] {
        let found = ids(&queue, &text).await;
        assert_eq!(found, expected, "{text}");
    }
    let prefix = &dead.to_string()[..13];
    assert!(ids(&queue, &format!("id:{prefix}")).await.contains(&dead));
    let found = find(&queue, "error:template").await.jobs.remove(0);
    assert_eq!((found.names.agent.as_deref(), found.names.board), (Some("Agent 3"), None));
    assert_eq!(found.document, None);
}

#[tokio::test]
async fn a_word_of_another_alphabet_and_one_with_quotes_is_found() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    // One producer escapes everything but ASCII, and one does not.
    let document = |name: &str| {
        let text = format!(
            r#"{{"version": 1, "kind": "cleanup",
                "gateway": {{"id": "{}", "url": "ws://127.0.0.1:1", "workspace_root": "/srv"}},
                "agent": {{"id": "{}", "name": "{name}"}}}}"#,
            Uuid::from_u128(1),
            Uuid::now_v7()
        );
        Envelope::new(text.as_bytes()).unwrap()
    };
    let jobs = [document(r"\u00c4rztin \u0022Bo\u0022"), document("Ärztin"), document("Arzt")];
    queue.enqueue(&jobs).await.unwrap();
    let search = Search { words: vec!["ÄRZTIN".to_owned()], ..Search::default() };
    assert_eq!(all(&queue, &search, 10).await, [jobs[0].id, jobs[1].id]);
    let search = Search { words: vec!["\"bo\"".to_owned()], ..Search::default() };
    assert_eq!(all(&queue, &search, 10).await, [jobs[0].id]);
}

#[tokio::test]
async fn pages_hold_every_job_once_whatever_comes_and_goes_meanwhile() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    // Many jobs arrive at the same moment, on few gateways.
    let jobs: Vec<_> = (0..400).map(|agent| cleanup(agent % 3, agent)).collect();
    put_all(&queue, &jobs).await;
    let search: Search = "state:ready".parse().unwrap();
    let every: HashSet<Uuid> = jobs.iter().map(|job| job.id).collect();
    let found = all(&queue, &search, 7).await;
    assert_eq!(found.len(), 400);
    assert_eq!(found.iter().copied().collect::<HashSet<_>>(), every);

    let page = queue.search(&search, None, 100).await.unwrap();
    let (last, next) = (page.jobs[99].id, page.next.unwrap());
    // The last job seen, one before it and one behind it go; one comes.
    for id in [last, page.jobs[10].id, found[200]] {
        queue.cancel(id, &by("test"), "").await.unwrap();
    }
    let rest = queue.search(&search, Some(&next), MAX_PAGE).await.unwrap();
    let expected: Vec<Uuid> =
        found[100..].iter().copied().filter(|id| *id != found[200]).take(MAX_PAGE).collect();
    assert_eq!(rest.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), expected);

    // Ended jobs come latest first.
    let ended = all(&queue, &"state:cancelled".parse().unwrap(), 1).await;
    assert_eq!(ended.len(), 3);
    let mut times = Vec::new();
    for id in ended {
        times.push(look(&queue, id).await.finished_at_ms);
    }
    assert!(times.is_sorted_by(|later, earlier| later >= earlier), "{times:?}");
}

#[tokio::test]
async fn a_search_that_finds_little_looks_at_a_bounded_number_of_jobs() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..9000).map(|agent| cleanup(agent % 50, agent)).collect();
    put_all(&queue, &jobs).await;
    let found = find(&queue, "\"agent 8999\"").await;
    assert!(found.jobs.is_empty() && found.next.is_some(), "{found:?}");
    assert!((500..=2500).contains(&found.looked_at), "{}", found.looked_at);
    assert_eq!(all(&queue, &"\"agent 8999\"".parse().unwrap(), 50).await, [jobs[8999].id]);
    assert_eq!(
        all(&queue, &format!("id:{}", &jobs[8999].id.to_string()[..35]).parse().unwrap(), 5).await,
        [jobs[8999].id]
    );
}

#[tokio::test]
async fn the_jobs_of_an_agent_lead_to_each_other() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs: Vec<_> = (0..6).map(|_| update(1, 1)).collect();
    for job in &jobs {
        put(&queue, job).await;
        put(&queue, &update(1, 2)).await;
    }
    put(&queue, &heartbeat_sync(1, &[(1, "1m")])).await;
    let newest: Vec<Uuid> = jobs.iter().rev().map(|job| job.id).collect();
    let (gateway, agent) = (Uuid::from_u128(1), Uuid::from_u128(1));
    let of_agent = async |limit| {
        let jobs = queue.agent_jobs(gateway, agent, limit).await.unwrap();
        jobs.iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(of_agent(50).await, newest);
    assert_eq!(of_agent(2).await, newest[..2]);
    for text in [format!("agent:{agent}"), format!("agent:{agent} gateway:{gateway}")] {
        let search: Search = text.parse().unwrap();
        assert_eq!(all(&queue, &search, 2).await, newest);
        let found = find(&queue, &text).await;
        assert_eq!((found.jobs.len(), found.looked_at), (6, 6), "others were looked at");
    }
    let superseded =
        all(&queue, &format!("agent:{agent} state:superseded").parse().unwrap(), 2).await;
    assert_eq!(superseded, newest[1..]);
    assert!(ids(&queue, &format!("agent:{}", Uuid::from_u128(77))).await.is_empty());

    // One job is gone, but the older ones are found all the same.
    redis.tell::<()>(&format!("HDEL {} {}", queue.keys().jobs(), newest[2])).await;
    assert_eq!(of_agent(50).await, newest[..2]);
    let found = all(&queue, &format!("agent:{agent} gateway:{gateway}").parse().unwrap(), 2).await;
    let expected: Vec<Uuid> = newest.iter().copied().filter(|id| *id != newest[2]).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_dead_job_that_is_retried_keeps_its_place_among_the_jobs_of_its_agent() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let first = cleanup(1, 3);
    put(&queue, &first).await;
    let worker = Worker::start(&queue, patient(), Runs::default().handler(fails));
    reaches(&queue, first.id, State::Dead).await;
    drop(worker);
    let second = update(1, 3).with_delay(HOUR);
    put(&queue, &second).await;
    queue.retry(first.id, true, &by("ada"), "").await.unwrap();
    let third = update(1, 3).with_delay(2 * HOUR);
    put(&queue, &third).await;
    let jobs = queue.agent_jobs(Uuid::from_u128(1), Uuid::from_u128(3), 50).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [third.id, second.id, first.id]);
}

#[tokio::test]
async fn jobs_are_found_without_the_entry_of_their_agent() {
    let redis = RedisServer::start().await;
    let queue = redis.queue();
    let jobs = [update(1, 1), cleanup(1, 1)];
    for job in &jobs {
        put(&queue, job).await;
    }
    // The entry of the agent, where the chain begins, is gone.
    let agent = Uuid::from_u128(1);
    redis.tell::<()>("DEL {test}:line").await;
    let found: HashSet<Uuid> =
        all(&queue, &format!("agent:{agent}").parse().unwrap(), 5).await.into_iter().collect();
    assert_eq!(found, jobs.iter().map(|job| job.id).collect());
}

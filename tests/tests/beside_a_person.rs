//! A person edits the config while agents are being provisioned: between the worker's read and its
//! write, between its write and its check, and later. None of the person's edits is lost, and all
//! agents are present.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mission_core::Job;
use mission_core::gateway::Limits;
use mission_gateway_sim::{Gateway, Profile, Setup};
use serde_json::{Map, Value, json};

use crate::in_memory::{Network, play};
use crate::killmatrix::flows::{HOST, provision_on};

/// The number of agents that are provisioned at once.
const AGENTS: usize = 5;

/// A moment of an edit: just after the n-th call of that method, while its answer is on its way.
type Moment = (&'static str, usize);

/// Lists the moments of the edits, one list for each story.
const STORIES: [&[Moment]; 6] = [
    &[("config.get", 1)],
    &[("config.get", 2)],
    &[("config.patch", 1)],
    &[("config.get", 1), ("config.patch", 1), ("config.get", 3)],
    &[("agents.files.set", 1)],
    &[
        ("config.get", 1),
        ("config.get", 2),
        ("config.patch", 1),
        ("agents.files.set", 3),
        ("sessions.patch", 1),
    ],
];

#[test]
fn nothing_that_a_person_writes_meanwhile_is_lost() {
    for profile in crate::killmatrix::flows::PROFILES {
        for story in STORIES {
            play(play_story(profile, story));
        }
    }
}

async fn play_story(profile: Profile, story: &'static [Moment]) {
    let mut setup = Setup::new(profile);
    setup.options.latency_ms = 20;
    let gateway = Arc::new(Gateway::detached(setup));
    let person = tokio::spawn(edit_at(Arc::clone(&gateway), story));
    let worker = Network::of([(HOST.to_owned(), Arc::clone(&gateway))]).worker(Limits::default());
    let runs = join_all((0..AGENTS).map(|agent| {
        let (worker, document) = (&worker, provision_on(HOST, &format!("Agent {agent}")));
        async move {
            worker
                .apply(
                    &format!("job {agent}"),
                    &Job::from_value(document).unwrap(),
                    &Arc::default(),
                )
                .await
                .outcome
        }
    }))
    .await;
    let label = || format!("{profile:?}, edits after {story:?}");
    for outcome in runs {
        assert_eq!(outcome.name(), "done", "{}: {outcome:?}", label());
    }
    let edits = person.await.unwrap();
    assert_eq!(edits, story.len(), "{}: number of edits", label());
    tokio::time::sleep(Duration::from_secs(60)).await;

    let config = &gateway.state()["config"];
    let agents = entries(config);
    assert_eq!(config["ui"]["seamColor"], color(edits), "{}", label());
    for edit in 1..=edits {
        let found = agents.get(&format!("theirs-{edit}"));
        assert_eq!(found, Some(&theirs(edit)), "{}: the person's agent", label());
    }
    for agent in 0..AGENTS {
        let ours = &agents[&format!("agent-{agent}")];
        assert_eq!(ours["name"], format!("Agent {agent}"), "{}", label());
        assert_eq!(ours["heartbeat"]["every"], "10m", "{}", label());
    }
    assert!(agents.contains_key("main"), "{}: the agent that existed before", label());
    let annotated = agents.values().filter(|agent| agent["groupChat"] == note()).count();
    let had_ours = story.iter().any(|(method, _)| !matches!(*method, "config.get"));
    assert!(
        annotated >= usize::from(had_ours),
        "{}: the person's edit of a provisioned agent",
        label()
    );
    // A second run must find nothing to change.
    let before = gateway.mutating_calls().len();
    for agent in 0..AGENTS {
        let job = Job::from_value(provision_on(HOST, &format!("Agent {agent}"))).unwrap();
        assert_eq!(
            worker.apply("again", &job, &Arc::default()).await.outcome.name(),
            "done",
            "{}",
            label()
        );
    }
    assert_eq!(gateway.mutating_calls().len(), before, "{}: nothing is left to write", label());
}

/// Edits the config at each of those moments and returns the number of edits.
async fn edit_at(gateway: Arc<Gateway>, story: &'static [Moment]) -> usize {
    for (at, (method, nth)) in story.iter().enumerate() {
        let called = gateway
            .wait_for(|calls| calls.iter().filter(|call| call.method == *method).count() >= *nth)
            .await;
        assert!(called, "{method} is called {nth} times");
        edit(&gateway, at + 1);
    }
    story.len()
}

/// Edits the config as a person with an editor does, who sees the whole file and changes some of
/// it: a setting, a new agent, and a note in the last agent of the list.
fn edit(gateway: &Gateway, edit: usize) {
    let config = &gateway.state()["config"];
    let mut agents = entries(config);
    if agents.is_empty() {
        agents.insert("main".into(), json!({ "default": true }));
    }
    if let Some((_, entry)) = agents.iter_mut().rfind(|(id, _)| id.starts_with("agent-")) {
        entry["groupChat"] = note();
    }
    agents.insert(format!("theirs-{edit}"), theirs(edit));
    let agents = if is_new(gateway) {
        agents["main"].as_object_mut().unwrap().remove("default");
        json!({
            "ownership": "explicit", "defaults": { "systemAgent": { "agentId": "main" } },
            "entries": agents
        })
    } else {
        let with_id = |(id, mut entry): (String, Value)| {
            entry["id"] = id.into();
            entry
        };
        json!({ "list": agents.into_iter().map(with_id).collect::<Vec<_>>() })
    };
    gateway.edit_config(&json!({ "ui": { "seamColor": color(edit) }, "agents": agents }));
}

fn is_new(gateway: &Gateway) -> bool {
    gateway.profile() == Profile::V2026_9_6
}

/// Returns the agents by id, for either shape of the config.
fn entries(config: &Value) -> Map<String, Value> {
    let list = config["agents"]["list"].as_array().into_iter().flatten().map(|entry| {
        let mut entry = entry.clone();
        let id = entry.as_object_mut().unwrap().remove("id").unwrap();
        (id.as_str().unwrap().to_owned(), entry)
    });
    config["agents"]["entries"].as_object().cloned().unwrap_or_else(|| list.collect())
}

fn theirs(edit: usize) -> Value {
    json!({
        "name": format!("Theirs {edit}"), "workspace": "/home/grace/agent",
        "params": { "edit": edit }
    })
}

fn color(edit: usize) -> String {
    format!("#{edit:06}")
}

fn note() -> Value {
    json!({ "mentionPatterns": ["@here"] })
}

//! Agents that were changed since the worker wrote them: what the worker repairs, and what it
//! leaves to a person.

use std::sync::Arc;

use mission_core::Job;
use mission_core::apply::Run;
use mission_core::gateway::Limits;
use mission_gateway_sim::{Action, Canned, Fault, Gateway, Profile, Setup};
use serde_json::{Value, json};

use crate::in_memory::{Network, play};
use crate::killmatrix::flows::{HOST, document, provision};

async fn apply(gateway: &Arc<Gateway>, document: Value) -> Run {
    let worker = Network::of([(HOST.to_owned(), Arc::clone(gateway))]).worker(Limits::default());
    worker.apply("job", &Job::from_value(document).unwrap(), &Arc::default()).await
}

#[test]
fn an_agent_that_a_person_restores_after_its_cleanup_keeps_their_settings() {
    play(async {
        let gateway = Arc::new(Gateway::detached(Setup::new(Profile::V2026_9_6)));
        for job in [provision("Ada", "10m"), document("cleanup", "Ada", "10m")] {
            assert_eq!(apply(&gateway, job).await.outcome.name(), "done");
        }
        let theirs = json!({
            "workspace": "/srv/openclaw/workspace-ada-1",
            "groupChat": { "mentionPatterns": ["@ada"] }
        });
        gateway.edit_config(&json!({ "agents": { "entries": { "ada-1": theirs } } }));
        let run = apply(&gateway, provision("Ada", "10m")).await;
        assert_eq!(run.outcome.name(), "done", "{:?}", run.outcome);
        let state = gateway.state();
        let entry = &state["config"]["agents"]["entries"]["ada-1"];
        assert_eq!(
            (&entry["groupChat"], &entry["name"]),
            (&theirs["groupChat"], &json!("Ada")),
            "{entry}"
        );
        assert_eq!(state["sessions"]["agent:ada-1:main"]["label"], "Ada");
    });
}

/// Returns a gateway that refuses an agent's document as unsafe in these methods, at most `times`
/// times.
fn with_link(profile: Profile, methods: &[&str], times: Option<u32>) -> Arc<Gateway> {
    let mut setup = Setup::new(profile);
    setup.canned = methods.iter().map(|method| link(method, times)).collect();
    Arc::new(Gateway::detached(setup))
}

fn link(method: &str, times: Option<u32>) -> Canned {
    let error =
        json!({ "code": "INVALID_REQUEST", "message": "unsafe workspace file \"SOUL.md\"" });
    let matches = json!({ "agentId": "ada-1", "name": "SOUL.md" });
    serde_json::from_value(
        json!({ "method": method, "match": matches, "error": error, "times": times }),
    )
    .unwrap()
}

#[test]
fn a_document_that_is_a_link_waits_for_a_person() {
    // A gateway reads a dangling link as a missing file.
    for methods in [&["agents.files.get", "agents.files.set"][..], &["agents.files.set"]] {
        for profile in [Profile::V2026_3_13, Profile::V2026_6_11] {
            play(async move {
                let gateway = with_link(profile, methods, None);
                let run = apply(&gateway, provision("Ada", "10m")).await;
                assert_eq!(
                    run.outcome.name(),
                    "blocked",
                    "{profile:?} {methods:?}: {:?}",
                    run.outcome
                );
                let failure = run.outcome.failure().unwrap();
                assert_eq!(failure.code, "unsafe_file", "{failure:?}");
                assert!(
                    failure.remedy.text.contains("/srv/openclaw/workspace-ada-1/SOUL.md"),
                    "{failure:?}"
                );
            });
        }
    }
}

#[test]
fn a_document_that_changes_during_a_read_is_read_again() {
    for profile in [Profile::V2026_3_13, Profile::V2026_6_11] {
        play(async move {
            let gateway = with_link(profile, &["agents.files.get", "agents.files.set"], Some(2));
            let run = apply(&gateway, provision("Ada", "10m")).await;
            assert_eq!(run.outcome.name(), "done", "{profile:?}: {:?}", run.outcome);
            assert!(gateway.state()["files"]["ada-1"].get("SOUL.md").is_some(), "{profile:?}");
        });
    }
}

#[test]
fn a_reset_that_is_acknowledged_but_not_made_is_never_reported_as_done() {
    for profile in crate::killmatrix::flows::PROFILES {
        play(async move {
            let gateway = Arc::new(Gateway::detached(Setup::new(profile)));
            let mut reset = provision("Ada", "10m");
            reset["options"] = json!({ "reset_session": true });
            gateway.inject(Fault::on("sessions.reset", Action::LoseWrite).times(100));
            let run = apply(&gateway, reset.clone()).await;
            assert_eq!(
                run.outcome.failure().map(|failure| failure.code.as_str()),
                Some("not_kept"),
                "{profile:?}"
            );
            gateway.clear_faults();
            assert_eq!(apply(&gateway, reset).await.outcome.name(), "done", "{profile:?}");
            assert_eq!(gateway.state()["sessions"]["agent:ada-1:main"]["resets"], 1, "{profile:?}");
        });
    }
}

#[test]
fn an_agent_that_the_gateway_has_not_loaded_is_not_created() {
    for profile in [Profile::V2026_6_11, Profile::V2026_9_6] {
        play(async move {
            let gateway = Arc::new(Gateway::detached(Setup::new(profile)));
            assert_eq!(apply(&gateway, provision("Ada", "10m")).await.outcome.name(), "done");
            let mut mine = gateway.state();
            mine["files"]["ada-1"]["MEMORY.md"] = json!("mine");
            // The same gateway after a restart with an older config: it does not know the agent
            // that is in its file.
            let after = |canned: Value| {
                let mut setup = Setup::new(profile);
                setup.files = serde_json::from_value(mine["files"].clone()).unwrap();
                setup.config = json!({
                    "agents": mine["config"]["agents"], "channels": mine["config"]["channels"]
                });
                setup.canned = serde_json::from_value(canned).unwrap();
                Arc::new(Gateway::detached(setup))
            };
            let unknown =
                json!({ "code": "INVALID_REQUEST", "message": "agent \"ada-1\" not found" });
            let canned =
                ["agents.files.get", "agents.files.list", "agents.files.set"].map(|method| {
                    json!({
                        "method": method, "match": { "agentId": "ada-1" }, "error": unknown
                    })
                });
            let forgetful = after(json!(canned));
            let run = apply(&forgetful, provision("Ada", "10m")).await;
            let failure = run.outcome.failure().expect("the run is blocked");
            assert_eq!(
                (run.outcome.name(), failure.code.as_str()),
                ("blocked", "gateway_restart_needed"),
                "{failure:?}"
            );
            // To create the agent would write the older config over the current one.
            let called: Vec<_> =
                forgetful.mutating_calls().iter().map(|call| call.method.clone()).collect();
            assert_eq!(called, Vec::<String>::new(), "{profile:?}");

            let restarted = after(json!([]));
            assert_eq!(apply(&restarted, provision("Ada", "10m")).await.outcome.name(), "done");
            assert_eq!(restarted.state()["files"]["ada-1"]["MEMORY.md"], "mine", "{profile:?}");
        });
    }
}

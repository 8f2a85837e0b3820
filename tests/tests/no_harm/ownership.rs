//! Agents, sessions and folders of others are left alone.

use std::sync::Arc;

use mission_core::Job;
use mission_core::gateway::Limits;
use mission_gateway_sim::Profile;
use serde_json::{Value, json};

use super::{SHAPES, apply, blocked, config, done, entry, gateway};
use crate::in_memory::{Network, play};
use crate::killmatrix::flows::{HOST, PROFILES, document, provision};

#[test]
fn a_folder_that_another_agent_uses_is_not_given_to_a_new_agent() {
    for profile in SHAPES {
        play(async move {
            let zed = json!({ "name": "Zed", "workspace": "/srv/openclaw/workspace-ada-1/" });
            let gateway = gateway(profile, |setup| {
                setup.config = config(profile, &json!({ "main": {}, "zed": zed }));
            });
            let before = gateway.state();
            let failure =
                blocked(&apply(&gateway, provision("Ada", "10m")).await, "workspace_taken");
            assert!(failure.message.contains("zed"), "{failure:?}");
            assert_eq!(gateway.state(), before, "{profile:?}");
            let mut shared = provision("Ada", "10m");
            shared["options"] = json!({ "adopt": true });
            done(&gateway, shared).await;
        });
    }
}

#[test]
fn an_agent_of_the_owner_is_left_alone_until_it_is_taken_over_explicitly() {
    for profile in SHAPES {
        play(async move {
            let ops = json!({
                "name": "Operations", "workspace": "/srv/ops", "heartbeat": { "every": "45m" }
            });
            let agents = json!({ "main": { "workspace": "/srv/owner" }, "ada-1": ops });
            let gateway = gateway(profile, |setup| setup.config = config(profile, &agents));
            let before = gateway.state();
            blocked(&apply(&gateway, provision("Ada", "10m")).await, "agent_not_ours");
            blocked(&apply(&gateway, document("cleanup", "Ada", "10m")).await, "agent_not_ours");
            let mut sync = document("heartbeat-sync", "Ada", "5m");
            let agent = sync.as_object_mut().unwrap().remove("agent").unwrap();
            sync["agents"] = json!([agent]);
            blocked(&apply(&gateway, sync).await, "agent_not_ours");
            assert_eq!(gateway.state(), before, "{profile:?}");

            let mut adopted = provision("Ada", "10m");
            adopted["options"] = json!({ "adopt": true });
            // The agent would leave its memory, which is in another folder.
            blocked(&apply(&gateway, adopted.clone()).await, "workspace_moves");
            assert_eq!(gateway.state(), before, "{profile:?}");
            adopted["options"]["move_workspace"] = json!(true);
            done(&gateway, adopted).await;
            let workspace = entry(&gateway, "ada-1").unwrap()["workspace"].clone();
            assert_eq!(workspace, "/srv/openclaw/workspace-ada-1", "{profile:?}");
        });
    }
}

#[test]
fn the_default_agent_is_not_adopted_by_its_name() {
    for profile in SHAPES {
        play(async move {
            for config in
                [json!({}), config(profile, &json!({ "main": { "workspace": "/srv/owner" } }))]
            {
                let gateway = gateway(profile, |setup| setup.config = config);
                let main = entry(&gateway, "main");
                let mut job = provision("Main", "10m");
                job["agent"]["openclaw_session_id"] = Value::Null;
                let mut cleanup = job.clone();
                done(&gateway, job.clone()).await;
                cleanup["kind"] = json!("cleanup");
                for key in ["board", "auth_token"] {
                    cleanup.as_object_mut().unwrap().remove(key);
                }
                done(&gateway, cleanup.clone()).await;
                // A job that names the default agent explicitly is refused.
                for mut job in [job, cleanup] {
                    job["agent"]["openclaw_session_id"] = json!("agent:main:main");
                    let outcome = apply(&gateway, job).await;
                    let code =
                        outcome.failure().map(|failure| failure.code.clone()).unwrap_or_default();
                    // An agent that is not in the config cannot be deleted from it either.
                    let expected = ["agent_not_ours", "agent_is_default"];
                    assert!(expected.contains(&code.as_str()), "{profile:?}: {outcome:?}");
                }
                if let Some(main) = main {
                    assert_eq!(
                        entry(&gateway, "main").unwrap()["workspace"],
                        main["workspace"],
                        "{profile:?}"
                    );
                }
            }
        });
    }
}

#[test]
fn two_agents_of_one_name_do_not_take_each_other_over() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |_| {});
            let one = provision("Ada", "10m");
            let mut two = one.clone();
            two["agent"]["id"] = json!("0b9f7f0e-6d5c-4a55-8c5e-0000000000a2");
            let (first, second) = {
                let worker = Network::of([(HOST.to_owned(), Arc::clone(&gateway))])
                    .worker(Limits::default());
                let (one, two) =
                    (Job::from_value(one).unwrap(), Job::from_value(two.clone()).unwrap());
                let (journal, other) = (Arc::default(), Arc::default());
                tokio::join!(worker.apply("1", &one, &journal), worker.apply("2", &two, &other))
            };
            let names = [first.outcome.name(), second.outcome.name()];
            assert!(
                names == ["done", "blocked"] || names == ["blocked", "done"],
                "{profile:?}: {names:?}"
            );
            let (loser, id) = if names[0] == "done" { (&second, "one") } else { (&first, "two") };
            blocked(&loser.outcome, "agent_id_taken");
            if id == "one" {
                blocked(&apply(&gateway, two.clone()).await, "agent_id_taken");
                two["kind"] = json!("cleanup");
                for key in ["board", "auth_token"] {
                    two.as_object_mut().unwrap().remove(key);
                }
                blocked(&apply(&gateway, two).await, "agent_id_taken");
            }
            assert!(entry(&gateway, "ada-1").is_some(), "{profile:?}");
        });
    }
}

#[test]
fn a_session_of_another_agent_is_left_alone() {
    for profile in SHAPES {
        play(async move {
            let agents = json!({
                "main": { "workspace": "/srv/owner" }, "ops": { "workspace": "/srv/ops" }
            });
            let gateway = gateway(profile, |setup| setup.config = config(profile, &agents));
            for key in ["agent:main:main", "agent:ops:main", "main"] {
                let mut job = provision("Greta", "10m");
                job["kind"] = json!("provision-main");
                job.as_object_mut().unwrap().remove("board");
                job["agent"]["openclaw_session_id"] = Value::Null;
                job["session_key"] = json!(key);
                job["options"] = json!({ "reset_session": true });
                blocked(&apply(&gateway, job).await, "agent_not_ours");
            }
            let effects = gateway.effects();
            assert!(
                effects.resets.is_empty() && effects.writes.is_empty(),
                "{profile:?}: {effects:?}"
            );
        });
    }
}

#[test]
fn an_agent_is_not_moved_away_from_its_memory() {
    for profile in PROFILES {
        play(async move {
            let gateway = gateway(profile, |_| {});
            done(&gateway, provision("Ada", "10m")).await;
            let mut moved = provision("Ada", "10m");
            moved["gateway"]["workspace_root"] = json!("/srv/elsewhere");
            let failure = blocked(&apply(&gateway, moved.clone()).await, "workspace_moves");
            assert!(failure.message.contains("/srv/elsewhere/workspace-ada-1"), "{failure:?}");
            assert_eq!(gateway.config_writes(), 1, "{profile:?}");
            moved["options"] = json!({ "move_workspace": true });
            done(&gateway, moved).await;
            assert_eq!(
                entry(&gateway, "ada-1").unwrap()["workspace"],
                "/srv/elsewhere/workspace-ada-1"
            );
        });
    }
}

#[test]
fn folders_that_others_use_are_kept() {
    let ours = "/srv/openclaw/workspace-ada-1";
    for (other, usual) in [
        (ours, "/srv/owner"),
        ("/srv/openclaw/workspace-ada-1/", "/srv/owner"),
        ("/srv/openclaw/workspace-ada-1/personal", "/srv/owner"),
        ("/srv/other", ours),
        ("/srv/other", "/srv/openclaw"),
    ] {
        for profile in [Profile::V2026_2_9, Profile::V2026_9_6] {
            play(async move {
                let agents = json!({
                    "main": {}, "ada-1": { "workspace": ours }, "bo": { "workspace": other }
                });
                let mut config = config(profile, &agents);
                config["agents"]["defaults"]["workspace"] = json!(usual);
                let gateway = gateway(profile, |setup| setup.config = config);
                let report = done(&gateway, document("cleanup", "Ada", "10m")).await;
                assert_eq!(
                    gateway.effects().trashed,
                    Vec::<String>::new(),
                    "{profile:?} {other} {usual}"
                );
                assert!(
                    report.skipped.iter().any(|skipped| skipped.what == "files of ada-1"),
                    "{report:?}"
                );
                assert_eq!(entry(&gateway, "ada-1"), None);
            });
        }
    }
}

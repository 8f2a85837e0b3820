//! The worker writes little, checks what it wrote, and reports what a gateway does not keep.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mission_core::gateway::Limits;
use mission_core::{Job, Outcome, Report};
use mission_gateway_sim::{Action, Fault, Gateway, Profile};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{SHAPES, apply, attempt, blocked, done, entry, gateway};
use crate::in_memory::{Network, play};
use crate::killmatrix::flows::{HOST, PROFILES, document, provision};

#[test]
fn a_root_in_the_home_folder_takes_one_write() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |_| {});
            let mut job = provision("Ada", "10m");
            job["gateway"]["workspace_root"] = json!("~/.openclaw");
            done(&gateway, job.clone()).await;
            assert_eq!(gateway.config_writes(), 1, "{profile:?}");
            assert_eq!(done(&gateway, job).await.written, Vec::<String>::new(), "{profile:?}");
        });
    }
}

#[test]
fn a_token_that_an_older_version_kept_elsewhere_is_reported() {
    play(async {
        for (profile, is_reported) in [(Profile::V2026_9_6, true), (Profile::V2026_3_13, false)] {
            let gateway = gateway(profile, |_| {});
            let mut job = provision("Ada", "10m");
            let old = |report: &Report| {
                report.skipped.iter().any(|skipped| {
                    skipped.what.ends_with("TOOLS.md") && skipped.what.starts_with("an old ")
                })
            };
            assert!(
                !old(&done(&gateway, job.clone()).await),
                "{profile:?}: there is no older token"
            );
            job["auth_token"] = json!("the-token-after-a-rotation");
            assert_eq!(old(&done(&gateway, job.clone()).await), is_reported, "{profile:?}");
            assert!(!old(&done(&gateway, job).await), "{profile:?}: it is reported once");
        }
    });
}

#[test]
fn a_text_that_looks_like_a_variable_stays_a_text() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |setup| {
                setup.env = Some([("HOME".to_owned(), "/home/node".to_owned())].into());
            });
            let prompt = "cd ${HOME} && use ${NOT_SET}, $${HOME}, ${lower} and $5";
            let mut job = provision("Ada", "10m");
            job["agent"]["heartbeat_config"]["prompt"] = json!(prompt);
            done(&gateway, job.clone()).await;
            done(&gateway, provision("Bo", "10m")).await;
            done(&gateway, document("cleanup", "Bo", "10m")).await;
            gateway.restart(Duration::from_secs(1));
            assert_eq!(done(&gateway, job).await.written, Vec::<String>::new(), "{profile:?}");
            assert_eq!(gateway.dead(), None, "{profile:?}");
        });
    }
}

#[test]
fn texts_of_agents_after_a_deleted_one_are_not_rewritten() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |setup| {
                setup.env = Some([("KEY".to_owned(), "secret".to_owned())].into());
            });
            done(&gateway, provision("Bo", "10m")).await;
            let mut job = provision("Ada", "10m");
            job["agent"]["heartbeat_config"]["prompt"] = json!("use ${KEY} and ${NOT_SET}");
            done(&gateway, job.clone()).await;
            let mut own = json!({ "name": "Ops ${KEY}", "workspace": "/srv/ops" });
            if profile != Profile::V2026_9_6 {
                own["id"] = json!("ops");
            }
            if profile != Profile::V2026_2_9 {
                let mut agents = gateway.state()["config"]["agents"].clone();
                match agents["list"].as_array_mut() {
                    Some(list) => list.push(own),
                    None => agents["entries"]["ops"] = own,
                }
                gateway.edit_config(&json!({ "agents": agents }));
                sleep(Duration::from_secs(5)).await;
            }
            let written = |gateway: &Gateway| gateway.state()["config"]["agents"].to_string();
            let before = written(&gateway);
            done(&gateway, document("cleanup", "Bo", "10m")).await;
            let after = written(&gateway);
            assert!(after.contains("use $${KEY} and $${NOT_SET}"), "{profile:?}: {after}");
            assert_eq!(after.contains("Ops ${KEY}"), before.contains("Ops ${KEY}"), "{profile:?}");
            assert!(!after.contains("secret"), "{profile:?}: {after}");
        });
    }
}

#[test]
fn a_deletion_in_two_attempts_escapes_the_texts_of_others_once() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |setup| {
                setup.env = Some([("KEY".to_owned(), "secret".to_owned())].into());
            });
            done(&gateway, provision("Bo", "10m")).await;
            let mut job = provision("Ada", "10m");
            job["agent"]["heartbeat_config"]["prompt"] =
                json!("use ${KEY}, $${KEY} and ${NOT_SET}");
            done(&gateway, job.clone()).await;
            gateway.inject(Fault::on("agents.delete", Action::Starting(100)));
            done(&gateway, document("cleanup", "Bo", "10m")).await;
            let after = gateway.state()["config"]["agents"].to_string();
            let prompt = "use $${KEY}, $$${KEY} and $${NOT_SET}";
            assert!(after.contains(prompt), "{profile:?}: {after}");
        });
    }
}

#[test]
fn a_write_that_is_kept_and_answered_with_an_error_is_reported() {
    play(async {
        let gateway = gateway(Profile::V2026_9_6, |_| {});
        gateway.inject(Fault::on("config.patch", Action::Persisted));
        let report = done(&gateway, provision("Ada", "10m")).await;
        let written = report.written.iter().filter(|what| what.starts_with("config ")).count();
        assert!(written > 0, "{report:?}");
        assert_eq!(
            gateway.effects().writes.iter().filter(|write| write.by == "config.patch").count(),
            1
        );
    });
}

#[test]
fn a_gateway_that_loses_writes_is_written_to_twice() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |_| {});
            gateway.inject(Fault::on("config.patch", Action::LoseWrite).times(1000));
            let journal = Arc::default();
            for _ in 0..6 {
                let outcome = attempt(&gateway, provision("Ada", "10m"), &journal).await.outcome;
                let failure = blocked(&outcome, "not_kept");
                assert!(
                    failure.message.contains("heartbeat.every"),
                    "the error names the field: {failure:?}"
                );
            }
            let patches =
                gateway.calls().iter().filter(|call| call.method == "config.patch").count();
            assert_eq!(patches, 2, "{profile:?}");
        });
    }
}

#[test]
fn sections_that_restart_old_versions_are_not_written_and_cleanups_are_honest() {
    play(async {
        let gateway = gateway(Profile::V2026_5_7, |_| {});
        let names: Vec<String> = (0..20).map(|n| format!("Agent{n}")).collect();
        for name in &names {
            done(&gateway, provision(name, "10m")).await;
        }
        assert_eq!(gateway.effects().restarts, Vec::<String>::new());
        for name in &names {
            let outcome = apply(&gateway, document("cleanup", name, "10m")).await;
            let is_gone = entry(&gateway, &format!("{}-1", name.to_lowercase())).is_none();
            assert!(is_gone || outcome.name() != "done", "{name}: {outcome:?}");
        }
    });
    // A gateway whose effective config is older than its file must not delete or create anything.
    play(async {
        let gateway = gateway(Profile::V2026_5_7, |setup| setup.options.skips_channels = true);
        gateway.edit_config(
            &json!({ "channels": { "defaults": { "heartbeat": { "showOk": true } } } }),
        );
        for name in ["Ada", "Bo"] {
            let _ = apply(&gateway, provision(name, "10m")).await;
        }
        let before = gateway.effects();
        for _ in 0..3 {
            let outcome = apply(&gateway, document("cleanup", "Ada", "10m")).await;
            assert!(entry(&gateway, "ada-1").is_none() || outcome.name() != "done", "{outcome:?}");
        }
        assert!(
            gateway.effects().deletes.len() <= before.deletes.len() + 1,
            "{:?}",
            gateway.effects()
        );
    });
}

#[test]
fn an_agent_that_is_recreated_where_sessions_are_lost_waits_for_a_restart() {
    play(async {
        let gateway = gateway(Profile::V2026_8_2, |_| {});
        let binding = json!({ "agentId": "main", "match": { "channel": "telegram" } });
        gateway.edit_config(&json!({ "bindings": [binding] }));
        done(&gateway, provision("Ada", "10m")).await;
        done(&gateway, document("cleanup", "Ada", "10m")).await;
        let journal = Arc::default();
        for _ in 0..3 {
            let outcome = attempt(&gateway, provision("Ada", "10m"), &journal).await.outcome;
            blocked(&outcome, "gateway_restart_needed");
        }
        let created = gateway.effects().creates.len();
        assert!(created <= 2, "at most once for each job: {:?}", gateway.effects().creates);
        gateway.restart(Duration::from_secs(1));
        assert_eq!(gateway.dead(), None, "the gateway can be started again");
        done(&gateway, provision("Ada", "10m")).await;
        assert_eq!(gateway.state()["config"]["bindings"], json!([binding]));
    });
}

#[test]
fn one_agent_at_fault_does_not_block_the_others() {
    for profile in [Profile::V2026_6_11, Profile::V2026_9_6] {
        play(async move {
            let refused = json!({ "code": "UNAVAILABLE", "message": "Error: something is wrong" });
            let gateway = gateway(profile, |setup| {
                setup.refused_agents =
                    [("a7-1".to_owned(), serde_json::from_value(refused).unwrap())].into();
            });
            let agents: Vec<Value> = (0..12)
                .map(|n| document("cleanup", &format!("A{n}"), "20m")["agent"].clone())
                .collect();
            let mut sync = document("heartbeat-sync", "A0", "20m");
            sync.as_object_mut().unwrap().remove("agent");
            sync["agents"] = json!(agents);
            let journal = Arc::default();
            let mut outcome = attempt(&gateway, sync.clone(), &journal).await.outcome;
            // Gateways allow three writes a minute, and the worker remembers the agent at fault.
            for _ in 0..20 {
                let Outcome::Busy { retry_after, .. } = &outcome else { break };
                sleep(retry_after.unwrap_or_default()).await;
                outcome = attempt(&gateway, sync.clone(), &journal).await.outcome;
            }
            assert!(
                outcome
                    .failure()
                    .is_some_and(|failure| failure.message.contains("something is wrong")),
                "{outcome:?}"
            );
            let written = (0..12).filter(|n| entry(&gateway, &format!("a{n}-1")).is_some()).count();
            assert_eq!(written, 11, "{profile:?}");
        });
    }
}

#[test]
fn a_label_or_a_key_that_is_not_kept_is_reported() {
    for profile in PROFILES {
        play(async move {
            let gateway = gateway(profile, |setup| {
                setup.options.keeps_labels = false;
                setup.options.dropped_heartbeat_keys = vec!["target".to_owned()];
            });
            let report = done(&gateway, provision("Ada", "10m")).await;
            let skipped: Vec<_> =
                report.skipped.iter().map(|skipped| skipped.what.as_str()).collect();
            assert!(skipped.contains(&"session label"), "{profile:?}: {skipped:?}");
            assert!(skipped.contains(&"config heartbeat.target"), "{profile:?}: {skipped:?}");
        });
    }
}

#[test]
fn a_session_without_visible_state_is_reset_once() {
    for profile in PROFILES {
        play(async move {
            let gateway = gateway(profile, |setup| setup.options.shows_session_ids = false);
            let mut job = provision("Ada", "10m");
            job["options"] = json!({ "reset_session": true });
            let journal = Arc::default();
            for _ in 0..3 {
                let outcome = attempt(&gateway, job.clone(), &journal).await.outcome;
                let Outcome::Done(report) = outcome else { panic!("{profile:?}: {outcome:?}") };
                assert!(
                    report
                        .skipped
                        .iter()
                        .any(|skipped| skipped.what.starts_with("proof of the reset"))
                );
            }
            assert_eq!(gateway.effects().resets.len(), 1, "{profile:?}");
        });
    }
}

#[test]
fn null_removes_a_key_in_both_shapes() {
    for profile in SHAPES {
        play(async move {
            let gateway = gateway(profile, |_| {});
            let mut job = provision("Ada", "10m");
            job["agent"]["heartbeat_config"]["model"] = json!("x/y");
            done(&gateway, job.clone()).await;
            assert_eq!(
                entry(&gateway, "ada-1").unwrap()["heartbeat"]["model"],
                "x/y",
                "{profile:?}"
            );
            job["agent"]["heartbeat_config"]["model"] = Value::Null;
            done(&gateway, job).await;
            assert_eq!(
                entry(&gateway, "ada-1").unwrap()["heartbeat"].get("model"),
                None,
                "{profile:?}"
            );
        });
    }
}

#[test]
fn queued_cleanups_read_the_config_once_each() {
    play(async {
        for profile in [Profile::V2026_5_20, Profile::V2026_9_6] {
            let gateway = gateway(profile, |setup| setup.options.latency_ms = 20);
            let names: Vec<String> = (0..20).map(|n| format!("Agent{n}")).collect();
            for name in &names {
                done(&gateway, provision(name, "10m")).await;
            }
            let worker =
                Network::of([(HOST.to_owned(), Arc::clone(&gateway))]).worker(Limits::default());
            let before = gateway.calls().len();
            let runs = join_all(names.iter().map(async |name| {
                let job = Job::from_value(document("cleanup", name, "10m")).unwrap();
                worker.apply("job", &job, &Arc::default()).await.outcome
            }))
            .await;
            assert!(runs.iter().all(|outcome| outcome.name() == "done"), "{runs:?}");
            let read =
                gateway.calls()[before..].iter().filter(|call| call.method == "config.get").count();
            // One read before the first deletion, and one after each.
            assert!(read <= 21, "{profile:?}: {read} reads");
            assert!(names.iter().all(|name| entry(&gateway, &name.to_lowercase()).is_none()));
        }
    });
}

#[test]
fn many_cleanups_request_the_status_once() {
    play(async {
        let gateway = gateway(Profile::V2026_5_20, |_| {});
        let names: Vec<String> = (0..20).map(|n| format!("Agent{n}")).collect();
        for name in &names {
            done(&gateway, provision(name, "10m")).await;
        }
        let worker =
            Network::of([(HOST.to_owned(), Arc::clone(&gateway))]).worker(Limits::default());
        let before = gateway.calls().len();
        for name in &names {
            let job = Job::from_value(document("cleanup", name, "10m")).unwrap();
            assert_eq!(worker.apply("job", &job, &Arc::default()).await.outcome.name(), "done");
        }
        let asked = gateway.calls()[before..].iter().filter(|call| call.method == "status").count();
        assert_eq!(asked, 1);
    });
}

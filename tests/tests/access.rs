//! Credentials of agents and of the worker: the token that an update keeps, the message that wakes
//! an agent, and a device's own token.

use std::sync::Arc;
use std::time::Duration;

use mission_core::apply::Applier;
use mission_core::gateway::{Clients, DeviceIdentity, Limits};
use mission_core::outcome::Report;
use mission_core::{Job, Outcome};
use mission_gateway_sim::{Action, Fault, Gateway, Profile};
use serde_json::{Value, json};

use crate::documents::{self, AGENT_TOKEN};
use crate::faults::applier;
use crate::simulated::{start, state};

const PROFILES: [Profile; 2] = [Profile::V2026_2_9, Profile::V2026_9_6];

fn update(gateway: &Gateway) -> Value {
    let mut document = documents::provision(&gateway.url(), "Ada");
    document.as_object_mut().unwrap().remove("auth_token");
    document["options"] = json!({ "action": "update" });
    document
}

fn woken(gateway: &Gateway, wake: &Value) -> Value {
    let mut document = documents::provision(&gateway.url(), "Ada");
    document["options"] = json!({ "wake": wake });
    document
}

async fn run(applier: &Applier, id: &str, document: Value) -> Outcome {
    applier.apply(id, &Job::from_value(document).unwrap(), &Arc::default()).await.outcome
}

async fn done(applier: &Applier, id: &str, document: Value) -> Report {
    match run(applier, id, document).await {
        Outcome::Done(report) => *report,
        other => panic!("{other:?}"),
    }
}

/// Returns the parameters of each `chat.send` and whether the gateway executed it.
fn messages(gateway: &Gateway) -> Vec<(Value, bool)> {
    let calls = gateway.calls().into_iter().filter(|call| call.method == "chat.send");
    calls.map(|call| (call.params, call.ok)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_a_token_keeps_the_one_in_the_agents_files() {
    for profile in PROFILES {
        let gateway = start(profile, |_| {}).await;
        let applier = applier();
        done(&applier, "first", documents::provision(&gateway.url(), "Ada")).await;
        let before = state(&gateway);
        let report = done(&applier, "second", update(&gateway)).await;
        assert_eq!(report.written, Vec::<String>::new(), "{profile:?}");
        assert_eq!(state(&gateway)["files"], before["files"], "{profile:?}");

        // Other changes are still written, and the file contains the kept token.
        let mut moved = update(&gateway);
        moved["board"]["objective"] = "Ship".into();
        let report = done(&applier, "third", moved).await;
        assert!(report.written.contains(&"file AGENTS.md".to_owned()), "{profile:?}: {report:?}");
        assert!(!json!(report).to_string().contains(AGENT_TOKEN), "{profile:?}: {report:?}");
        let files = state(&gateway)["files"]["ada"].clone();
        let holds = if profile == Profile::V2026_2_9 { "TOOLS.md" } else { "AGENTS.md" };
        assert!(
            files[holds].as_str().unwrap().contains(&format!("\nAUTH_TOKEN={AGENT_TOKEN}\n")),
            "{profile:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_without_a_token_to_keep_writes_nothing_and_is_reported() {
    for profile in PROFILES {
        let gateway = start(profile, |_| {}).await;
        let outcome = run(&applier(), "job", update(&gateway)).await;
        let failure = outcome.failure().unwrap();
        assert_eq!(
            (outcome.name(), failure.code.as_str()),
            ("blocked", "auth_token_unknown"),
            "{profile:?}"
        );
        assert!(failure.remedy.text.contains("auth_token"), "{failure:?}");
        assert!(gateway.mutating_calls().is_empty(), "{profile:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_woken_once_everything_else_is_done() {
    for profile in PROFILES {
        let gateway = start(profile, |_| {}).await;
        let report = done(&applier(), "job", woken(&gateway, &json!({}))).await;
        assert_eq!(
            report.written.last().unwrap(),
            "wake sent to agent:ada:main",
            "{profile:?}: {report:?}"
        );
        let calls = gateway.calls();
        assert_eq!(calls.last().unwrap().method, "chat.send", "{profile:?}");
        let sent = messages(&gateway);
        assert_eq!(sent.len(), 1, "{profile:?}");
        let message = sent[0].0["message"].as_str().unwrap();
        assert!(
            message.starts_with("Mission control to Ada: you have been provisioned."),
            "{message}"
        );
        assert!(message.contains("AGENTS.md") && message.contains("BOOTSTRAP.md"), "{message}");
        assert!(!message.contains(AGENT_TOKEN), "{message}");
        assert_eq!(sent[0].0["deliver"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_carries_the_texts_of_its_job_and_keeps_its_key_across_runs() {
    let gateway = start(Profile::V2026_9_6, |_| {}).await;
    let applier = applier();
    let wake = json!({ "deliver": false, "verb": "moved here" });
    for id in ["job", "job", "another"] {
        done(&applier, id, woken(&gateway, &wake)).await;
    }
    let sent: Vec<Value> = messages(&gateway).into_iter().map(|(params, _)| params).collect();
    assert_eq!(sent[0], sent[1]);
    assert_ne!(sent[1]["idempotencyKey"], sent[2]["idempotencyKey"]);
    assert_eq!(sent[0]["deliver"], false);
    assert!(sent[0]["message"].as_str().unwrap().contains("moved here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_without_an_answer_is_sent_again_with_the_same_key() {
    for action in
        [Action::DropBefore, Action::DropAfter, Action::Restart { outage_ms: 200, reply: false }]
    {
        let gateway = start(Profile::V2026_9_6, |setup| {
            setup.faults = vec![Fault::on("chat.send", action.clone())];
        })
        .await;
        let report = done(&applier(), "job", woken(&gateway, &json!({}))).await;
        assert!(
            report.written.contains(&"wake sent to agent:ada:main".to_owned()),
            "{action:?}: {report:?}"
        );
        let keys: Vec<Value> = messages(&gateway)
            .into_iter()
            .map(|(sent, _)| sent["idempotencyKey"].clone())
            .collect();
        assert_eq!(keys.len(), 2, "{action:?}");
        assert_eq!(keys[0], keys[1], "{action:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_wake_is_reported() {
    let refusals = [
        ("INVALID_REQUEST", "unknown method: chat.send"),
        ("INVALID_REQUEST", "Send policy denies this session"),
    ];
    for (code, message) in refusals {
        let gateway = start(Profile::V2026_9_6, |setup| {
            let canned =
                json!([{ "method": "chat.send", "error": { "code": code, "message": message } }]);
            setup.canned = serde_json::from_value(canned).unwrap();
        })
        .await;
        let report = done(&applier(), "job", woken(&gateway, &json!({}))).await;
        assert!(!report.written.iter().any(|written| written.starts_with("wake")), "{report:?}");
        let why =
            report.skipped.iter().find(|skipped| skipped.what == "wake of agent:ada:main").unwrap();
        assert_eq!(why.why, message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_waits_until_the_gateway_has_loaded_the_agent() {
    let gateway = start(Profile::V2026_9_6, |setup| {
        let message = "Agent \"ada\" no longer exists in configuration";
        let error = json!({ "code": "INVALID_REQUEST", "message": message });
        setup.canned =
            serde_json::from_value(json!([{ "method": "chat.send", "error": error, "times": 2 }]))
                .unwrap();
    })
    .await;
    let report = done(&applier(), "job", woken(&gateway, &json!({}))).await;
    assert!(report.written.contains(&"wake sent to agent:ada:main".to_owned()), "{report:?}");
    assert_eq!(messages(&gateway).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_main_agent_is_woken_in_its_own_session() {
    for profile in PROFILES {
        let gateway = start(profile, |_| {}).await;
        let mut document = woken(&gateway, &json!({}));
        document["kind"] = "provision-main".into();
        let id = document["gateway"]["id"].as_str().unwrap().to_owned();
        let report = done(&applier(), "job", document).await;
        let sent = format!("wake sent to agent:mc-gateway-{id}:main");
        assert!(report.written.contains(&sent), "{profile:?}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_not_sent_repeatedly() {
    let gateway = start(Profile::V2026_9_6, |setup| setup.token = Some("another".into())).await;
    let applier = applier();
    let document = documents::provision(&gateway.url(), "Ada");
    for _ in 0..20 {
        let outcome = run(&applier, "job", document.clone()).await;
        assert_eq!(outcome.failure().unwrap().code, "unauthorized");
    }
    assert_eq!(gateway.connections(), 1, "repeated attempts would lock this address out");
    // The corrected token is tried at once.
    let mut corrected = document;
    corrected["gateway"]["token"] = "another".into();
    done(&applier, "job", corrected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_token_works_in_place_of_the_gateway_token() {
    for profile in PROFILES {
        let gateway = start(profile, |_| {}).await;
        let identity = DeviceIdentity::ephemeral();
        let mut document = documents::provision(&gateway.url(), "Ada");
        document["gateway"]["token"] = gateway.device_token(identity.id()).into();
        let limits = Limits { call: Duration::from_secs(2), ..Limits::default() };
        let own = Applier { clients: Clients::new(Arc::new(identity), limits), ..applier() };
        done(&own, "job", document.clone()).await;
        let outcome = run(&applier(), "job", document).await;
        assert_eq!(
            outcome.failure().unwrap().code,
            "unauthorized",
            "{profile:?}: the token works for its device only"
        );
    }
}

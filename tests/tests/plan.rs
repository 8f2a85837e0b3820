//! `worker plan` announces what `worker apply` does with the same document, and writes nothing.

use std::collections::BTreeMap;
use std::fs;

use mission_gateway_sim::Profile;
use serde_json::{Value, json};

use crate::documents::{self, AGENT_TOKEN, GATEWAY_TOKEN};
use crate::processes::Worker;
use crate::simulated;

fn sorted(list: &Value, text: impl Fn(&Value) -> &Value) -> Vec<String> {
    let mut texts: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|item| text(item).as_str().unwrap().to_owned())
        .collect();
    texts.sort();
    texts
}

fn by_what(changes: &Value) -> BTreeMap<&str, &Value> {
    changes
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["what"].as_str().unwrap(), &change["diff"]))
        .collect()
}

#[tokio::test]
async fn a_plan_matches_what_is_applied() {
    for profile in [Profile::V2026_2_9, Profile::V2026_9_6] {
        let gateway = simulated::start(profile, |_| {}).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("job.json");
        let worker = || Worker::new(folder.path());
        let mut update = documents::provision(&gateway.url(), "Ada");
        update["options"] = json!({ "action": "update" });
        update["agent"]["heartbeat_config"] = json!({ "every": "2h" });
        update["auth_token"] = json!("another-token-77");
        update["board"]["objective"] = json!("Another objective");
        let steps = [
            ("provision", documents::provision(&gateway.url(), "Ada")),
            ("update", update),
            ("cleanup", documents::cleanup(&gateway.url(), "Ada")),
        ];
        for (step, document) in steps {
            fs::write(&file, document.to_string()).unwrap();
            let calls = gateway.mutating_calls().len();
            let planned = worker().run(&["plan", file.to_str().unwrap()]).await;
            assert_eq!(planned.status, Some(0), "{step}: {}{}", planned.said, planned.answer);
            assert_eq!(gateway.mutating_calls().len(), calls, "{step}: a plan writes nothing");
            for secret in [GATEWAY_TOKEN, AGENT_TOKEN, "another-token-77"] {
                assert!(!planned.answer.to_string().contains(secret), "{step}: {}", planned.answer);
            }
            let applied = worker().apply(&file).await;
            for secret in [GATEWAY_TOKEN, AGENT_TOKEN, "another-token-77"] {
                assert!(!applied.answer.to_string().contains(secret), "{step}: {}", applied.answer);
            }
            let changes = &planned.answer["plan"]["changes"];
            let written = sorted(&applied.answer["report"]["written"], |text| text);
            assert_eq!(sorted(changes, |change| &change["what"]), written, "{step}");
            assert_eq!(by_what(&applied.answer["report"]["changes"]), by_what(changes), "{step}");
            assert!(!written.is_empty(), "{step}");
            if step == "cleanup" && profile == Profile::V2026_9_6 {
                let removed = &applied.answer["report"]["removed"];
                assert!(removed.to_string().contains("workspace-ada"), "{removed}");
            }
            if step == "update" {
                let diff = changes.to_string();
                assert!(diff.contains(r#"heartbeat.every: \"10m\" → \"2h\""#), "{diff}");
                assert!(
                    diff.contains("+AUTH_TOKEN=***") && diff.contains("Another objective"),
                    "{diff}"
                );
            }
            let again = worker().run(&["plan", file.to_str().unwrap()]).await;
            assert_eq!(again.answer["plan"]["changes"], json!([]), "{step}: {}", again.answer);
        }
    }
}

//! Tests of the difference between a gateway's config and the desired one, in both shapes.

use std::collections::BTreeSet;

use mission_core::gateway::RpcError;
use mission_core::gateway::agents_config::{
    Config, DesiredAgent, Shape, droppable, known_refusals, members_of,
};
use serde_json::{Map, Value, json};

fn config(agents: &Value) -> Config {
    let shown = json!({ "showOk": false, "showAlerts": true, "useIndicator": true });
    let visible = json!({ "defaults": { "heartbeat": shown, "heartbeatVisibility": shown } });
    Config::read(json!({ "hash": "h", "config": { "agents": agents, "channels": visible } }))
        .unwrap()
}

fn ada(heartbeat: &Value) -> DesiredAgent {
    DesiredAgent {
        id: "ada".into(),
        name: Some("Ada".into()),
        workspace: "/srv/ada".into(),
        heartbeat: heartbeat.as_object().unwrap().clone(),
        set_before: Map::new(),
        takes_over: None,
    }
}

fn patch(config: &Config, desired: &DesiredAgent) -> Option<Value> {
    let shape = config.shape.unwrap();
    let change =
        config.change(shape, std::slice::from_ref(desired), &known_refusals(shape), "main");
    change.map(|change| change.patch)
}

#[test]
fn what_a_merge_patch_cannot_remove_is_no_difference() {
    let is_kept = |present: Value, desired: Value| {
        let entry = json!({ "name": "Ada", "workspace": "/srv/ada", "heartbeat": present });
        config(&json!({ "entries": { "ada": entry } })).is_as_desired(
            Shape::Entries,
            &[ada(&desired)],
            &BTreeSet::new(),
        )
    };
    assert!(
        is_kept(json!({ "every": "1m" }), json!({ "every": "1m", "target": null })),
        "null removes a member"
    );
    assert!(!is_kept(json!({ "target": "x" }), json!({ "target": null })));
    assert!(is_kept(
        json!({ "hours": { "from": 8, "zone": "UTC" } }),
        json!({ "hours": { "from": 8, "to": null } })
    ));
    assert!(!is_kept(
        json!({ "hours": { "from": 8, "zone": "UTC" } }),
        json!({ "hours": { "from": 9 } })
    ));
    assert!(!is_kept(json!({}), json!({ "hours": { "from": 9 } })));
    assert!(!is_kept(json!({}), json!({ "hours": {} })));
}

#[test]
fn a_config_for_one_agent_is_first_converted_to_one_for_many() {
    let patch =
        patch(&config(&json!({ "entries": { "main": {} } })), &ada(&json!({ "every": "10m" })));
    let expected = json!({ "agents": {
        "ownership": "explicit",
        "defaults": { "systemAgent": { "agentId": "main" } },
        "entries": {
            "ada": { "name": "Ada", "workspace": "/srv/ada", "heartbeat": { "every": "10m" } },
            "main": {},
        },
    } });
    assert_eq!(patch, Some(expected));
}

#[test]
fn only_what_differs_is_written() {
    let entry = json!({
        "name": "Ada", "workspace": "/srv/ada",
        "heartbeat": { "every": "10m", "n": 1, "theirs": true },
    });
    let config =
        config(&json!({ "ownership": "explicit", "entries": { "main": {}, "ada": entry } }));
    assert_eq!(
        patch(&config, &ada(&json!({ "every": "10m", "n": 1.0, "includeReasoning": false }))),
        None
    );
    let renamed = DesiredAgent { name: Some("Ada L.".into()), ..ada(&json!({ "every": "10m" })) };
    let expected = json!({ "agents": { "entries": { "ada": { "name": "Ada L." } } } });
    assert_eq!(patch(&config, &renamed), Some(expected));
}

/// Returns the desired Ada, whose heartbeat had these members before.
fn ada_after(before: &Value, heartbeat: &Value) -> DesiredAgent {
    DesiredAgent { set_before: members_of(before.as_object().unwrap()), ..ada(heartbeat) }
}

#[test]
fn what_was_set_and_is_not_wanted_any_more_is_removed() {
    let heartbeat = json!({ "every": "5m", "model": "x", "to": "me", "theirs": 1 });
    let entry =
        json!({ "id": "ada", "name": "Ada", "workspace": "/srv/ada", "heartbeat": heartbeat });
    let before = json!({ "every": "5m", "model": "x", "to": "me", "gone": 1 });
    let desired = ada_after(&before, &json!({ "every": "5m", "to": "me" }));

    let keyed = config(&json!({ "ownership": "explicit", "entries": { "ada": entry } }));
    let expected = json!({ "every": "5m", "to": "me", "model": null });
    let expected = json!({ "agents": { "entries": { "ada": { "heartbeat": expected } } } });
    assert_eq!(patch(&keyed, &desired), Some(expected));

    let listed = config(&json!({ "list": [{ "id": "main" }, entry] }));
    let change =
        listed.change(Shape::List, std::slice::from_ref(&desired), &BTreeSet::new(), "main");
    let change = change.unwrap();
    assert!(change.has_nulls_in_list(), "for a gateway that merges entries");
    let replaced = change.without_nulls_in_list().patch["agents"]["list"][1].clone();
    let left = json!({ "every": "5m", "to": "me", "theirs": 1 });
    assert_eq!(replaced["heartbeat"], left, "for a gateway that replaces the list");

    assert_eq!(patch(&keyed, &ada(&json!({ "every": "5m" }))), None, "nothing is known");
}

#[test]
fn only_what_the_file_has_is_removed() {
    let entry = |heartbeat: Value| {
        json!({ "ada": {
        "name": "Ada", "workspace": "/srv/ada", "heartbeat": heartbeat,
    } })
    };
    let with_defaults = entry(json!({ "every": "5m", "model": "usual" }));
    let answer = json!({
        "config": { "agents": { "entries": with_defaults } },
        "parsed": { "agents": { "entries": entry(json!({ "every": "5m" })) } },
    });
    let config = Config::read(answer).unwrap();
    let desired = ada_after(&json!({ "model": "x" }), &json!({ "every": "5m" }));
    let refused = BTreeSet::new();
    assert!(config.has_agent_as_desired(&desired, &refused), "the gateway's default comes back");
}

#[test]
fn a_key_that_the_gateway_refuses_is_not_removed() {
    let entry = json!({
        "name": "Ada", "workspace": "/srv/ada",
        "heartbeat": { "every": "5m", "includeReasoning": false },
    });
    let config = config(&json!({ "entries": { "ada": entry } }));
    let desired = ada_after(&json!({ "includeReasoning": false }), &json!({ "every": "5m" }));
    assert!(config.has_agent_as_desired(&desired, &known_refusals(Shape::Entries)));
    assert!(!config.has_agent_as_desired(&desired, &BTreeSet::new()));
}

#[test]
fn a_list_is_written_whole_and_as_the_file_has_it() {
    let answer = json!({
        "config": { "agents": { "list": [{ "id": "main", "model": "resolved" }] } },
        "parsed": { "agents": { "list": [{ "id": "main", "model": "${MODEL}" }] } },
    });
    let config = Config::read(answer.clone()).unwrap();
    assert_eq!(config.shape, Some(Shape::List));
    let list = patch(&config, &ada(&json!({ "every": "10m" }))).unwrap()["agents"]["list"].clone();
    assert_eq!(list[0], json!({ "id": "main", "model": "${MODEL}" }));
    assert_eq!(list[1]["id"], "ada");
}

#[test]
fn only_our_own_optional_keys_are_dropped() {
    let error = json!({ "code": "INVALID_REQUEST", "message": "invalid \
        config", "details": { "issues": [
        { "path": "agents.entries.ada.heartbeat", "message": "Unrecognized keys: \"jitter\", \
            \"includeReasoning\"" },
        { "path": "channels.defaults", "message": "Unrecognized key: \"heartbeat\"" },
    ] } });
    let error: RpcError = serde_json::from_value(error).unwrap();
    let names = ["channels.defaults.heartbeat", "heartbeat.includeReasoning", "heartbeat.jitter"];
    assert_eq!(droppable(&error.unrecognized_keys()), Some(names.map(str::to_owned).into()));
    for path in ["agents.entries.ada.heartbeat.every", "agents.entries.ada.workspace", "tools.web"]
    {
        assert_eq!(droppable(&[path.to_owned()]), None, "{path}");
    }
    assert_eq!(droppable(&[]), None);
    let key = |bytes: usize| format!("agents.list.0.heartbeat.{}", "x".repeat(bytes));
    assert!(droppable(&[key(100)]).is_some() && droppable(&[key(101)]).is_none());
    let keys = |count: usize| (1..=count).map(key).collect::<Vec<_>>();
    assert!(droppable(&keys(64)).is_some() && droppable(&keys(65)).is_none());
    assert!(droppable(&vec![key(1); 1000]).is_some(), "the same key of many agents");
}

#[test]
fn refused_keys_are_left_out() {
    let config = config(&json!({ "ownership": "explicit", "entries": { "main": {} } }));
    let refused = BTreeSet::from(["heartbeat.jitter".to_owned()]);
    let desired = [ada(&json!({ "every": "10m", "jitter": 3 }))];
    let change = config.change(Shape::Entries, &desired, &refused, "main").unwrap();
    assert_eq!(change.patch["agents"]["entries"]["ada"]["heartbeat"], json!({ "every": "10m" }));
}

#[test]
fn an_unusable_config_is_reported() {
    for agents in [json!("x"), json!({ "list": "x" })] {
        let error = Config::read(json!({ "config": { "agents": agents } })).unwrap_err();
        assert!(
            error.to_string().starts_with("the gateway's config is invalid: agents"),
            "{error}"
        );
    }
    assert!(Config::read(json!({ "valid": false, "issues": [{ "path": "tools" }] })).is_err());
}

#[test]
fn turns_a_day_count_all_agents_with_a_heartbeat() {
    let turns = |agents: Value| config(&agents).heartbeat_turns_per_day();
    let every = |every| json!({ "heartbeat": { "every": every } });
    assert_eq!(
        turns(json!({ "entries": { "a": every("10m"), "b": every("1h"), "c": {} } })),
        Some(144 + 24)
    );
    assert_eq!(turns(json!({ "entries": { "a": every("0m"), "b": every("7h") } })), Some(3), "3.4");
    assert_eq!(turns(json!({ "list": [{ "id": "main" }] })), None, "no agent has a heartbeat");
    let defaults = json!({ "heartbeat": { "every": "2h" } });
    assert_eq!(
        turns(json!({ "list": [{ "id": "a", "heartbeat": {} }], "defaults": defaults })),
        Some(12)
    );
    assert_eq!(turns(json!({ "list": [{ "id": "a", "heartbeat": {} }] })), Some(48));
}

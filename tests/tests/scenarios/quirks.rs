//! The table of intended differences: the result that replaces the recorded one, and the exact
//! failure of a scenario that fails. Every entry is asserted; none is skipped.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::states::{
    agent, entry, heartbeat, list, main_stays_default, present, quieten, remove, shipped_texts,
    texts,
};

/// A scenario that ends differently from the recording, or that fails.
pub struct Quirk {
    pub scenario: &'static str,
    /// The intended behaviour, and the reason for it.
    pub why: &'static str,
    /// The end of each step: `done`, `OUTCOME CODE`, or `refused PATH` for a document that is
    /// refused.
    pub ends: &'static [&'static str],
    pub state: State,
}

/// The expected state of a gateway at the end.
pub enum State {
    /// The recorded state.
    AsRecorded,
    /// The state at the start, because nothing was written.
    AsBefore,
    /// The recorded state after this edit.
    Edited(fn(&mut Value)),
}

/// A scenario whose second run calls methods that can change something.
pub struct Repeated {
    pub scenario: &'static str,
    /// The reason for the calls, although nothing changes.
    pub why: &'static str,
    /// The called methods, in order.
    pub calls: &'static [&'static str],
}

use State::{AsBefore, AsRecorded, Edited};

const fn quirk(
    scenario: &'static str,
    ends: &'static [&'static str],
    state: State,
    why: &'static str,
) -> Quirk {
    Quirk { scenario, why, ends, state }
}

const NOT_OURS: &str =
    "nothing shows that the entry is this agent's: it has no folder, and no file names the agent";
const KEYS_STAY: &str = "keys that people added to a heartbeat are kept";
const NOT_LOADED: &str = "creating an agent that the config has would write an older config over \
    it; every real gateway keeps its agents in the config";

/// Removes an agent of the config from the state, because the gateway has not loaded it.
fn not_loaded(state: &mut Value, agent: &str) {
    remove(&mut state["agents"], agent);
    remove(&mut state["files"], agent);
    remove(&mut state["sessions"], &format!("agent:{agent}:main"));
}

/// All differences that are intended.
pub const TABLE: &[Quirk] = &[
    // Cleanups.
    quirk(
        "c08_cleanup_random_name",
        &["done"],
        AsRecorded,
        "the id is stable, and the cleanup of an absent agent succeeds",
    ),
    quirk(
        "m05_cleanup_twice",
        &["done", "done"],
        AsRecorded,
        "the cleanup of an absent agent succeeds",
    ),
    // Ownership of agents.
    quirk("c10_cleanup_session_delete_forbidden", &["blocked agent_not_ours"], AsBefore, NOT_OURS),
    quirk("c15_cleanup_separate_registry", &["blocked agent_not_ours"], AsBefore, NOT_OURS),
    quirk("h17_sync_mixed_entries", &["blocked agent_not_ours"], AsBefore, NOT_OURS),
    // Additions by people.
    quirk(
        "h02_sync_many_append",
        &["done"],
        Edited(|state| list(state)[2]["heartbeat"]["x"] = json!(1)),
        KEYS_STAY,
    ),
    quirk(
        "h13_sync_visibility_complete",
        &["done"],
        Edited(|state| list(state)[1]["heartbeat"]["x"] = json!(1)),
        KEYS_STAY,
    ),
    quirk(
        "p121_local_files_not_overwritten",
        &["done"],
        Edited(|state| list(state)[1]["heartbeat"]["x"] = json!(1)),
        KEYS_STAY,
    ),
    quirk(
        "p13_preserved_files_missing",
        &["done"],
        Edited(|state| list(state)[1]["heartbeat"]["x"] = json!(1)),
        KEYS_STAY,
    ),
    quirk(
        "p23_update_no_existing_files",
        &["done"],
        Edited(|state| list(state)[1]["heartbeat"]["x"] = json!(1)),
        KEYS_STAY,
    ),
    quirk(
        "p24_update_bootstrap_unlisted",
        &["done"],
        Edited(|state| list(state)[1]["heartbeat"]["x"] = json!(1)),
        KEYS_STAY,
    ),
    // Invalid documents fail before anything is written.
    quirk(
        "h04_sync_missing_root",
        &["refused gateway.workspace_root"],
        AsRecorded,
        "refused with the field's path",
    ),
    quirk(
        "h05_sync_missing_root_and_empty",
        &["refused gateway.workspace_root"],
        AsRecorded,
        "refused with the field's path",
    ),
    quirk(
        "p93_board_missing",
        &["refused board"],
        AsBefore,
        "refused with the field's path, before anything is written",
    ),
    quirk(
        "p94_override_undefined",
        &["permanent template"],
        AsBefore,
        "templates are rendered before anything is written",
    ),
    quirk(
        "p95_override_syntax_error",
        &["permanent template"],
        AsBefore,
        "templates are rendered before anything is written",
    ),
    quirk(
        "p97_preferred_name_blank_crash",
        &["done"],
        Edited(|state| state["files"]["ada-lovelace"] = shipped_texts()),
        "a blank preferred name counts as absent",
    ),
    // Answers of the gateway.
    quirk(
        "p106_token_missing",
        &["blocked unauthorized"],
        AsRecorded,
        "the main backend needs the token",
    ),
    quirk(
        "p74_config_agents_string_crash",
        &["blocked gateway_config_invalid"],
        AsBefore,
        "the config is read first, and is not written if it is invalid",
    ),
    quirk(
        "p77_config_get_parsed_only",
        &["blocked not_kept"],
        Edited(|state| {
            state["agents"]["ada-lovelace"]["name"] = json!("Ada Lovelace");
            list(state)[1]["name"] = json!("Ada Lovelace");
            state["files"] = json!({});
            remove(&mut state["sessions"], "agent:ada-lovelace:main");
        }),
        "the config is read back after a write; here it never shows the change",
    ),
    quirk(
        "p78_config_no_hash_rejected",
        &["blocked no_config_hash"],
        AsBefore,
        "the config is written first, so a refusal leaves nothing half done",
    ),
    quirk(
        "p79_config_stale_hash",
        &["done"],
        Edited(|state| {
            list(state)[1] = entry("ada-lovelace", "Ada Lovelace");
            quieten(state);
            state["files"]["ada-lovelace"] = texts("ada-lovelace", "Ada Lovelace");
        }),
        "a stale hash is handled within the run, by another read and write",
    ),
    quirk(
        "h16_sync_stale",
        &["done"],
        Edited(|state| {
            list(state)[1]["heartbeat"] =
                json!({ "x": 1, "every": "2m", "target": "none", "includeReasoning": false });
            quieten(state);
        }),
        "a stale hash is handled within the run, by another read and write",
    ),
    quirk(
        "p102_session_patch_error",
        &["transient gateway_failed"],
        Edited(|state| {
            state["agents"]["ada-lovelace"] = agent("ada-lovelace", "Ada Lovelace");
            list(state).push(entry("ada-lovelace", "Ada Lovelace"));
            quieten(state);
            state["files"]["ada-lovelace"] = texts("ada-lovelace", "Ada Lovelace");
        }),
        "the session is written last, so the retry finds agent and files",
    ),
    quirk(
        "p62_default_id_unknown_agent",
        &["done"],
        Edited(|state| state["files"]["ada-lovelace"] = texts("ada-lovelace", "Ada Lovelace")),
        "if the default agent is unknown, the agent itself shows which files a gateway keeps",
    ),
    // Session labels.
    quirk(
        "p40_unique_label_conflict",
        &["done"],
        Edited(|state| {
            state["agents"]["ada-lovelace"] = agent("ada-lovelace", "Ada Lovelace");
            list(state).push(entry("ada-lovelace", "Ada Lovelace"));
            quieten(state);
            state["files"]["ada-lovelace"] = shipped_texts();
            state["sessions"]["agent:ada-lovelace:main"] = json!({ "label": null, "resets": 0 });
        }),
        "a label that is in use is left out and reported",
    ),
    quirk(
        "m11_same_label_two_boards",
        &["done", "done"],
        Edited(|state| {
            state["agents"]["lead-2"] = agent("lead-2", "Lead Agent");
            list(state).push(entry("lead-2", "Lead Agent"));
            let first = state["files"]["lead-1"].to_string();
            let second =
                first.replace("lead-1", "lead-2").replace("-000000000001\\n", "-0000000000ff\\n");
            state["files"]["lead-2"] = serde_json::from_str(&second).unwrap();
            state["sessions"]["agent:lead-2:main"] = json!({ "label": null, "resets": 0 });
        }),
        "a label that is in use is left out and reported",
    ),
    // Ids: an agent is written under the id that the gateway derives, so there is one entry.
    quirk(
        "m09_long_name_reprovision",
        &["done", "done"],
        Edited(|state| {
            let (name, id) = ("long ".repeat(60), "long-".repeat(13)[..64].to_owned());
            state["agents"][&id]["name"] = json!(name);
            list(state)[1]["name"] = json!(name);
            list(state)[1]["heartbeat"] = heartbeat();
            list(state).truncate(2);
            for session in state["sessions"].as_object_mut().unwrap().values_mut() {
                session["label"] = json!(session["label"].as_str().unwrap().trim());
            }
        }),
        "one entry under the id as the gateway truncates it; the label is trimmed; a second run \
            finds nothing to change",
    ),
    quirk(
        "p32_session_key_with_spaces",
        &["done"],
        Edited(|state| {
            list(state).truncate(2);
            list(state)[1]["heartbeat"] = heartbeat();
        }),
        "one entry under the normalised id",
    ),
    quirk("p89_normalised_conflict", &["blocked agent_not_ours"], AsBefore, NOT_OURS),
    // Agents that are registered in the config.
    quirk(
        "p17_seeded_workspace_on_create",
        &["done"],
        Edited(|state| {
            for name in ["USER.md", "MEMORY.md"] {
                state["files"]["ada-lovelace"][name] =
                    texts("ada-lovelace", "Ada Lovelace")[name].clone();
            }
        }),
        "the gateway does not seed agents of the config, so the worker writes their own files",
    ),
    quirk(
        "p88_separate_registry",
        &["blocked gateway_restart_needed"],
        Edited(|state| {
            list(state)[1]["name"] = json!("Ada Lovelace");
            not_loaded(state, "ada-lovelace");
        }),
        NOT_LOADED,
    ),
    quirk(
        "x08_many_separate_registry",
        &["blocked gateway_restart_needed"],
        Edited(|state| {
            for agent in list(state) {
                if let Some(number) = agent["id"].as_str().and_then(|id| id.strip_prefix("agent-"))
                {
                    agent["name"] = json!(format!("Agent {number}"));
                }
            }
            (0..20).for_each(|number| not_loaded(state, &format!("agent-{number}")));
        }),
        NOT_LOADED,
    ),
    quirk(
        "p72_config_list_empty_dict_ok",
        &["blocked gateway_restart_needed"],
        Edited(|state| {
            main_stays_default(state);
            not_loaded(state, "ada-lovelace");
        }),
        NOT_LOADED,
    ),
    quirk(
        "p75_config_empty",
        &["blocked gateway_restart_needed"],
        Edited(|state| {
            main_stays_default(state);
            not_loaded(state, "ada-lovelace");
        }),
        NOT_LOADED,
    ),
    // Files.
    quirk(
        "p51_supported_single",
        &["done"],
        Edited(|state| list(state)[1]["heartbeat"]["prompt"] = present()),
        "if HEARTBEAT.md is not kept, its duties go into the heartbeat's prompt",
    ),
    quirk(
        "p53_supported_template_internal",
        &["done"],
        Edited(|state| {
            list(state)[1]["heartbeat"]["prompt"] = present();
            remove(&mut state["files"]["ada-lovelace"], "HEARTBEAT_LEAD.md");
        }),
        "only documents are written, whatever other names a gateway supports; HEARTBEAT.md is \
            not kept, as above",
    ),
];

/// All second runs that make calls which can change something.
pub const REPEATED: &[Repeated] = &[
    Repeated {
        scenario: "m11_same_label_two_boards",
        why: "the second session still has no label; only a call shows whether it \
            is free now",
        calls: &["sessions.patch"],
    },
    Repeated {
        scenario: "p40_unique_label_conflict",
        why: "the session still has no label; only a call shows whether it is \
            free now",
        calls: &["sessions.patch"],
    },
    Repeated {
        scenario: "p99_file_set_unsupported_variant",
        why: "a read does not show that the gateway refuses to write this file",
        calls: &["agents.files.set"],
    },
];

/// Checks that every name in the tables is that of a scenario, occurs once, and has a reason.
pub fn check_names(scenarios: &BTreeSet<String>) {
    let differing = TABLE.iter().map(|quirk| (quirk.scenario, quirk.why));
    let repeated = REPEATED.iter().map(|repeated| (repeated.scenario, repeated.why));
    for table in [differing.collect::<Vec<_>>(), repeated.collect()] {
        let names: BTreeSet<_> = table.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), table.len(), "a scenario is listed twice");
        for (name, why) in table {
            assert!(scenarios.contains(name), "there is no scenario {name}");
            assert!(!why.is_empty(), "{name} has no reason");
        }
    }
}

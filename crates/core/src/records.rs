//! Composes the job that a run carries out from the records of its gateway and its agent.
//!
//! A job document is a request, not a snapshot: the newest documents of the gateway and of the
//! agent say what is wanted, whichever job they came with. The queue keeps records that name these
//! documents. This module knows their parts, so that the queue never looks into a document.
//!
//! | part | letter | newest wins, or owed |
//! |---|---|---|
//! | `gateway`, if it has a `url` | `c` | the newest connection of the gateway |
//! | `auth_token` | `t` | the newest token of the agent; a document without one keeps it |
//! | `options.force_bootstrap` | `f` | owed until a run has carried it out |
//! | `options.reset_session` | `r` | owed |
//! | `options.wake` | `w` | owed; the newest wake counts |
//! | `options.action` is `provision` | `p` | owed, so an update of a new agent provisions it |
//! | the rest | | the newest document of the agent |

use serde_json::{Map, Value, json};

use crate::applied::Applied;
use crate::model::{DocumentError, Job, Kind};

/// The parts of a document that records keep apart, by letter; see the table of this module.
pub const LETTERS: [char; 6] = ['c', 't', 'f', 'r', 'w', 'p'];

/// Returns the letters of the parts that a valid document has.
#[must_use]
pub fn parts(document: &Value) -> String {
    let kind = document["kind"].as_str().and_then(Kind::from_name);
    let provisions = matches!(kind, Some(Kind::Provision | Kind::ProvisionMain));
    let options = &document["options"];
    let is_true = |name: &str| options[name].as_bool() == Some(true);
    let has = |letter: &char| match letter {
        'c' => has_connection(document),
        't' => provisions && document["auth_token"].is_string(),
        'f' => provisions && is_true("force_bootstrap"),
        'r' => provisions && is_true("reset_session"),
        'w' => provisions && options["wake"].is_object(),
        'p' => provisions && options["action"].as_str() != Some("update"),
        _ => false,
    };
    LETTERS.into_iter().filter(has).collect()
}

/// Returns whether a document has a connection of its gateway: a `url`.
#[must_use]
pub fn has_connection(document: &Value) -> bool {
    document["gateway"]["url"].as_str().is_some_and(|url| !url.trim().is_empty())
}

/// The documents that records name.
#[derive(Debug, Default)]
pub struct Records {
    /// The document that has the newest connection of the gateway.
    pub connection: Option<Value>,
    /// The parts of the agent, or `None` if there is no record of it.
    pub agent: Option<AgentParts>,
}

/// The parts of an agent's record.
#[derive(Debug, Default)]
pub struct AgentParts {
    /// The newest document of the agent, if it is not the job's own.
    pub desired: Option<Value>,
    /// The document that has its newest token.
    pub token: Option<Value>,
    /// The document that has the wake which is owed.
    pub wake: Option<Value>,
    /// The `heartbeat_config` of a heartbeat-sync that is newer than `desired`, and whether it may
    /// be fast (`options.allow_fast_heartbeat`).
    pub heartbeat: Option<(Value, bool)>,
    /// `true` if BOOTSTRAP.md is owed.
    pub force_bootstrap: bool,
    /// `true` if a reset of the session is owed.
    pub reset_session: bool,
    /// `true` if the agent is owed a first provisioning.
    pub provision: bool,
    /// The keys and files that the latest run has applied, if it is known.
    pub applied: Option<Applied>,
}

/// Returns the job that the records and the job's own document ask for together.
///
/// # Errors
///
/// The composed document can be invalid although its parts are valid: a heartbeat that contains
/// the token of another document, for example.
pub fn compose(own: Value, records: Records) -> Result<Job, DocumentError> {
    let (mut document, mut known) = (own, None);
    if let Some(mut agent) = records.agent
        && matches!(document["kind"].as_str(), Some("provision" | "provision-main"))
    {
        known = agent.applied.take();
        document = agent.compose(document);
    }
    if let Some(mut connection) = records.connection.filter(has_connection) {
        document["gateway"] = connection["gateway"].take();
    }
    let mut job = Job::from_value(document)?;
    match &mut job {
        Job::Provision(job) => job.applied = known,
        Job::ProvisionMain(job) => job.applied = known,
        _ => {}
    }
    Ok(job)
}

impl AgentParts {
    fn compose(self, own: Value) -> Value {
        let mut document = self.desired.unwrap_or(own);
        if let Some(mut token) = self.token
            && !document["auth_token"].is_string()
        {
            document["auth_token"] = token["auth_token"].take();
        }
        if !document["options"].is_object() {
            document["options"] = Value::Object(Map::new());
        }
        let options = &mut document["options"];
        options["force_bootstrap"] = json!(self.force_bootstrap);
        options["reset_session"] = json!(self.reset_session);
        options["action"] = json!(if self.provision { "provision" } else { "update" });
        options["wake"] =
            self.wake.map(|mut wake| wake["options"]["wake"].take()).unwrap_or_default();
        if let Some((heartbeat, may_be_fast)) = self.heartbeat {
            if may_be_fast {
                options["allow_fast_heartbeat"] = json!(true);
            }
            document["agent"]["heartbeat_config"] = heartbeat;
        }
        document
    }
}

/// Returns the heartbeats of a heartbeat-sync by agent, as the queue keeps them; empty for other
/// kinds. The last entry of an agent counts.
#[must_use]
pub fn heartbeats(document: &Value) -> Map<String, Value> {
    let may_be_fast = document["options"]["allow_fast_heartbeat"].as_bool() == Some(true);
    let entry = |agent: &Value| {
        let id = agent["id"].as_str()?.parse::<uuid::Uuid>().ok()?;
        let kept = json!({ "config": agent["heartbeat_config"], "fast": may_be_fast });
        Some((id.to_string(), Value::String(kept.to_string())))
    };
    document["agents"].as_array().into_iter().flatten().filter_map(entry).collect()
}

/// Reads what [`heartbeats`] wrote for one agent.
#[must_use]
pub fn read_heartbeat(kept: &str) -> Option<(Value, bool)> {
    let mut kept: Value = serde_json::from_str(kept).ok()?;
    let may_be_fast = kept["fast"].as_bool() == Some(true);
    Some((kept.get_mut("config")?.take(), may_be_fast))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::model::{Action, Provision};

    fn document(name: &str, more: &Value) -> Value {
        let mut document = json!({
            "version": 1,
            "kind": "provision",
            "gateway": {
                "id": uuid::Uuid::from_u128(1), "url": format!("ws://{name}"),
                "token": name, "workspace_root": "/w",
            },
            "agent": { "id": uuid::Uuid::from_u128(2), "name": name },
            "board": { "id": uuid::Uuid::from_u128(3), "name": "Launch" },
        });
        for (key, value) in more.as_object().expect("an object") {
            document[key] = value.clone();
        }
        document
    }

    fn provision(own: Value, records: Records) -> Provision {
        match compose(own, records) {
            Ok(Job::Provision(job)) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn token(job: &Provision) -> Option<&str> {
        job.auth_token.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn a_document_without_records_means_itself() {
        let own = document("own", &json!({ "auth_token": "t", "options": { "wake": {} } }));
        let job = provision(own, Records::default());
        assert_eq!((job.agent.name.as_str(), token(&job)), ("own", Some("t")));
        assert_eq!(job.options.action, Action::Provision);
        assert!(job.options.wake.is_some());
    }

    #[test]
    fn the_newest_connection_is_used_by_every_kind() {
        for kind in ["provision", "provision-main", "cleanup"] {
            let own = document("old", &json!({ "kind": kind, "auth_token": "t" }));
            let connection = Some(document("new", &json!({})));
            let job = compose(own, Records { connection, agent: None }).expect("a valid job");
            let gateway = job.gateway().expect("it has a url");
            assert_eq!(gateway.url.as_str(), "ws://new/", "{kind}");
        }
        let mut own = document("own", &json!({ "auth_token": "t" }));
        own["gateway"] = json!({ "id": uuid::Uuid::from_u128(1) });
        let connection = Some(document("new", &json!({})));
        let job = provision(own, Records { connection, agent: None });
        assert_eq!(job.gateway.url.as_str(), "ws://new/", "a document may name the gateway only");
    }

    #[test]
    fn an_edit_before_the_first_run_keeps_the_token_and_what_is_owed() {
        let create = document(
            "create",
            &json!({ "auth_token": "t", "options": { "wake": { "verb": "born" }, "reset_session": true } }),
        );
        let edit = document("edit", &json!({ "options": { "action": "update" } }));
        let agent = AgentParts {
            token: Some(create.clone()),
            wake: Some(create),
            reset_session: true,
            provision: true,
            ..AgentParts::default()
        };
        let job = provision(edit, Records { connection: None, agent: Some(agent) });
        assert_eq!((job.agent.name.as_str(), token(&job)), ("edit", Some("t")));
        assert_eq!(job.options.action, Action::Provision);
        assert!(job.options.reset_session && !job.options.force_bootstrap);
        assert_eq!(job.options.wake.and_then(|wake| wake.verb).as_deref(), Some("born"));
    }

    #[test]
    fn what_was_carried_out_is_not_done_again() {
        let own = document(
            "own",
            &json!({ "auth_token": "t", "options": { "wake": {}, "force_bootstrap": true, "reset_session": true } }),
        );
        let records = Records { connection: None, agent: Some(AgentParts::default()) };
        let job = provision(own, records);
        let options = job.options;
        assert_eq!(options.action, Action::Update);
        assert!(!options.force_bootstrap && !options.reset_session && options.wake.is_none());
    }

    #[test]
    fn a_run_knows_what_was_applied() {
        let applied = Some(Applied::default());
        let agent = AgentParts { applied: applied.clone(), ..AgentParts::default() };
        let own = document("own", &json!({ "auth_token": "t" }));
        let records = Records { connection: None, agent: Some(agent) };
        assert_eq!(provision(own.clone(), records).applied, applied);
        assert_eq!(provision(own, Records::default()).applied, None);
    }

    #[test]
    fn a_newer_heartbeat_replaces_that_of_the_document() {
        let sync = json!({
            "agents": [{ "id": uuid::Uuid::from_u128(2), "heartbeat_config": { "every": "5s" } }],
            "options": { "allow_fast_heartbeat": true },
        });
        let kept = heartbeats(&sync);
        let kept = kept[&uuid::Uuid::from_u128(2).to_string()].as_str().expect("a text");
        let agent = AgentParts { heartbeat: read_heartbeat(kept), ..AgentParts::default() };
        let own = document("own", &json!({ "auth_token": "t" }));
        let job = provision(own, Records { connection: None, agent: Some(agent) });
        assert_eq!(job.agent.heartbeat_config["every"], "5s");
        assert!(job.options.allow_fast_heartbeat);
    }

    #[test]
    fn parts_are_those_that_records_keep_apart() {
        let all = json!({
            "auth_token": "t",
            "options": { "wake": {}, "force_bootstrap": true, "reset_session": true },
        });
        assert_eq!(parts(&document("x", &all)), "ctfrwp");
        assert_eq!(parts(&document("x", &json!({ "options": { "action": "update" } }))), "c");
        assert_eq!(parts(&document("x", &json!({ "kind": "cleanup", "auth_token": "t" }))), "c");
        assert_eq!(parts(&document("x", &json!({ "gateway": { "url": " " } }))), "p");
    }
}

//! Names derived from what the main backend knows: slugs, session keys, ids on the gateway and
//! workspace paths.
//!
//! All of them are pure functions, so that a retry and a later cleanup find what the first run
//! created.

use uuid::Uuid;

use crate::model::{Agent, Gateway};

/// The longest agent id that a gateway keeps, in characters. Longer ids are cut off.
const MAX_AGENT_ID_CHARS: usize = 64;

/// The names of one agent on its gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKeys {
    /// The id of the agent's entry in the gateway's config.
    pub agent_id: String,
    /// The key of the session that is created for the agent.
    pub session_key: String,
    /// The session key that the agent's documents show: the main backend's key for this agent if it
    /// gave one, otherwise `session_key`.
    pub shown_session_key: String,
    /// The agent's folder on the gateway's machine.
    pub workspace_path: String,
}

impl AgentKeys {
    /// Returns the names of an agent that works on a board.
    #[must_use]
    pub fn of_board_agent(agent: &Agent, gateway: &Gateway) -> Self {
        let session_key = session_key(agent);
        Self {
            agent_id: openclaw_agent_id(agent),
            shown_session_key: session_key.clone(),
            session_key,
            workspace_path: workspace_path(agent, &gateway.workspace_root),
        }
    }

    /// Returns the names of a gateway's main agent. `given` is the session key of the job, if it
    /// has one.
    #[must_use]
    pub fn of_main_agent(agent: &Agent, gateway: &Gateway, given: Option<&str>) -> Self {
        let session_key = given.map_or_else(|| main_session_key(gateway.id), str::to_owned);
        let shown = given_session_key(agent).unwrap_or(&session_key).to_owned();
        let key =
            key_part(&shown).map_or_else(|| slug_of_name(&agent.name, agent.id), str::to_owned);
        // The main backend's own folder for it has no prefix of the id.
        let key =
            if key == main_agent_id(gateway.id) { format!("gateway-{}", gateway.id) } else { key };
        Self {
            agent_id: main_agent_id(gateway.id),
            workspace_path: path_of_key(&key, agent.id, &gateway.workspace_root),
            shown_session_key: shown,
            session_key,
        }
    }
}

/// Returns the text in lower case with every run of characters outside `a-z0-9` replaced by one
/// dash and no dashes at the ends. The result may be empty.
#[must_use]
pub fn slugify(text: &str) -> String {
    dashed(text, |c| c.is_ascii_alphanumeric())
}

/// Returns the text in lower case with every run of other characters as one dash, and none at the
/// ends.
fn dashed(text: &str, is_kept: fn(char) -> bool) -> String {
    let text = text.to_lowercase();
    let parts = text.split(|c| !is_kept(c)).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

/// The ids that no agent gets from its name: the gateway's own agent, and the properties that every
/// JavaScript object has.
const RESERVED: [&str; 4] = ["main", "constructor", "prototype", "__proto__"];

/// Returns the slug of a text, or the 32 hex digits of the id if the slug is empty.
///
/// A random id instead would give a retried job a different agent each time.
#[must_use]
pub fn slug_or_id(text: &str, id: Uuid) -> String {
    let slug = slugify(text);
    if slug.is_empty() { id.simple().to_string() } else { slug }
}

/// Returns the slug of an agent's name, or the 32 hex digits of its id if the slug is empty or has
/// another meaning to the gateway or to JavaScript.
#[must_use]
pub(crate) fn slug_of_name(name: &str, id: Uuid) -> String {
    let slug = slug_or_id(name, id);
    if RESERVED.contains(&slug.as_str()) { id.simple().to_string() } else { slug }
}

/// Returns the part of the session key that names the agent (`x` in `agent:x:main`) unchanged, or
/// the slug of the agent's name if there is no key.
#[must_use]
pub fn agent_key(agent: &Agent) -> String {
    given_session_key(agent)
        .and_then(key_part)
        .map_or_else(|| slug_of_name(&agent.name, agent.id), str::to_owned)
}

/// Returns the session key of a board agent: the main backend's key unchanged, otherwise
/// `agent:<agent key>:main`.
#[must_use]
pub fn session_key(agent: &Agent) -> String {
    given_session_key(agent)
        .map_or_else(|| format!("agent:{}:main", agent_key(agent)), str::to_owned)
}

/// Returns the session key of a gateway's main agent, unless its job gives another.
#[must_use]
pub fn main_session_key(gateway_id: Uuid) -> String {
    format!("agent:gateway-{gateway_id}:main")
}

/// Returns whether a session key belongs to the main agent of this gateway only: our key, or the
/// main backend's own.
#[must_use]
pub(crate) fn is_main_session_key(key: &str, gateway_id: Uuid) -> bool {
    key == main_session_key(gateway_id)
        || key == format!("agent:{}:main", main_agent_id(gateway_id))
}

/// Returns the id of a gateway's main agent in the gateway's config.
#[must_use]
pub fn main_agent_id(gateway_id: Uuid) -> String {
    format!("mc-gateway-{gateway_id}")
}

/// Returns the folder of a board agent on the gateway's machine:
/// `<root>/workspace-<slug of the agent key>`.
#[must_use]
pub fn workspace_path(agent: &Agent, workspace_root: &str) -> String {
    path_of_key(&agent_key(agent), agent.id, workspace_root)
}

/// Returns the id of a board agent in the gateway's config: the agent key in the form in which
/// gateways keep ids.
///
/// A gateway normalizes the ids it is given, so an entry written under `Foo Bar` would remain
/// beside the gateway's own `foo-bar`. If nothing of the key is left, the agent's id is used; the
/// gateway would fall back to `main`.
#[must_use]
pub fn openclaw_agent_id(agent: &Agent) -> String {
    let id = normalise_agent_id(&agent_key(agent));
    let is_usable = !id.is_empty() && !RESERVED[1..].contains(&id.as_str());
    if is_usable { id } else { agent.id.simple().to_string() }
}

/// Converts an agent id to the form in which a gateway keeps it: lower-case `a-z0-9_-`, every other
/// run as one dash, at most 64 characters. Dashes at the ends are removed only if the id was not
/// acceptable as given. The result is empty if nothing is left.
#[must_use]
pub fn normalise_agent_id(id: &str) -> String {
    let id = id.trim();
    let acceptable = id.len() <= MAX_AGENT_ID_CHARS
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.chars().all(is_id_char);
    if acceptable {
        return id.to_ascii_lowercase();
    }
    dashed(id, is_id_char).trim_matches('-').chars().take(MAX_AGENT_ID_CHARS).collect()
}

fn is_id_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

fn given_session_key(agent: &Agent) -> Option<&str> {
    agent.openclaw_session_id.as_deref().filter(|key| !key.is_empty())
}

fn key_part(session_key: &str) -> Option<&str> {
    session_key.strip_prefix("agent:")?.split(':').next().filter(|part| !part.is_empty())
}

fn path_of_key(agent_key: &str, agent_id: Uuid, workspace_root: &str) -> String {
    let root = workspace_root.trim_end_matches('/');
    format!("{root}/workspace-{}", slug_or_id(agent_key, agent_id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn gateway() -> Gateway {
        Gateway {
            id: Uuid::from_u128(7),
            name: "Acme".to_owned(),
            url: "ws://localhost".parse().expect("a url"),
            token: None,
            workspace_root: "/w/".to_owned(),
            allow_insecure_tls: false,
            tls_fingerprint: None,
        }
    }

    fn agent(name: &str, session: &str) -> Agent {
        serde_json::from_value(
            json!({"id": Uuid::from_u128(1), "name": name, "openclaw_session_id": session}),
        )
        .expect("an agent")
    }

    #[test]
    fn a_main_agent_goes_by_its_gateway() {
        let derived = AgentKeys::of_main_agent(&agent("Main", ""), &gateway(), None);
        assert_eq!(derived.agent_id, "mc-gateway-00000000-0000-0000-0000-000000000007");
        assert_eq!(derived.session_key, "agent:gateway-00000000-0000-0000-0000-000000000007:main");
        assert_eq!(derived.shown_session_key, derived.session_key);
        assert_eq!(
            derived.workspace_path,
            "/w/workspace-gateway-00000000-0000-0000-0000-000000000007"
        );

        let given = AgentKeys::of_main_agent(
            &agent("Main", "agent:old:main"),
            &gateway(),
            Some("agent:new:main"),
        );
        assert_eq!(
            (given.session_key.as_str(), given.shown_session_key.as_str()),
            ("agent:new:main", "agent:old:main")
        );
        assert_eq!(given.workspace_path, "/w/workspace-old");
    }

    #[test]
    fn a_workspace_is_below_its_root_whatever_the_agent_is_called() {
        for (session, folder) in [
            ("agent:../../etc:main", "etc"),
            ("agent:/a/b\\c:main", "a-b-c"),
            ("agent:..:main", &"0".repeat(31)),
        ] {
            let path = workspace_path(&agent("../x", session), "/w/");
            assert!(
                path.starts_with(&format!("/w/workspace-{folder}")) && !path.contains(".."),
                "{path}"
            );
        }
    }

    #[test]
    fn an_agent_without_a_usable_name_goes_by_its_id() {
        let id = "00000000000000000000000000000001";
        let nameless = AgentKeys::of_board_agent(&agent("設計", ""), &gateway());
        assert_eq!(
            (nameless.agent_id, nameless.session_key),
            (id.to_owned(), format!("agent:{id}:main"))
        );
        assert_eq!(nameless.workspace_path, format!("/w/workspace-{id}"));
        assert_eq!(
            AgentKeys::of_board_agent(&agent("Ada", "agent:!!!:main"), &gateway()).agent_id,
            id
        );
    }

    #[test]
    fn agent_ids_are_normalised_as_gateways_do() {
        let long = "long ".repeat(60);
        for (given, kept) in [
            ("Foo Bar", "foo-bar"),
            ("alice", "alice"),
            ("ALICE_b-", "alice_b-"),
            ("_x y_", "_x-y_"),
            ("-a", "a"),
            (" bob ", "bob"),
            ("\u{212a}", "k"),
            ("a--b c", "a--b-c"),
            ("!!!", ""),
            (&long, &"long-".repeat(13)[..64]),
        ] {
            assert_eq!(normalise_agent_id(given), kept, "{given}");
        }
    }
}

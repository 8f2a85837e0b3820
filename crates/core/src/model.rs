//! The job document, version 1: parsed once, here, into types that cannot be wrong.
//!
//! One JSON object is the same on the queue, on the command line and in test data. Parsing is strict:
//! an unknown field, a wrong type or a missing key is refused with the path of the field and what to do.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

/// Largest accepted job document in bytes. Templates of an agent may be long; a megabyte is far beyond any seen.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// The four kinds of job, by the names used on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Create or update a board-scoped agent.
    Provision,
    /// Create or update the main agent of a gateway.
    ProvisionMain,
    /// Remove an agent, its files and its session.
    Cleanup,
    /// Write the heartbeats of many agents in one config write.
    HeartbeatSync,
}

impl Kind {
    /// All kinds, in the order used by tables and help texts.
    pub const ALL: [Self; 4] = [Self::Provision, Self::ProvisionMain, Self::Cleanup, Self::HeartbeatSync];

    /// The name on the wire, such as `provision-main`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::ProvisionMain => "provision-main",
            Self::Cleanup => "cleanup",
            Self::HeartbeatSync => "heartbeat-sync",
        }
    }

    /// The kind of that wire name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with a document: where, what, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, such as `agent.heartbeat_config`; `$` is the document itself.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    fn new(path: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.problem, self.remedy)
    }
}

/// A job document that cannot be accepted. Never holds values of the document, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct DocumentError {
    /// Everything found wrong; at least one.
    pub problems: Vec<Problem>,
}

impl From<Problem> for DocumentError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// A valid job.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Job {
    /// See [`Kind::Provision`].
    Provision(Box<Provision>),
    /// See [`Kind::ProvisionMain`].
    ProvisionMain(Box<ProvisionMain>),
    /// See [`Kind::Cleanup`].
    Cleanup(Box<Cleanup>),
    /// See [`Kind::HeartbeatSync`].
    HeartbeatSync(Box<HeartbeatSync>),
    /// A job for a gateway that has no url yet: it succeeds without doing anything.
    Nothing(Nothing),
}

/// Create or update a board-scoped agent.
#[derive(Debug, Clone)]
pub struct Provision {
    /// Where the agent lives.
    pub gateway: Gateway,
    /// The agent.
    pub agent: Agent,
    /// The board that it works on.
    pub board: Board,
    /// The person it works for.
    pub user: Option<User>,
    /// The agent's own token for the main backend's API.
    pub auth_token: SecretString,
    /// What kind of run is wanted.
    pub options: Options,
}

/// Create or update the main agent of a gateway.
#[derive(Debug, Clone)]
pub struct ProvisionMain {
    /// Where the agent lives.
    pub gateway: Gateway,
    /// The agent.
    pub agent: Agent,
    /// The person it works for.
    pub user: Option<User>,
    /// The agent's own token for the main backend's API.
    pub auth_token: SecretString,
    /// Session key to use instead of the one derived from the gateway's id; never blank.
    pub session_key: Option<String>,
    /// What kind of run is wanted.
    pub options: Options,
}

/// Remove an agent.
#[derive(Debug, Clone)]
pub struct Cleanup {
    /// Where the agent lives.
    pub gateway: Gateway,
    /// The agent.
    pub agent: Agent,
}

/// Write the heartbeats of many agents.
#[derive(Debug, Clone)]
pub struct HeartbeatSync {
    /// Where the agents live.
    pub gateway: Gateway,
    /// The agents, in the order of the document. May be empty.
    pub agents: Vec<Agent>,
}

/// A job that has nothing to do, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Nothing {
    /// The kind asked for.
    pub kind: Kind,
    /// The gateway's id.
    pub gateway_id: Uuid,
    /// The agent's id.
    pub agent_id: Uuid,
}

/// A gateway that can be reached. Built only by [`Job::parse`], so `url` and `workspace_root` are usable.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The main backend's id of it; the queue's lane.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// `ws://` or `wss://`.
    pub url: Url,
    /// The gateway's token, sent in the connect frame and nowhere else.
    pub token: Option<SecretString>,
    /// Folder on the gateway's machine under which workspaces are made; as given, never empty.
    pub workspace_root: String,
    /// Accept a certificate that cannot be verified.
    pub allow_insecure_tls: bool,
}

/// An agent as the main backend knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The main backend's id of it.
    pub id: Uuid,
    /// Its name, for people; may be empty.
    pub name: String,
    /// The board that it belongs to, as information only.
    #[serde(default)]
    pub board_id: Option<Uuid>,
    /// Session key given by the main backend, such as `agent:lead-7:main`.
    #[serde(default)]
    pub openclaw_session_id: Option<String>,
    /// Leads get another heartbeat document than the rest.
    #[serde(default, deserialize_with = "null_is_default")]
    pub is_board_lead: bool,
    /// Overlay on the default heartbeat; anything but an object is ignored.
    #[serde(default)]
    pub heartbeat_config: Value,
    /// Role, style and charter; anything but an object is ignored.
    #[serde(default)]
    pub identity_profile: Value,
    /// Jinja template that replaces IDENTITY.md.
    #[serde(default)]
    pub identity_template: Option<String>,
    /// Jinja template that replaces SOUL.md.
    #[serde(default)]
    pub soul_template: Option<String>,
}

/// The board an agent works on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The main backend's id of it.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Such as `goal`.
    #[serde(default = "default_board_type")]
    pub board_type: String,
    /// What is to be reached.
    #[serde(default)]
    pub objective: Option<String>,
    /// How success is measured; any JSON, shown to the agent as such.
    #[serde(default)]
    pub success_metrics: Value,
    /// ISO 8601 date or date-time, shown as given.
    #[serde(default, deserialize_with = "iso_8601")]
    pub target_date: Option<String>,
    /// Whether a person has confirmed the goal.
    #[serde(default, deserialize_with = "null_is_default")]
    pub goal_confirmed: bool,
}

/// The person an agent works for; every part may be unknown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Full name.
    #[serde(default)]
    pub name: Option<String>,
    /// What the person likes to be called; the first word is used.
    #[serde(default)]
    pub preferred_name: Option<String>,
    /// Such as `she/her`.
    #[serde(default)]
    pub pronouns: Option<String>,
    /// IANA name, as information only.
    #[serde(default)]
    pub timezone: Option<String>,
    /// Free text.
    #[serde(default)]
    pub notes: Option<String>,
    /// Free text.
    #[serde(default)]
    pub context: Option<String>,
}

/// What kind of provisioning is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// First provisioning or a later update.
    #[serde(default, deserialize_with = "null_is_default")]
    pub action: Action,
    /// Write BOOTSTRAP.md even in an update that would leave it out.
    #[serde(default, deserialize_with = "null_is_default")]
    pub force_bootstrap: bool,
    /// Start the agent's session afresh at the end.
    #[serde(default, deserialize_with = "null_is_default")]
    pub reset_session: bool,
}

/// First provisioning or a later update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The agent is new, or is to be made as if it were.
    #[default]
    Provision,
    /// The agent exists; BOOTSTRAP.md is left alone.
    Update,
}

/// The document as it stands on the wire, before the needs of its kind are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(rename = "version")]
    _version: Value,
    #[serde(rename = "kind")]
    _kind: Value,
    gateway: RawGateway,
    #[serde(default)]
    agent: Option<Agent>,
    #[serde(default)]
    agents: Option<Vec<Agent>>,
    #[serde(default)]
    board: Option<Board>,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    auth_token: Option<SecretString>,
    #[serde(default)]
    session_key: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    options: Options,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGateway {
    id: Uuid,
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    token: Option<SecretString>,
    #[serde(default)]
    workspace_root: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    allow_insecure_tls: bool,
}

impl Job {
    /// Parses and checks a job document.
    pub fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(Problem::new(
                "$",
                format!("the document has {} bytes, more than {MAX_DOCUMENT_BYTES}", text.len()),
                "shorten the templates or texts in it",
            )
            .into());
        }
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| Problem::new("$", format!("not JSON ({error})"), "send one JSON object"))?;
        Self::from_value(value)
    }

    /// Checks a job document that is JSON already.
    pub fn from_value(value: Value) -> Result<Self, DocumentError> {
        let Value::Object(object) = value else {
            return Err(Problem::new("$", "not an object", "send one JSON object").into());
        };
        check_version(&object)?;
        let kind = read_kind(&object)?;
        let mut track = serde_path_to_error::Track::new();
        let document = Document::deserialize(serde_path_to_error::Deserializer::new(Value::Object(object), &mut track))
            .map_err(|error| shape_problem(&track.path().to_string(), &error.to_string()))?;
        document.into_job(kind)
    }

    /// Which kind of job this is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Provision(_) => Kind::Provision,
            Self::ProvisionMain(_) => Kind::ProvisionMain,
            Self::Cleanup(_) => Kind::Cleanup,
            Self::HeartbeatSync(_) => Kind::HeartbeatSync,
            Self::Nothing(nothing) => nothing.kind,
        }
    }

    /// The id of the gateway that the job is about: the queue's lane.
    #[must_use]
    pub const fn gateway_id(&self) -> Uuid {
        match self.gateway() {
            Some(gateway) => gateway.id,
            None => match self {
                Self::Nothing(nothing) => nothing.gateway_id,
                _ => Uuid::nil(),
            },
        }
    }

    /// The gateway, unless it has no url.
    #[must_use]
    pub const fn gateway(&self) -> Option<&Gateway> {
        match self {
            Self::Provision(job) => Some(&job.gateway),
            Self::ProvisionMain(job) => Some(&job.gateway),
            Self::Cleanup(job) => Some(&job.gateway),
            Self::HeartbeatSync(job) => Some(&job.gateway),
            Self::Nothing(_) => None,
        }
    }

    /// The id of the one agent that the job is about; none for a heartbeat sync.
    #[must_use]
    pub const fn agent_id(&self) -> Option<Uuid> {
        match self {
            Self::Provision(job) => Some(job.agent.id),
            Self::ProvisionMain(job) => Some(job.agent.id),
            Self::Cleanup(job) => Some(job.agent.id),
            Self::HeartbeatSync(_) => None,
            Self::Nothing(nothing) => Some(nothing.agent_id),
        }
    }
}

impl Document {
    fn into_job(self, kind: Kind) -> Result<Job, DocumentError> {
        let mut problems = Vec::new();
        let (wanted, unwanted) = if kind == Kind::HeartbeatSync { ("agents", "agent") } else { ("agent", "agents") };
        let (has_wanted, has_unwanted) = if kind == Kind::HeartbeatSync {
            (self.agents.is_some(), self.agent.is_some())
        } else {
            (self.agent.is_some(), self.agents.is_some())
        };
        if !has_wanted {
            problems.push(Problem::new(wanted, "missing", format!("add it; a {kind} job needs it")));
        }
        if has_unwanted {
            problems.push(Problem::new(unwanted, format!("not part of a {kind} job"), format!("use `{wanted}`")));
        }

        let url = self.gateway.url.as_deref().map(str::trim).filter(|url| !url.is_empty());
        if url.is_none() && kind != Kind::HeartbeatSync && problems.is_empty() {
            let agent_id = self.agent.as_ref().map_or_else(Uuid::nil, |agent| agent.id);
            return Ok(Job::Nothing(Nothing { kind, gateway_id: self.gateway.id, agent_id }));
        }
        let url = parse_url(url, &mut problems);
        let workspace_root = self.gateway.workspace_root.filter(|root| !root.trim().is_empty());
        if workspace_root.is_none() {
            problems.push(Problem::new(
                "gateway.workspace_root",
                "missing",
                "set the folder on the gateway's machine under which workspaces are made",
            ));
        }
        let needs_token = matches!(kind, Kind::Provision | Kind::ProvisionMain);
        if needs_token && self.auth_token.is_none() {
            problems.push(Problem::new("auth_token", "missing", "add the agent's token for the main backend's API"));
        }
        if kind == Kind::Provision && self.board.is_none() {
            problems.push(Problem::new("board", "missing", "add the board, or use kind `provision-main`"));
        }
        let (Some(url), Some(workspace_root), true) = (url, workspace_root, problems.is_empty()) else {
            return Err(DocumentError { problems });
        };
        let gateway = Gateway {
            id: self.gateway.id,
            name: self.gateway.name,
            url,
            token: self.gateway.token,
            workspace_root,
            allow_insecure_tls: self.gateway.allow_insecure_tls,
        };
        let (user, options) = (self.user, self.options);
        let job = match (kind, self.agent, self.agents, self.auth_token, self.board) {
            (Kind::Provision, Some(agent), _, Some(auth_token), Some(board)) => {
                Some(Job::Provision(Box::new(Provision { gateway, agent, board, user, auth_token, options })))
            }
            (Kind::ProvisionMain, Some(agent), _, Some(auth_token), _) => {
                let session_key = self.session_key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
                let job = ProvisionMain { gateway, agent, user, auth_token, session_key, options };
                Some(Job::ProvisionMain(Box::new(job)))
            }
            (Kind::Cleanup, Some(agent), ..) => Some(Job::Cleanup(Box::new(Cleanup { gateway, agent }))),
            (Kind::HeartbeatSync, _, Some(agents), ..) => {
                Some(Job::HeartbeatSync(Box::new(HeartbeatSync { gateway, agents })))
            }
            _ => None,
        };
        Ok(job.expect("every need of the kind was checked above"))
    }
}

fn check_version(object: &Map<String, Value>) -> Result<(), Problem> {
    match object.get("version") {
        None => Err(Problem::new("version", "missing", "add `\"version\": 1`")),
        Some(version) if version.as_u64() == Some(1) => Ok(()),
        Some(version) => Err(Problem::new(
            "version",
            format!("{} is not a known version", brief(version)),
            "this worker reads version 1; upgrade the worker or send version 1",
        )),
    }
}

fn read_kind(object: &Map<String, Value>) -> Result<Kind, Problem> {
    let remedy = format!("use one of {}", Kind::ALL.map(Kind::as_str).join(", "));
    match object.get("kind") {
        None => Err(Problem::new("kind", "missing", remedy)),
        Some(Value::String(name)) => Kind::from_name(name)
            .ok_or_else(|| Problem::new("kind", format!("`{}` is not a known kind", shorten(name)), remedy)),
        Some(other) => Err(Problem::new("kind", format!("{} is not a string", brief(other)), remedy)),
    }
}

fn parse_url(url: Option<&str>, problems: &mut Vec<Problem>) -> Option<Url> {
    let remedy = "give the gateway's address, such as ws://host:18789 or wss://host";
    let Some(url) = url else {
        problems.push(Problem::new("gateway.url", "missing", remedy));
        return None;
    };
    // The text of the url is not quoted: people put tokens into it.
    match Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "ws" | "wss") && url.host_str().is_some() => Some(url),
        Ok(url) => {
            problems.push(Problem::new("gateway.url", format!("scheme `{}` is not ws or wss", url.scheme()), remedy));
            None
        }
        Err(error) => {
            problems.push(Problem::new("gateway.url", format!("not a url ({error})"), remedy));
            None
        }
    }
}

/// Turns serde's message into a path, a problem and a remedy. Serde names the parent of a missing or unknown field.
fn shape_problem(path: &str, message: &str) -> Problem {
    let parent = if path == "." { "" } else { path };
    let quoted = message.split('`').nth(1).unwrap_or_default();
    let join = |field: &str| match parent {
        "" => field.to_owned(),
        parent if parent == field || parent.ends_with(&format!(".{field}")) => parent.to_owned(),
        parent => format!("{parent}.{field}"),
    };
    if message.starts_with("missing field") {
        return Problem::new(join(quoted), "missing", "add it");
    }
    if message.starts_with("unknown field") {
        let known = message.split_once("expected ").map_or("", |(_, known)| known);
        let remedy = if known.is_empty() { "remove it".to_owned() } else { format!("remove it, or use {known}") };
        return Problem::new(join(&shorten(quoted)), "unknown field", remedy);
    }
    let path = if parent.is_empty() { "$" } else { parent };
    let (problem, remedy) =
        message.split_once(", expected ").map_or((message, ""), |(problem, wanted)| (problem, wanted));
    let problem = without_value(problem);
    if remedy.is_empty() {
        Problem::new(path, problem, "correct it")
    } else {
        Problem::new(path, problem, format!("use {remedy}"))
    }
}

/// Serde quotes the offending value; it may be a secret, so only its type is kept.
fn without_value(message: &str) -> String {
    match message.strip_prefix("invalid type: ") {
        Some(found) => format!("wrong type ({})", found.split([' ', ':']).next().unwrap_or("value")),
        None => match message.strip_prefix("invalid value: ") {
            Some(found) => format!("wrong value ({})", found.split([' ', ':']).next().unwrap_or("value")),
            None => message.to_owned(),
        },
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("\"{}\"", shorten(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn iso_8601<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let known = text.parse::<jiff::civil::DateTime>().is_ok() || text.parse::<jiff::Timestamp>().is_ok();
    if known {
        Ok(Some(text))
    } else {
        Err(serde::de::Error::custom("not a date, expected ISO 8601 such as 2026-03-01T09:00:00+00:00"))
    }
}

fn default_board_type() -> String {
    "goal".to_owned()
}

//! Parsing of JSON into a [`Job`]. Documents are checked here and nowhere else.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use uuid::Uuid;

use super::problem::{DocumentError, Problem, brief, shorten};
use super::{
    Action, Agent, Board, Cleanup, Fingerprint, Gateway, HeartbeatSync, Job, Kind, Nothing,
    Options, Provision, ProvisionMain, User, heartbeat_rules, null_is_default, rules,
};
use crate::json::{self, JsonError};

/// The maximum size of a job document in bytes. The templates of an agent may be long, but a
/// megabyte is far more than any seen so far.
pub const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// A job document of mission-worker, version 1, before the requirements of its kind are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Document {
    /// The version of the document.
    #[serde(rename = "version")]
    _version: Value,
    /// The kind of job.
    #[serde(rename = "kind")]
    _kind: Value,
    /// The gateway on which the agents live.
    gateway: RawGateway,
    /// The agent of a job of any kind except heartbeat-sync.
    #[serde(default)]
    agent: Option<Agent>,
    /// The agents of a heartbeat-sync; may be empty.
    #[serde(default)]
    agents: Option<Vec<Agent>>,
    /// The board that the agent works on; required in a provision.
    #[serde(default)]
    board: Option<Board>,
    /// The person that the agent works for.
    #[serde(default)]
    user: Option<User>,
    /// The agent's own token for the main backend's API. Only an update can omit it.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    auth_token: Option<SecretString>,
    /// The session key of a main agent, instead of the one derived from the gateway's id.
    #[serde(default)]
    session_key: Option<String>,
    /// The options of the run.
    #[serde(default, deserialize_with = "null_is_default")]
    options: Options,
}

/// A gateway, which can still lack its URL.
#[derive(Deserialize)]
#[serde(rename = "Gateway", deny_unknown_fields, expecting = "an object")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RawGateway {
    /// The gateway's id in the main backend.
    id: Uuid,
    /// The gateway's name, for people.
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    /// The gateway's address, `ws://` or `wss://`. Without it, a job in a queue uses the newest
    /// connection of the gateway; if there is none, it succeeds without doing anything.
    #[serde(default)]
    url: Option<String>,
    /// The gateway's token.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    token: Option<SecretString>,
    /// The folder on the gateway's machine under which workspaces are created; required with a URL.
    #[serde(default)]
    workspace_root: Option<String>,
    /// Accepts a certificate that cannot be verified.
    #[serde(default, deserialize_with = "null_is_default")]
    allow_insecure_tls: bool,
    /// Accepts exactly the certificate with this SHA-256.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    tls_fingerprint: Option<Fingerprint>,
    /// The main backend's number of this connection, which grows with each change. A connection
    /// with a lower number than an earlier one is not used.
    #[serde(default, rename = "revision")]
    _revision: Option<u64>,
}

impl Job {
    /// Parses and checks a job document.
    pub fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        Self::from_value(Self::read_json(text)?)
    }

    /// Parses the JSON of a job document, which must not be too long. Does not check it further.
    pub fn read_json(text: &[u8]) -> Result<Value, DocumentError> {
        let bytes = json::without_mark(text).len();
        if bytes > MAX_DOCUMENT_BYTES {
            return Err(Problem::new(
                "$",
                format!("the document has {bytes} bytes, more than {MAX_DOCUMENT_BYTES}"),
                "shorten the templates or texts in it",
            )
            .into());
        }
        json::read(text).map_err(|error| {
            let problem = match error {
                JsonError::Syntax(error) => {
                    Problem::new("$", format!("not JSON ({error})"), "send one JSON object")
                }
                JsonError::Twice { path } => {
                    Problem::new(path, "occurs twice", "remove one of the two members")
                }
            };
            problem.into()
        })
    }

    /// Checks a job document that is already parsed as JSON.
    pub fn from_value(value: Value) -> Result<Self, DocumentError> {
        let Value::Object(object) = &value else {
            return Err(Problem::new("$", "not an object", "send one JSON object").into());
        };
        check_version(object)?;
        let kind = read_kind(object)?;
        rules::check(&value)?;
        // The rules cover what the types require. This message drops the text, which may hold a
        // value.
        let document: Document = serde_json::from_value(value)
            .map_err(|_| Problem::new("$", "not a job document", "correct it"))?;
        document.into_job(kind)
    }
}

impl Document {
    /// Returns the problems with `agent` and `agents`, of which each kind needs one.
    fn agent_problems(&self, kind: Kind) -> Vec<Problem> {
        let (agent, agents) = (("agent", self.agent.is_some()), ("agents", self.agents.is_some()));
        let (wanted, unwanted) =
            if kind == Kind::HeartbeatSync { (agents, agent) } else { (agent, agents) };
        let mut problems = Vec::new();
        if !wanted.1 {
            let remedy = format!("add it; a {kind} job needs it");
            problems.push(Problem::new(wanted.0, "missing", remedy));
        }
        if unwanted.1 {
            let problem = format!("not part of a {kind} job");
            problems.push(Problem::new(unwanted.0, problem, format!("use `{}`", wanted.0)));
        }
        problems
    }

    fn into_job(self, kind: Kind) -> Result<Job, DocumentError> {
        let mut problems = self.agent_problems(kind);
        let url = self.gateway.url.as_deref().map(str::trim).filter(|url| !url.is_empty());
        if url.is_none() && kind != Kind::HeartbeatSync && problems.is_empty() {
            let agent_id = self.agent.as_ref().map_or_else(Uuid::nil, |agent| agent.id);
            return Ok(Job::Nothing(Nothing { kind, gateway_id: self.gateway.id, agent_id }));
        }
        let url = parse_url(url).map_err(|problem| problems.push(problem)).ok();
        let workspace_root = self.gateway.workspace_root.filter(|root| !root.trim().is_empty());
        if workspace_root.is_none() {
            let remedy = "set the folder on the gateway's machine under which workspaces are made";
            problems.push(Problem::new("gateway.workspace_root", "missing", remedy));
        }
        if self.gateway.tls_fingerprint.is_some() {
            problems.extend(pin_problem(url.as_ref(), self.gateway.allow_insecure_tls));
        }
        let needs_token = matches!(kind, Kind::Provision | Kind::ProvisionMain)
            && self.options.action != Action::Update;
        if needs_token && self.auth_token.is_none() {
            let remedy = "add the agent's token for the main backend's API; only an update can \
                keep the one it has";
            problems.push(Problem::new("auth_token", "missing", remedy));
        }
        if kind == Kind::Provision && self.board.is_none() {
            let remedy = "add the board, or use kind `provision-main`";
            problems.push(Problem::new("board", "missing", remedy));
        }
        if kind != Kind::Cleanup {
            let (token, allow_fast) = (self.auth_token.as_ref(), self.options.allow_fast_heartbeat);
            let one = self.agent.iter().map(|agent| ("agent".to_owned(), agent));
            let many = self.agents.iter().flatten().enumerate();
            for (path, agent) in
                one.chain(many.map(|(index, agent)| (format!("agents[{index}]"), agent)))
            {
                problems.extend(heartbeat_rules::problems(&path, agent, token, allow_fast));
            }
        }
        let (Some(url), Some(workspace_root), true) = (url, workspace_root, problems.is_empty())
        else {
            return Err(DocumentError { problems });
        };
        let gateway = Gateway {
            id: self.gateway.id,
            name: self.gateway.name,
            url,
            token: self.gateway.token.map(|token| trimmed(&token)),
            workspace_root,
            allow_insecure_tls: self.gateway.allow_insecure_tls,
            tls_fingerprint: self.gateway.tls_fingerprint,
        };
        let (user, options) = (self.user, self.options);
        let auth_token = self.auth_token.map(|token| trimmed(&token));
        Ok(match (kind, self.agent, self.agents, self.board) {
            (Kind::Provision, Some(agent), _, Some(board)) => {
                let job =
                    Provision { gateway, agent, board, user, auth_token, options, applied: None };
                Job::Provision(Box::new(job))
            }
            (Kind::ProvisionMain, Some(agent), ..) => {
                let session_key =
                    self.session_key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
                let job = ProvisionMain {
                    gateway,
                    agent,
                    user,
                    auth_token,
                    session_key,
                    options,
                    applied: None,
                };
                Job::ProvisionMain(Box::new(job))
            }
            (Kind::Cleanup, Some(agent), ..) => {
                Job::Cleanup(Box::new(Cleanup { gateway, agent, adopt: options.adopt }))
            }
            (Kind::HeartbeatSync, _, Some(agents), ..) => {
                let left_out = Vec::new();
                Job::HeartbeatSync(Box::new(HeartbeatSync { gateway, agents, left_out }))
            }
            _ => unreachable!("the parts that the kind needs were checked above"),
        })
    }
}

/// Removes the blanks around a token. A token that was read from a file ends with a line break.
fn trimmed(token: &SecretString) -> SecretString {
    SecretString::from(token.expose_secret().trim())
}

/// Returns the paths of the document's tokens that have blanks or line breaks around them.
/// [`Job::parse`] removes these silently, so commands that take a document from a person print a
/// warning.
#[must_use]
pub fn padded_tokens(document: &[u8]) -> Vec<&'static str> {
    let document = json::read_to_show(document);
    let tokens =
        [("auth_token", &document["auth_token"]), ("gateway.token", &document["gateway"]["token"])];
    let is_padded = |token: &Value| token.as_str().is_some_and(|token| token.trim() != token);
    tokens.into_iter().filter(|(_, token)| is_padded(token)).map(|(path, _)| path).collect()
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
        Some(Value::String(name)) => Kind::from_name(name).ok_or_else(|| {
            Problem::new("kind", format!("`{}` is not a known kind", shorten(name)), remedy)
        }),
        Some(other) => {
            Err(Problem::new("kind", format!("{} is not a string", brief(other)), remedy))
        }
    }
}

/// Returns the problem that prevents pinning the certificate, if there is one.
fn pin_problem(url: Option<&Url>, allow_insecure_tls: bool) -> Option<Problem> {
    let (problem, remedy) = if allow_insecure_tls {
        ("`gateway.allow_insecure_tls` accepts any certificate", "remove one of the two")
    } else if url.is_some_and(|url| url.scheme() != "wss") {
        ("`gateway.url` is not wss, so there is no certificate", "use wss://, or remove it")
    } else {
        return None;
    };
    Some(Problem::new("gateway.tls_fingerprint", problem, remedy))
}

/// Reads the gateway's URL. The problem does not quote it, because people put tokens into it.
fn parse_url(url: Option<&str>) -> Result<Url, Problem> {
    let problem = match url.map(Url::parse) {
        Some(Ok(url)) if matches!(url.scheme(), "ws" | "wss") && url.host_str().is_some() => {
            return Ok(url);
        }
        Some(Ok(url)) => format!("scheme `{}` is not ws or wss", url.scheme()),
        Some(Err(error)) => format!("not a url ({error})"),
        None => "missing".to_owned(),
    };
    let remedy = "give the gateway's address, such as ws://host:18789 or wss://host";
    Err(Problem::new("gateway.url", problem, remedy))
}

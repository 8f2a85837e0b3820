//! What a simulated gateway is like at the start. Everything here can be read from JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{answer::Refusal, fault::Fault, options::Options, profile::Profile};

/// The start of a simulated gateway. Without anything said it is empty and accepts every token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// The imitated version.
    pub profile: Profile,
    /// Port to listen on, on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The token clients must show; `None` accepts any. `options.token` is used when this is
    /// absent.
    pub token: Option<String>,
    /// The registry of agents by id; only used when `options.link_agents_config` is false.
    pub agents: BTreeMap<String, Agent>,
    /// The default agent's id in the scenario profile (`main` when absent); the others find it in
    /// the configuration.
    pub default_id: Option<String>,
    /// The configuration file; `null` takes the smallest one the profile's gateway starts with. `~`
    /// in its paths is the home folder, `${NAME}` in any text a variable, `$${NAME}` the text
    /// `${NAME}`, `{"$include": NAME}` a file.
    pub config: Value,
    /// The home folder of the gateway's user; when absent `/home/node`, and in the scenario profile
    /// none, which leaves `~` alone.
    pub home: Option<String>,
    /// The gateway's environment, in which `HOME` is its home folder. `None` leaves `${NAME}`
    /// alone, as no real gateway does: for those who resolve references between the simulator and
    /// its client.
    pub env: Option<BTreeMap<String, String>>,
    /// Files that the configuration includes, by the name it includes them by.
    pub includes: BTreeMap<String, Value>,
    /// Files by agent id, or by the path of a folder, and by file name.
    pub files: BTreeMap<String, BTreeMap<String, String>>,
    /// Paths of plain files, below which no folder can be made.
    pub plain_files: Vec<String>,
    /// Agents that no patch may change, with the error that a patch with one of them is answered
    /// by.
    pub refused_agents: BTreeMap<String, ErrorAnswer>,
    /// Agents whose workspaces have old setup state: from 2026.8 on they need `openclaw doctor
    /// --fix`.
    pub unmigrated: Vec<String>,
    /// Sessions by session key.
    pub sessions: BTreeMap<String, Session>,
    /// Names of files accepted and listed; `None` takes the profile's.
    pub supported_files: Option<Vec<String>>,
    /// Behaviour that differs from the profile's.
    pub options: Options,
    /// Answers given instead of executing calls; the first that matches is taken.
    pub canned: Vec<Canned>,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
}

impl Setup {
    /// An empty gateway of that version. A real one resolves references, and has no variables to do
    /// so.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        let env = (profile != Profile::Scenario).then(BTreeMap::new);
        Self { profile, env, ..Self::default() }
    }
}

/// An agent of a registry that is separate from the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// Display name.
    pub name: Option<String>,
    /// Directory of its files, on the gateway.
    pub workspace: Option<String>,
}

/// A session as seen from outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// Label, if it has one.
    pub label: Option<String>,
    /// How often it has been reset.
    pub resets: u64,
}

/// An answer given instead of executing the call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// The method it answers.
    pub method: String,
    /// Parameters a call must have, with these values; `None` matches every call of the method.
    #[serde(default, rename = "match")]
    pub matches: Option<serde_json::Map<String, Value>>,
    /// The payload of a success; used when there is no `error`.
    #[serde(default)]
    pub payload: Value,
    /// The error.
    #[serde(default)]
    pub error: Option<ErrorAnswer>,
    /// How many calls it answers; `None` for all.
    #[serde(default)]
    pub times: Option<u32>,
}

/// A canned error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorAnswer {
    /// As `INVALID_REQUEST`.
    pub code: String,
    /// The text a client reads.
    pub message: String,
    /// The part that a client's program reads, as `{"issues": […]}`.
    #[serde(default)]
    pub details: Option<Value>,
    /// The time to wait before the next try, in ms, which is 0 on a hostile gateway; the error says
    /// that it can be retried.
    #[serde(default, rename = "retryAfterMs")]
    pub retry_after_ms: Option<u64>,
}

impl ErrorAnswer {
    pub(crate) fn refusal(&self) -> Refusal {
        let refusal =
            Refusal::new(&self.code, self.message.clone()).retried_after(self.retry_after_ms);
        match &self.details {
            Some(details) => refusal.with_details(details.clone()),
            None => refusal,
        }
    }
}

impl Canned {
    /// Is this the answer to the call? Counts down.
    pub(crate) fn takes(&mut self, method: &str, params: &Value) -> bool {
        let fits = self.method == method
            && self.times != Some(0)
            && self.matches.iter().flatten().all(|(name, value)| params.get(name) == Some(value));
        if let (true, Some(times)) = (fits, &mut self.times) {
            *times -= 1;
        }
        fits
    }
}

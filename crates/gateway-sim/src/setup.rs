//! The initial state of a simulated gateway. All of it can be read from JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    answer::{Outcome, Refusal},
    fault::Fault,
    options::Options,
    profile::Profile,
};

/// The initial state of a simulated gateway. The default is empty and accepts every token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setup {
    /// The gateway version to imitate.
    pub profile: Profile,
    /// The port to listen on, on 127.0.0.1; 0 selects a free one.
    pub port: u16,
    /// The token that clients must send; `None` accepts any. `options.token` is used if this is
    /// absent.
    pub token: Option<String>,
    /// The registry of agents by id. It is used only if `options.link_agents_config` is false.
    pub agents: BTreeMap<String, Agent>,
    /// The id of the default agent in the scenario profile (`main` if absent). Other profiles read
    /// it from the configuration.
    pub default_id: Option<String>,
    /// The configuration file; `null` selects the smallest one with which the profile's gateway
    /// starts. In its paths `~` is the home folder, and in any text `${NAME}` is a variable and
    /// `$${NAME}` the text `${NAME}`. `{"$include": NAME}` includes a file.
    pub config: Value,
    /// The home folder of the gateway's user. The default is `/home/node`; the scenario profile has
    /// none and leaves `~` alone.
    pub home: Option<String>,
    /// The gateway's environment, in which `HOME` is its home folder. `None` leaves `${NAME}`
    /// alone, as no real gateway does, for callers that resolve references between the simulator
    /// and its client.
    pub env: Option<BTreeMap<String, String>>,
    /// The files that the configuration includes, by the name used there.
    pub includes: BTreeMap<String, Value>,
    /// The files by agent id or folder path, and then by file name.
    pub files: BTreeMap<String, BTreeMap<String, String>>,
    /// The paths of plain files, below which no folder can be created.
    pub plain_files: Vec<String>,
    /// The agents that no patch may change, with the error that answers such a patch.
    pub refused_agents: BTreeMap<String, Refusal>,
    /// The agents whose workspaces have old setup state: from 2026.8 on they need
    /// `openclaw doctor --fix`.
    pub unmigrated: Vec<String>,
    /// The sessions by session key.
    pub sessions: BTreeMap<String, Session>,
    /// The names of the files that are accepted and listed; `None` uses the profile's.
    pub supported_files: Option<Vec<String>>,
    /// The behaviour that differs from the profile's.
    pub options: Options,
    /// The answers that replace the execution of calls; the first match is used.
    pub canned: Vec<Canned>,
    /// The faults and their calls.
    pub faults: Vec<Fault>,
}

impl Setup {
    /// Creates an empty gateway with this version. Real profiles resolve references, with an empty
    /// environment.
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
    /// The display name of the agent.
    pub name: Option<String>,
    /// The directory of its files on the gateway.
    pub workspace: Option<String>,
}

/// A session as seen from outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Session {
    /// The label, if the session has one.
    pub label: Option<String>,
    /// The number of resets so far.
    pub resets: u64,
}

/// An answer that replaces the execution of a call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canned {
    /// The method that is answered.
    pub method: String,
    /// The parameters that a call must have, with these values; `None` matches every call of the
    /// method.
    #[serde(default, rename = "match")]
    pub matches: Option<serde_json::Map<String, Value>>,
    /// The payload of a success, used if there is no `error`.
    #[serde(default)]
    pub payload: Value,
    /// The error to answer with.
    #[serde(default)]
    pub error: Option<Refusal>,
    /// The number of calls to answer; `None` for all.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Canned {
    /// Returns whether this answers the call.
    pub(crate) fn fits(&self, method: &str, params: &Value) -> bool {
        self.method == method
            && self.times != Some(0)
            && self.matches.iter().flatten().all(|(name, value)| params.get(name) == Some(value))
    }

    /// Returns the answer, and counts it.
    pub(crate) fn answer(&mut self) -> Outcome {
        self.times = self.times.map(|times| times - 1);
        self.error.clone().map_or_else(|| Ok(self.payload.clone()), Err)
    }
}

//! Frames and methods of the gateway's JSON-RPC, protocols 3 and 4.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::keep::Keep;

/// The protocol versions offered; every gateway with the agent methods accepts one of them.
pub(crate) const PROTOCOLS: (u32, u32) = (3, 4);

/// The scopes requested. They are constant, because old gateways want a new approval for each other
/// set.
pub(super) const SCOPES: [&str; 3] = ["operator.read", "operator.write", "operator.admin"];

/// The largest frame accepted from a gateway, in bytes: its own limit of 25 MiB plus some margin.
pub(super) const MAX_FRAME: usize = 32 * 1024 * 1024;
/// The largest frame accepted before `connect` is sent, in bytes.
pub(super) const MAX_GREETING: usize = 64 * 1024;
/// The largest frame accepted until the gateway has answered `connect`, in bytes: a hello lists the
/// agents.
pub(super) const MAX_HELLO: usize = 4 * 1024 * 1024;

/// The client id of the worker; with the mode and the role, the one form that every tested gateway
/// accepts.
pub(super) const CLIENT_ID: &str = "gateway-client";
pub(super) const CLIENT_MODE: &str = "backend";
pub(super) const ROLE: &str = "operator";

/// Declares the methods with their names on the wire.
macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident = $name:literal,)*) => {
        /// The methods that the worker calls, with their properties.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $method,)*
        }

        impl Method {
            /// Returns the method's name on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$method => $name,)*
                }
            }
        }
    };
}

methods! {
    /// Opens a session with the gateway.
    Connect = "connect",
    /// Reads the config and its hash.
    ConfigGet = "config.get",
    /// Merges a patch into the config.
    ConfigPatch = "config.patch",
    /// Reads the state of the gateway, including each agent's heartbeat as the gateway uses it.
    Status = "status",
    /// Lists agents; old gateways add agents that exist only on disk.
    AgentsList = "agents.list",
    /// Creates an agent by call.
    AgentsCreate = "agents.create",
    /// Renames or moves an agent.
    AgentsUpdate = "agents.update",
    /// Deletes an agent, with its files on request.
    AgentsDelete = "agents.delete",
    /// Lists the files of a workspace with their sizes; newer gateways omit some.
    FilesList = "agents.files.list",
    /// Reads one file of a workspace; the answer also shows whether the gateway supports the file.
    FilesGet = "agents.files.get",
    /// Writes one file of a workspace.
    FilesSet = "agents.files.set",
    /// Lists sessions with their labels.
    SessionsList = "sessions.list",
    /// Returns whether a session exists.
    SessionsResolve = "sessions.resolve",
    /// Creates a session or changes its label.
    SessionsPatch = "sessions.patch",
    /// Resets a session, so that it starts empty.
    SessionsReset = "sessions.reset",
    /// Deletes a session of an agent.
    SessionsDelete = "sessions.delete",
    /// Sends a message to a session, which starts a turn of its agent; a repeated key starts no
    /// second turn.
    ChatSend = "chat.send",
}

impl Method {
    /// The methods that provisioning needs; gateways before 2026.2.9 lack some.
    pub(super) const REQUIRED: [Self; 6] = [
        Self::ConfigGet,
        Self::ConfigPatch,
        Self::AgentsDelete,
        Self::FilesGet,
        Self::FilesSet,
        Self::SessionsPatch,
    ];

    /// Returns whether the request may change the gateway.
    #[must_use]
    pub const fn is_mutating(self) -> bool {
        !matches!(
            self,
            Self::Connect
                | Self::ConfigGet
                | Self::Status
                | Self::AgentsList
                | Self::FilesList
                | Self::FilesGet
                | Self::SessionsList
                | Self::SessionsResolve
        )
    }

    /// Returns the largest accepted answer, in bytes. Many may be held at once, so only answers
    /// about everything may be as large as a frame.
    #[must_use]
    pub const fn max_answer(self) -> usize {
        match self {
            Self::ConfigGet | Self::Status | Self::AgentsList | Self::SessionsList => MAX_FRAME,
            _ => 4 * 1024 * 1024,
        }
    }

    /// Returns the most memory for the parsed part of an answer, in bytes. The estimate is rather
    /// too high: two copies of a config with 5,000 agents of ten members each are estimated at 30
    /// MiB without their prompts.
    pub(super) const fn max_memory(self) -> usize {
        const MIB: usize = 1024 * 1024;
        match self {
            Self::ConfigGet => 48 * MIB,
            Self::Status | Self::AgentsList | Self::SessionsList => 32 * MIB,
            _ => 8 * MIB,
        }
    }

    /// Returns the part of an answer that is parsed; the rest is skipped. A member that a flow uses
    /// must be named here.
    #[must_use]
    pub const fn keep(self) -> Keep {
        use Keep::{All, Each, Members};
        // Newer gateways return the config six times, and the file's text.
        const CONFIG: Keep = Members(&[
            ("hash", All),
            ("valid", All),
            ("issues", All),
            ("config", All),
            ("parsed", All),
            ("includedPaths", All),
        ]);
        const STATUS: Keep = Members(&[("heartbeat", All)]);
        const SESSION: Keep =
            Members(&[("key", All), ("label", All), ("sessionId", All), ("updatedAt", All)]);
        const SESSIONS: Keep = Members(&[("ts", All), ("sessions", Each(&SESSION))]);
        // The rest is the gateway's view of its own health, which grows with its agents.
        const HELLO: Keep = Members(&[
            ("protocol", All),
            ("server", All),
            ("policy", All),
            ("auth", All),
            ("features", All),
            ("snapshot", Members(&[("sessionDefaults", All)])),
        ]);
        match self {
            Self::ConfigGet => CONFIG,
            Self::Status => STATUS,
            Self::SessionsList => SESSIONS,
            Self::Connect => HELLO,
            _ => All,
        }
    }

    /// Returns the time within which an answer must arrive. Large fleets need it: at 237 agents, a
    /// config reload blocked a gateway for a minute.
    #[must_use]
    pub const fn deadline(self) -> Duration {
        match self {
            Self::Connect => Duration::from_secs(20),
            Self::AgentsCreate | Self::AgentsDelete => Duration::from_secs(120),
            _ => Duration::from_secs(90),
        }
    }

    /// Returns the time after which an answer counts as late: it may be lost, or the gateway is
    /// busy. A late read is then repeated over another connection, and the first answer counts. A
    /// late write is given up and read back if the gateway answers other requests meanwhile; a busy
    /// gateway answers nothing. Gateways took 6 s for `status`, and 15 s to create an agent.
    #[must_use]
    pub const fn overdue(self) -> Duration {
        match self {
            Self::AgentsCreate | Self::AgentsDelete => Duration::from_secs(25),
            _ if self.is_mutating() => Duration::from_secs(18),
            _ => Duration::from_secs(8),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Request<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) id: &'a str,
    pub(super) method: &'static str,
    pub(super) params: &'a Value,
}

/// A frame from the gateway, whose large parts are left unparsed. Unknown members and types are
/// ignored.
pub(super) enum Frame<'a> {
    Event { event: String, payload: Option<&'a RawValue> },
    Res { id: String, ok: bool, payload: Option<&'a RawValue>, error: Option<&'a RawValue> },
    Other,
}

impl<'a> Frame<'a> {
    /// Parses a frame; returns `None` if it is not a gateway's.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        /// The members of all frames, left unparsed until the type of the frame is known.
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            #[serde(borrow)]
            event: Option<&'a RawValue>,
            #[serde(borrow)]
            ok: Option<&'a RawValue>,
            #[serde(borrow)]
            payload: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        fn part<T: DeserializeOwned>(raw: Option<&RawValue>) -> Option<T> {
            serde_json::from_str(raw?.get()).ok()
        }
        let Members { kind, id, event, ok, payload, error } = serde_json::from_str(text).ok()?;
        Some(match &*kind {
            "event" => Self::Event { event: part(event)?, payload },
            "res" => Self::Res { id: part(id)?, ok: part(ok)?, payload, error },
            _ => Self::Other,
        })
    }
}

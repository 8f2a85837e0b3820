//! The Redis server behind a queue: its version, and how much of the queue a crash of it can lose.

use std::collections::HashMap;

use serde::Serialize;

/// A Redis server, as far as this user may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// The program: `redis` or `valkey`.
    pub kind: &'static str,
    /// The version of the program.
    pub version: String,
    /// The mode: `standalone`, `sentinel` or `cluster`.
    pub mode: String,
    /// The writes to disk that protect the queue from a crash.
    pub durability: Durability,
    /// The policy for a full memory, `maxmemory-policy`; none if the server does not report one. In
    /// a cluster, that of a node that evicts, if any does.
    pub eviction: Option<String>,
    /// The number of replicas that follow it.
    pub replicas: u64,
    /// The memory in use, in bytes.
    pub used_memory: u64,
    /// The limit of its memory, in bytes; none if there is no limit.
    pub max_memory: Option<u64>,
}

/// The ways in which a server writes to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// An append-only file, synced before every answer.
    Always,
    /// An append-only file, synced every second.
    EverySecond,
    /// An append-only file, synced when the operating system decides.
    Sometimes,
    /// An append-only file. This user may not ask when it is synced.
    AppendOnly,
    /// Snapshots from time to time.
    Snapshots,
    /// Nothing is written to disk.
    Nothing,
}

impl Durability {
    /// Describes for an operator how much a crash can lose.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Always => {
                "append-only file synced before every answer: no acknowledged job is lost in a \
                 crash"
            }
            Self::EverySecond => {
                "append-only file synced every second: a crash of its machine, or of Redis while \
                 the disk is slow, can lose the jobs and results of the last second or two"
            }
            Self::Sometimes => {
                "append-only file synced when the operating system decides: a crash of its machine \
                 can lose the jobs and results of about the last 30 seconds"
            }
            Self::AppendOnly => {
                "append-only file, sync policy unknown (CONFIG is not allowed): a crash of its \
                 machine can lose the last second or more"
            }
            Self::Snapshots => {
                "snapshots only: any crash or kill of Redis loses all jobs and results since the \
                 last snapshot"
            }
            Self::Nothing => "nothing is written to disk: any end of Redis loses the whole queue",
        }
    }

    /// Returns whether acknowledged jobs survive a crash of Redis itself.
    #[must_use]
    pub const fn survives_a_crash(self) -> bool {
        !matches!(self, Self::Snapshots | Self::Nothing)
    }
}

impl Server {
    /// The first major version with everything that the queue's scripts need; Valkey began with it.
    pub const LEAST: u32 = 7;

    /// Returns whether the version is new enough. A server that does not report its version counts
    /// as new.
    #[must_use]
    pub fn is_new_enough(&self) -> bool {
        let major = self.version.split('.').next().and_then(|major| major.parse().ok());
        major.is_none_or(|major: u32| major >= Self::LEAST)
    }

    /// Reads the answers of INFO, and of CONFIG GET where that is allowed.
    pub(crate) fn read(info: &str, config: Option<&HashMap<String, String>>) -> Self {
        let eviction = eviction(info);
        // The first of several nodes counts.
        let info: HashMap<&str, &str> =
            info.lines().rev().filter_map(|line| line.trim_end().split_once(':')).collect();
        let text = |name: &str| info.get(name).copied().unwrap_or_default();
        let number = |name: &str| text(name).parse().unwrap_or_default();
        let setting = |name: &str| config.and_then(|config| config.get(name)).map(String::as_str);
        let durability = match (text("aof_enabled"), setting("appendfsync"), setting("save")) {
            ("1", Some("always"), _) => Durability::Always,
            ("1", Some("everysec"), _) => Durability::EverySecond,
            ("1", Some(_), _) => Durability::Sometimes,
            ("1", None, _) => Durability::AppendOnly,
            (_, _, Some("")) => Durability::Nothing,
            _ => Durability::Snapshots,
        };
        let valkey = text("valkey_version");
        Self {
            kind: if valkey.is_empty() { "redis" } else { "valkey" },
            version: if valkey.is_empty() { text("redis_version") } else { valkey }.to_owned(),
            mode: text("redis_mode").to_owned(),
            durability,
            eviction,
            replicas: number("connected_slaves"),
            used_memory: number("used_memory"),
            max_memory: Some(number("maxmemory")).filter(|bytes| *bytes > 0),
        }
    }
}

/// The policy that deletes nothing.
const NO_EVICTION: &str = "noeviction";

/// Returns whether a Redis with this `maxmemory-policy` deletes keys when its memory is full. A
/// limit of 0 makes no difference: whoever sets one later does not think of the queue.
#[must_use]
pub fn evicts(policy: &str) -> bool {
    policy != NO_EVICTION
}

/// Returns the policy for a full memory from the answer of INFO, or from those of several nodes.
pub(crate) fn eviction(info: &str) -> Option<String> {
    let policies = info.lines().filter_map(|line| line.trim().strip_prefix("maxmemory_policy:"));
    policies.max_by_key(|policy| evicts(policy)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(aof: &str, config: &[(&str, &str)]) -> Server {
        let info = format!(
            "# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\naof_enabled:{aof}\r\n\
             maxmemory:0\r\nmaxmemory_policy:noeviction\r\nconnected_slaves:2\r\n"
        );
        let config: HashMap<_, _> =
            config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Server::read(&info, (!config.is_empty()).then_some(&config))
    }

    #[test]
    fn durability_follows_from_the_settings() {
        let durability = |aof, config: &[(&str, &str)]| read(aof, config).durability;
        assert_eq!(durability("1", &[("appendfsync", "always")]), Durability::Always);
        assert_eq!(durability("1", &[("appendfsync", "everysec")]), Durability::EverySecond);
        assert_eq!(durability("1", &[("appendfsync", "no")]), Durability::Sometimes);
        assert_eq!(durability("1", &[]), Durability::AppendOnly);
        assert_eq!(
            durability("0", &[("save", "3600 1"), ("appendfsync", "always")]),
            Durability::Snapshots
        );
        assert_eq!(durability("0", &[("save", "")]), Durability::Nothing);
    }

    #[test]
    fn a_policy_of_any_node_that_evicts_is_told() {
        let node = |policy: &str| format!("# Memory\r\nmaxmemory_policy:{policy}\r\n");
        let safe = node("noeviction");
        assert_eq!(eviction(&safe).as_deref(), Some("noeviction"));
        for info in [node("volatile-ttl") + &safe, safe + &node("volatile-ttl")] {
            assert_eq!(eviction(&info).as_deref(), Some("volatile-ttl"));
        }
        assert_eq!(eviction("maxmemory:0\r\n"), None);
        assert!(evicts("allkeys-lru") && !evicts("noeviction"));
    }

    #[test]
    fn a_server_reports_its_kind_and_version() {
        let server = read("1", &[]);
        assert_eq!(
            (server.kind, server.version.as_str(), server.replicas, server.max_memory),
            ("redis", "7.2.4", 2, None)
        );
        assert_eq!(
            Server::read("redis_version:7.2.4\nvalkey_version:8.1.0\n", None).kind,
            "valkey"
        );
        let versions = [("7.0.0", true), ("10.1", true), ("", true), ("6.2.14", false)];
        for (version, is_new_enough) in versions {
            let server = Server::read(&format!("redis_version:{version}\n"), None);
            assert_eq!(server.is_new_enough(), is_new_enough, "{version}");
        }
    }
}

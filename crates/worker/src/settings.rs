//! Reads the settings from `config/worker.toml`, the environment and the command line. The last
//! source wins, and each value knows its source.
//!
//! [`table`] is the only list of all settings. A test compares the shipped `config/worker.toml`
//! with it.

mod access;
mod table;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mission_core::gateway::Allowlist;
use mission_core::seeds::Seeds;
use mission_http::AccessSettings;
use mission_jobs::{Keep, Keyring, Tls};
use secrecy::SecretString;
use serde::Serialize;

use crate::environment;
use table::{Form, Setting, TABLE};

/// An error in the settings. It names the key, the source of its value and the remedy, but never
/// a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file is not readable.
    #[error("configuration file {path}: {source}; correct the path (--config or MISSION_CONFIG)")]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The underlying I/O error.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("configuration file {path}: {reason}")]
    Syntax {
        /// The path of the file.
        path: PathBuf,
        /// The line and the reason, as the parser reports them.
        reason: String,
    },
    /// The file contains a key that is not a setting.
    #[error("configuration file {path}: `{key}` is not a setting; `worker config` lists them")]
    Unknown {
        /// The path of the file.
        path: PathBuf,
        /// The unknown key.
        key: String,
    },
    /// A value has the wrong form or is out of range.
    #[error("{key} (from {origin}): {reason}")]
    Invalid {
        /// The key of the setting.
        key: &'static str,
        /// The source of the value.
        origin: Source,
        /// The problem and the remedy.
        reason: String,
    },
}

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The built-in default.
    Default,
    /// A line of the configuration file.
    File,
    /// An environment variable, by name.
    Environment(String),
    /// An option on the command line.
    Flag,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File => f.write_str("file"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The sources of values besides the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file given by `--config` or `MISSION_CONFIG`.
    pub file: Option<PathBuf>,
    /// The environment variables of the process.
    pub environment: BTreeMap<String, String>,
    /// The options of the command line by key.
    pub flags: BTreeMap<&'static str, String>,
}

/// The effective settings.
#[derive(Debug)]
pub struct Settings {
    /// URL of Redis; `None` starts a private Redis.
    pub redis_url: Option<SecretString>,
    /// Files for TLS with Redis.
    pub redis_tls: Tls,
    /// Name of the queue.
    pub queue: String,
    /// Address of the main backend's API.
    pub base_url: Option<String>,
    /// Directory of the local mirror; empty disables it.
    pub local_workspace_root: String,
    /// Directory of the operator's templates.
    pub templates_dir: Option<PathBuf>,
    /// `true` if shipped templates replace those missing in that directory.
    pub templates_shipped: bool,
    /// Directory for the device key, the local admin token and the private Redis.
    pub data_dir: PathBuf,
    /// Address on which the worker listens for HTTP.
    pub http_addr: SocketAddr,
    /// Rules of who may use the dashboard and the API.
    pub access: AccessSettings,
    /// Keys with which the secrets of jobs are sealed.
    pub keyring: Arc<Keyring>,
    /// Limit of jobs that run at the same time.
    pub concurrency: usize,
    /// Limit of jobs of one gateway that run at the same time.
    pub lane_concurrency: usize,
    /// Retention of done, superseded and cancelled jobs.
    pub keep_ended: Keep,
    /// Retention of dead jobs.
    pub keep_dead: Keep,
    /// Time for which a stopping worker lets running jobs finish.
    pub grace: Duration,
    /// Duration of the lease of a job.
    pub lease: Duration,
    /// Interval between renewals of a lease.
    pub renew: Duration,
    /// Interval between sweeps, which recover lost leases.
    pub sweep: Duration,
    /// Upper bound of each request to a gateway.
    pub call_timeout: Duration,
    /// Time for which a run waits for a restarting gateway.
    pub patience: Duration,
    /// Time after which an unused connection is closed.
    pub idle: Duration,
    /// File with CA certificates accepted for gateways, besides those of the system.
    pub gateway_ca_file: Option<PathBuf>,
    /// Addresses at which gateways are allowed.
    pub allowlist: Allowlist,
    /// Digests of files that gateways themselves write into new workspaces.
    pub seeds: Seeds,
    /// Filter of the log in the syntax of `tracing`.
    pub log_level: String,
    /// Format of the log: `auto`, `text` or `json`.
    pub log_format: String,
    values: Vec<InForce>,
}

/// The effective value of a setting, and its source.
#[derive(Debug, Clone, Serialize)]
pub struct InForce {
    /// The key in the form `section.name`.
    pub key: &'static str,
    /// The value, or `***` for a secret.
    pub value: String,
    /// The source of the value.
    pub source: Source,
}

impl Settings {
    /// Reads all sources and checks every value.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let file = match &sources.file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        let mut raw = BTreeMap::new();
        let mut values = Vec::new();
        for setting in TABLE {
            let (value, source) = pick(setting, sources, &file);
            check(setting, &value, &source)?;
            let secret = matches!(setting.form, Form::Secret | Form::Checked { secret: true, .. });
            let shown = if secret && !value.is_empty() { "***".into() } else { value.clone() };
            values.push(InForce { key: setting.key, value: shown, source });
            raw.insert(setting.key, value);
        }
        let raw = Raw(raw);
        let data_dir = raw.path("data.dir").unwrap_or_else(|| default_data_dir(sources));
        let settings = Self {
            redis_url: raw.text("redis.url").map(SecretString::from),
            redis_tls: Tls {
                ca_file: raw.path("redis.ca_file"),
                cert_file: raw.path("redis.cert_file"),
                key_file: raw.path("redis.key_file"),
            },
            queue: raw.0["redis.queue"].clone(),
            base_url: raw.text("agents.base_url"),
            local_workspace_root: raw.0["agents.local_workspace_root"].clone(),
            templates_dir: raw.path("templates.dir"),
            templates_shipped: raw.parsed("templates.shipped"),
            data_dir,
            http_addr: raw.parsed("http.addr"),
            access: access::read(&raw),
            keyring: Arc::new(raw.parsed("secrets.key")),
            concurrency: raw.parsed("worker.concurrency"),
            lane_concurrency: raw.parsed("worker.lane_concurrency"),
            keep_ended: raw.keep("keep.ended_days", "keep.ended_count"),
            keep_dead: raw.keep("keep.dead_days", "keep.dead_count"),
            grace: Duration::from_secs(raw.parsed("worker.grace_seconds")),
            lease: raw.millis("worker.lease_ms"),
            renew: raw.millis("worker.renew_ms"),
            sweep: raw.millis("worker.sweep_ms"),
            call_timeout: raw.millis("gateway.call_timeout_ms"),
            patience: raw.millis("gateway.patience_ms"),
            idle: raw.millis("gateway.idle_ms"),
            gateway_ca_file: raw.path("gateway.ca_file"),
            allowlist: raw.parsed("gateway.allowed"),
            seeds: Seeds::default().and(raw.parsed("gateway.seeds")),
            log_level: raw.0["log.level"].clone(),
            log_format: raw.0["log.format"].clone(),
            values,
        };
        settings.check_together()?;
        Ok(settings)
    }

    /// Returns every setting with its value and source, in the order of [`TABLE`].
    pub fn values(&self) -> &[InForce] {
        &self.values
    }

    /// Checks the rules that involve more than one value.
    fn check_together(&self) -> Result<(), SettingsError> {
        let invalid = |key, reason: &str| {
            let origin = self
                .values
                .iter()
                .find(|value| value.key == key)
                .map_or(Source::Default, |v| v.source.clone());
            Err(SettingsError::Invalid { key, origin, reason: reason.to_owned() })
        };
        if self.renew * 4 > self.lease {
            return invalid(
                "worker.renew_ms",
                "must be at most a quarter of worker.lease_ms; lower it or raise worker.lease_ms",
            );
        }
        if self.sweep * 4 > self.lease {
            return invalid(
                "worker.sweep_ms",
                "must be at most a quarter of worker.lease_ms; lower it or raise worker.lease_ms",
            );
        }
        Ok(())
    }
}

/// The checked values by key.
struct Raw(BTreeMap<&'static str, String>);

impl Raw {
    fn text(&self, key: &str) -> Option<String> {
        Some(self.0[key].trim()).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    fn parsed<T: FromStr>(&self, key: &str) -> T {
        self.0[key].parse().ok().expect("the form of every value was checked")
    }

    fn keep(&self, days: &str, count: &str) -> Keep {
        Keep {
            age: Duration::from_secs(self.parsed::<u64>(days) * 24 * 3600),
            count: self.parsed(count),
        }
    }

    fn millis(&self, key: &str) -> Duration {
        Duration::from_millis(self.parsed(key))
    }
}

fn pick(setting: &Setting, sources: &Sources, file: &BTreeMap<String, String>) -> (String, Source) {
    if let Some(value) = sources.flags.get(setting.key) {
        return (value.clone(), Source::Flag);
    }
    if let Some((name, value)) =
        setting.env.and_then(|name| Some((name, sources.environment.get(name)?)))
    {
        return (value.clone(), Source::Environment(name.to_owned()));
    }
    match file.get(setting.key) {
        Some(value) => (value.clone(), Source::File),
        None => (setting.default.to_owned(), Source::Default),
    }
}

fn check(setting: &Setting, value: &str, source: &Source) -> Result<(), SettingsError> {
    let wrong = match setting.form {
        Form::Text | Form::Secret => None,
        Form::Switch => value.parse::<bool>().is_err().then(|| "use true or false".to_owned()),
        Form::Number(least, most) => {
            let fits = value.parse::<u64>().is_ok_and(|number| (least..=most).contains(&number));
            (!fits).then(|| {
                format!("`{value}` is not valid; use a whole number from {least} to {most}")
            })
        }
        Form::Address => value
            .parse::<SocketAddr>()
            .is_err()
            .then(|| format!("`{value}` is not an address; use one such as {}", setting.default)),
        Form::Checked { check, .. } => check(value).err(),
        Form::Word(words) => (!words.contains(&value))
            .then(|| format!("`{value}` is not valid; use one of {}", words.join(", "))),
    };
    match wrong {
        None => Ok(()),
        Some(reason) => {
            Err(SettingsError::Invalid { key: setting.key, origin: source.clone(), reason })
        }
    }
}

/// Reads a file into a map from `section.name` to the value.
fn read_file(path: &PathBuf) -> Result<BTreeMap<String, String>, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Unreadable { path: path.clone(), source })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        SettingsError::Syntax { path: path.clone(), reason: error.to_string() }
    })?;
    let mut values = BTreeMap::new();
    for (section, content) in table {
        let toml::Value::Table(content) = content else {
            return Err(SettingsError::Unknown { path: path.clone(), key: section });
        };
        for (name, value) in content {
            let key = format!("{section}.{name}");
            if !TABLE.iter().any(|setting| setting.key == key) {
                return Err(SettingsError::Unknown { path: path.clone(), key });
            }
            let value = match value {
                toml::Value::String(text) => text,
                other => other.to_string(),
            };
            values.insert(key, value);
        }
    }
    Ok(values)
}

fn default_data_dir(sources: &Sources) -> PathBuf {
    match sources.environment.get(environment::HOME) {
        Some(home) if !home.is_empty() => PathBuf::from(home).join(".local/state/mission-worker"),
        _ => PathBuf::from("/var/lib/mission-worker"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: Option<PathBuf>,
        environment: &[(&str, &str)],
    ) -> Result<Settings, SettingsError> {
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::load(&Sources { file, environment, flags: BTreeMap::new() })
    }

    #[test]
    fn the_shipped_file_has_every_setting_with_its_default() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/worker.toml"));
        let text = std::fs::read_to_string(&path).expect("the shipped file");
        // The settings in the file are commented out as `# name = value`. Without these marks, the
        // file must be valid.
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest)
                    if rest.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) =>
                {
                    format!("{rest}\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let whole = dir.path().join("worker.toml");
        std::fs::write(&whole, uncommented).expect("written");
        let values = read_file(&whole).expect("every key in it is a setting");
        for setting in TABLE {
            assert_eq!(
                values.get(setting.key).map(String::as_str),
                Some(setting.default),
                "{}",
                setting.key
            );
        }
        load(Some(path), &[]).expect("the shipped file can be used as it is");
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let settings =
            load(None, &[(environment::QUEUE, "other"), (environment::REDIS_URL, "redis://:pw@h")])
                .expect("valid");
        assert_eq!(settings.queue, "other");
        let shown = |key| {
            settings.values().iter().find(|value| value.key == key).expect("a setting").clone()
        };
        assert_eq!(shown("redis.queue").source, Source::Environment(environment::QUEUE.into()));
        assert_eq!(shown("redis.url").value, "***");
        assert_eq!(shown("worker.concurrency").source, Source::Default);
    }

    #[test]
    fn numbers_end_where_their_ranges_do() {
        for setting in TABLE {
            let Form::Number(least, most) = setting.form else { continue };
            let fits = |value: u64| check(setting, &value.to_string(), &Source::Default).is_ok();
            let inside = fits(least) && fits(most);
            let outside = least.checked_sub(1).is_some_and(fits) || fits(most + 1);
            assert!(inside && !outside, "{}", setting.key);
        }
    }

    #[test]
    fn wrong_values_are_named_with_their_source_and_remedy() {
        let error = load(None, &[(environment::HTTP_ADDR, "8080")])
            .expect_err("not an address")
            .to_string();
        assert_eq!(
            error,
            "http.addr (from MISSION_HTTP_ADDR): `8080` is not an address; use one such as \
                127.0.0.1:8787"
        );
        let error =
            load(None, &[(environment::SECRET_KEY, "hunter2")]).expect_err("no key").to_string();
        assert_eq!(
            error,
            "secrets.key (from MISSION_SECRET_KEY): key 1 is not base64 of 32 bytes; `worker key \
                new` makes one"
        );
    }
}

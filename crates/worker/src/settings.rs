//! Settings: `config/worker.toml`, then the environment, then flags; each value knows where it came
//! from.
//!
//! [`table`] is the one list of all settings. The shipped `config/worker.toml` is checked against
//! it by a test.

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
use mission_jobs::{Keep, Keyring, Tls};
use secrecy::SecretString;
use serde::Serialize;

use crate::environment;
pub use access::AccessSettings;
use table::{Form, Setting, TABLE};

/// Why the settings cannot be used. Names the key, where its value came from, and the remedy; never
/// a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("configuration file {path}: {source}; correct the path (--config or MISSION_CONFIG)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("configuration file {path}: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        reason: String,
    },
    /// The file has a key that is no setting.
    #[error("configuration file {path}: `{key}` is not a setting; `worker config` lists them")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A value is not what it may be.
    #[error("{key} (from {origin}): {reason}")]
    Invalid {
        /// The setting.
        key: &'static str,
        /// Where the value came from.
        origin: Source,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File,
    /// An environment variable, by name.
    Environment(String),
    /// A flag of the command line.
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

/// Where to look for values, besides the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// `--config` or `MISSION_CONFIG`.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: BTreeMap<String, String>,
    /// Flags, by key.
    pub flags: BTreeMap<&'static str, String>,
}

/// The settings in force.
#[derive(Debug)]
pub struct Settings {
    /// Where Redis is; none starts a private one.
    pub redis_url: Option<SecretString>,
    /// Files for TLS with Redis.
    pub redis_tls: Tls,
    /// Name of the queue.
    pub queue: String,
    /// Address of the main backend's API.
    pub base_url: Option<String>,
    /// Folder of the local mirror; empty is off.
    pub local_workspace_root: String,
    /// Folder of the operator's templates.
    pub templates_dir: Option<PathBuf>,
    /// Whether shipped texts serve for what that folder does not have.
    pub templates_shipped: bool,
    /// Folder for what the worker keeps: the device key, the private Redis.
    pub data_dir: PathBuf,
    /// Where the worker listens for HTTP.
    pub http_addr: SocketAddr,
    /// Whom it lets in there.
    pub access: AccessSettings,
    /// Keys that the secrets of jobs are sealed with.
    pub keyring: Arc<Keyring>,
    /// Jobs at once.
    pub concurrency: usize,
    /// Jobs of one gateway at once.
    pub lane_concurrency: usize,
    /// What is kept of done, superseded and cancelled jobs.
    pub keep_ended: Keep,
    /// What is kept of dead jobs.
    pub keep_dead: Keep,
    /// How long a stopping worker lets running jobs finish.
    pub grace: Duration,
    /// How long a job's lease lasts.
    pub lease: Duration,
    /// How often leases are renewed.
    pub renew: Duration,
    /// How often lost leases are looked for.
    pub sweep: Duration,
    /// Upper bound of each request to a gateway.
    pub call_timeout: Duration,
    /// How long a run waits for a gateway that restarts.
    pub patience: Duration,
    /// After how long an unused connection is closed.
    pub idle: Duration,
    /// Certificates of authorities that may vouch for gateways, besides those of the system.
    pub gateway_ca_file: Option<PathBuf>,
    /// Where gateways may be.
    pub reach: Allowlist,
    /// `gateway.seeds`: what gateways themselves write into new workspaces.
    pub seeds: Seeds,
    /// Filter of the log, as `tracing` reads it.
    pub log_level: String,
    /// `auto`, `text` or `json`.
    pub log_format: String,
    values: Vec<InForce>,
}

/// What a setting is and where that came from.
#[derive(Debug, Clone, Serialize)]
pub struct InForce {
    /// `section.name`.
    pub key: &'static str,
    /// The value; secrets as `***`.
    pub value: String,
    /// Where it came from.
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
            access: AccessSettings::read(&raw),
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
            reach: raw.parsed("gateway.allowed"),
            seeds: Seeds::default().and(raw.parsed("gateway.seeds")),
            log_level: raw.0["log.level"].clone(),
            log_format: raw.0["log.format"].clone(),
            values,
        };
        settings.check_together()?;
        Ok(settings)
    }

    /// Every setting with its value and where it came from, in the order of [`TABLE`].
    pub fn values(&self) -> &[InForce] {
        &self.values
    }

    /// Rules that need more than one value.
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
                "a lease must last four renewals; raise worker.lease_ms or lower this",
            );
        }
        if self.sweep * 4 > self.lease {
            return invalid(
                "worker.sweep_ms",
                "a lease must last four sweeps; raise worker.lease_ms or lower this",
            );
        }
        Ok(())
    }
}

/// Checked values by key.
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
                format!("`{value}` does not fit; use a whole number from {least} to {most}")
            })
        }
        Form::Address => value
            .parse::<SocketAddr>()
            .is_err()
            .then(|| format!("`{value}` is not an address; use one such as {}", setting.default)),
        Form::Checked { check, .. } => check(value).err(),
        Form::Word(words) => (!words.contains(&value))
            .then(|| format!("`{value}` is not known; use one of {}", words.join(", "))),
    };
    match wrong {
        None => Ok(()),
        Some(reason) => {
            Err(SettingsError::Invalid { key: setting.key, origin: source.clone(), reason })
        }
    }
}

/// Reads a file into `section.name` → value.
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
        // Settings stand there commented out, as `# name = value`; with the marks removed it must
        // be a whole file.
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

//! Reads the settings from `config/worker.toml`, the environment and the command line. The last
//! source wins, and each value knows its source.
//!
//! [`table`] declares each setting once. A test compares the shipped `config/worker.toml` with the
//! declarations.

mod parsers;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::environment;
pub use table::{Flags, Settings};
use table::{Setting, TABLE};

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

/// The effective value of a setting, and its source.
#[derive(Debug, Clone, Serialize)]
pub struct InForce {
    /// The key in the form `section.name`.
    pub key: &'static str,
    /// The value, or the mask of a secret.
    pub value: String,
    /// The source of the value.
    pub source: Source,
}

impl Settings {
    /// Reads all sources and checks every value.
    pub fn load(sources: &Sources) -> Result<Self, SettingsError> {
        let file = sources.file.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let mut settings = Self::read(Reader { sources, file, values: Vec::new() })?;
        if settings.data_dir.as_os_str().is_empty() {
            settings.data_dir = default_data_dir(sources);
        }
        settings.check_together()?;
        Ok(settings)
    }

    /// Checks the rules that involve more than one value.
    fn check_together(&self) -> Result<(), SettingsError> {
        for (key, time) in [("worker.renew_ms", self.renew), ("worker.sweep_ms", self.sweep)] {
            if time * 4 > self.lease {
                let value = self.values.iter().find(|value| value.key == key);
                return Err(SettingsError::Invalid {
                    key,
                    origin: value.expect("it is a setting").source.clone(),
                    reason: "must be at most a quarter of worker.lease_ms; lower it or raise \
                             worker.lease_ms"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Reads the settings one by one, and keeps their texts and sources.
struct Reader<'a> {
    sources: &'a Sources,
    /// The values of the file by key.
    file: BTreeMap<String, String>,
    values: Vec<InForce>,
}

impl Reader<'_> {
    /// Reads a setting with its parser, whose error is the problem and the remedy.
    fn read<T>(
        &mut self,
        key: &'static str,
        parse: fn(&Setting, &str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        let setting = TABLE.iter().find(|setting| setting.key == key).expect("it is declared");
        let (value, source) = self.pick(setting);
        let parsed = parse(setting, &value).map_err(|reason| SettingsError::Invalid {
            key,
            origin: source.clone(),
            reason,
        })?;
        let mask = setting.mask.filter(|_| !value.is_empty());
        let value = mask.map_or(value, str::to_owned);
        self.values.push(InForce { key, value, source });
        Ok(parsed)
    }

    /// Returns the value of a setting from the last source that gives one.
    fn pick(&self, setting: &Setting) -> (String, Source) {
        let flag = self.sources.flags.get(setting.key).map(|value| (value, Source::Flag));
        let variable = || {
            let name = setting.variable?;
            let value = self.sources.environment.get(name)?;
            Some((value, Source::Environment(name.to_owned())))
        };
        let file = || self.file.get(setting.key).map(|value| (value, Source::File));
        match flag.or_else(variable).or_else(file) {
            Some((value, source)) => (value.clone(), source),
            None => (setting.default.to_owned(), Source::Default),
        }
    }
}

/// Reads a file into a map from `section.name` to the value.
fn read_file(path: &Path) -> Result<BTreeMap<String, String>, SettingsError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(SettingsError::Unreadable { path, source }),
    };
    // Some editors write a byte order mark.
    let table: toml::Table = match text.strip_prefix('\u{feff}').unwrap_or(&text).parse() {
        Ok(table) => table,
        Err(error) => return Err(SettingsError::Syntax { path, reason: error.to_string() }),
    };
    let mut values = BTreeMap::new();
    for (section, content) in table {
        let toml::Value::Table(content) = content else {
            return Err(SettingsError::Unknown { path, key: section });
        };
        for (name, value) in content {
            let key = format!("{section}.{name}");
            if !TABLE.iter().any(|setting| setting.key == key) {
                return Err(SettingsError::Unknown { path, key });
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
    fn the_shipped_file_has_every_setting_with_its_default_variable_and_range() {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/worker.toml"));
        let text = std::fs::read_to_string(&path).expect("the shipped file");
        // The settings in the file are commented out as `# name = value`. Without these marks, the
        // file must be valid.
        let is_setting =
            |rest: &&str| rest.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
        let lines =
            text.lines().map(|line| line.strip_prefix("# ").filter(is_setting).unwrap_or(line));
        let uncommented = lines.collect::<Vec<_>>().join("\n");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let whole = dir.path().join("worker.toml");
        std::fs::write(&whole, &uncommented).expect("written");
        let values = read_file(&whole).expect("every key in it is a setting");
        for setting in TABLE {
            let Setting { key, variable, default, range, .. } = setting;
            assert_eq!(values.get(*key).map(String::as_str), Some(*default), "{key}");
            let (section, name) = key.split_once('.').expect("a section and a name");
            let (_, section) =
                uncommented.split_once(&format!("[{section}]\n")).expect("a section");
            let (before, _) = section.split_once(&format!("\n{name} = ")).expect("its line");
            let range = range.as_ref().map(|range| format!("{} to {}", range.start(), range.end()));
            for said in variable.map(str::to_owned).iter().chain(&range) {
                assert!(before.contains(said), "{key}: no {said}");
            }
        }
        load(Some(path), &[]).expect("the shipped file can be used as it is");
    }

    #[test]
    fn later_sources_win_and_are_named() {
        let settings =
            load(None, &[("MISSION_QUEUE", "other"), ("MISSION_REDIS_URL", "redis://:pw@h")])
                .expect("valid");
        assert_eq!(settings.queue, "other");
        let shown =
            |key| settings.values.iter().find(|value| value.key == key).expect("a setting").clone();
        assert_eq!(shown("redis.queue").source, Source::Environment("MISSION_QUEUE".into()));
        assert_eq!(shown("redis.url").value, "***");
        assert_eq!(shown("worker.concurrency").source, Source::Default);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_file() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("worker.toml");
        std::fs::write(&path, "\u{feff}[redis]\nqueue = \"other\"\n").expect("written");
        assert_eq!(load(Some(path), &[]).expect("valid").queue, "other");
    }

    #[test]
    fn numbers_end_where_their_ranges_do() {
        for Setting { key, range, .. } in TABLE {
            let Some((least, most)) = range.clone().map(std::ops::RangeInclusive::into_inner)
            else {
                continue;
            };
            let fits = |value: u64| {
                let flags = [(*key, value.to_string())].into();
                let sources = Sources { flags, ..Sources::default() };
                let (file, values) = (BTreeMap::new(), Vec::new());
                Settings::read(Reader { sources: &sources, file, values }).is_ok()
            };
            let inside = fits(least) && fits(most);
            let outside = least.checked_sub(1).is_some_and(fits) || fits(most + 1);
            assert!(inside && !outside, "{key}");
        }
    }

    #[test]
    fn wrong_values_are_named_with_their_source_and_remedy() {
        let error =
            load(None, &[("MISSION_HTTP_ADDR", "8080")]).expect_err("not an address").to_string();
        assert_eq!(
            error,
            "http.addr (from MISSION_HTTP_ADDR): `8080` is not an address; use one such as \
                127.0.0.1:8787"
        );
        let error =
            load(None, &[("MISSION_SECRET_KEY", "hunter2")]).expect_err("no key").to_string();
        assert_eq!(
            error,
            "secrets.key (from MISSION_SECRET_KEY): key 1 is not base64 of 32 bytes; `worker key \
                new` makes one"
        );
    }
}

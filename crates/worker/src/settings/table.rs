//! Lists all settings.

use mission_core::gateway::Allowlist;
use mission_core::seeds::Seeds;
use mission_jobs::Keyring;

use super::access;
use crate::environment;

/// A setting: its key in the file, its environment variable, its default and the allowed values.
pub struct Setting {
    /// The key in the file, in the form `section.name`.
    pub key: &'static str,
    /// The environment variable, if there is one.
    pub env: Option<&'static str>,
    /// The value if no source sets it.
    pub default: &'static str,
    /// The form of allowed values.
    pub form: Form,
}

/// The form of the values of a setting.
#[derive(Clone, Copy)]
pub enum Form {
    /// Any text; empty means not set.
    Text,
    /// A text that is never shown.
    Secret,
    /// A text that the function accepts.
    Checked {
        /// Returns the problem and the remedy as its error.
        check: fn(&str) -> Result<(), String>,
        /// `true` if the value is never shown.
        secret: bool,
    },
    /// Either `true` or `false`.
    Switch,
    /// A whole number within a range, both ends included.
    Number(u64, u64),
    /// An IP address with a port.
    Address,
    /// One of these words.
    Word(&'static [&'static str]),
}

const fn setting(
    key: &'static str,
    env: Option<&'static str>,
    default: &'static str,
    form: Form,
) -> Setting {
    Setting { key, env, default, form }
}

const HEADER: Form = Form::Checked { check: access::check_header, secret: false };

fn check_keys(keys: &str) -> Result<(), String> {
    keys.parse::<Keyring>().map(drop).map_err(|error| error.to_string())
}

fn check_allowlist(places: &str) -> Result<(), String> {
    places.parse::<Allowlist>().map(drop).map_err(|error| error.to_string())
}

fn check_seeds(digests: &str) -> Result<(), String> {
    digests.parse::<Seeds>().map(drop).map_err(|error| error.to_string())
}

/// All settings, in the order of `config/worker.toml`.
pub const TABLE: &[Setting] = &[
    setting("redis.url", Some(environment::REDIS_URL), "", Form::Secret),
    setting("redis.ca_file", Some(environment::REDIS_CA_FILE), "", Form::Text),
    setting("redis.cert_file", Some(environment::REDIS_CERT_FILE), "", Form::Text),
    setting("redis.key_file", Some(environment::REDIS_KEY_FILE), "", Form::Text),
    setting("redis.queue", Some(environment::QUEUE), "mission", Form::Text),
    setting("agents.base_url", Some(environment::BASE_URL), "", Form::Text),
    setting("agents.local_workspace_root", Some(environment::LOCAL_WORKSPACE_ROOT), "", Form::Text),
    setting("templates.dir", Some(environment::TEMPLATES_DIR), "", Form::Text),
    setting("templates.shipped", None, "true", Form::Switch),
    setting("data.dir", Some(environment::DATA_DIR), "", Form::Text),
    setting("http.addr", Some(environment::HTTP_ADDR), "127.0.0.1:8787", Form::Address),
    setting(
        "http.api_token",
        Some(environment::API_TOKEN),
        "",
        Form::Checked { check: access::check_api_token, secret: true },
    ),
    setting(
        "http.tokens",
        Some(environment::HTTP_TOKENS),
        "",
        Form::Checked { check: access::check_tokens, secret: true },
    ),
    setting(
        "http.proxies",
        Some(environment::HTTP_PROXIES),
        "",
        Form::Checked { check: access::check_networks, secret: false },
    ),
    setting("http.user_header", Some(environment::HTTP_USER_HEADER), "", HEADER),
    setting("http.role_header", Some(environment::HTTP_ROLE_HEADER), "", HEADER),
    setting("http.read_only", Some(environment::HTTP_READ_ONLY), "false", Form::Switch),
    setting("http.requests_per_second", None, "50", Form::Number(0, 100_000)),
    setting(
        "secrets.key",
        Some(environment::SECRET_KEY),
        "",
        Form::Checked { check: check_keys, secret: true },
    ),
    setting("worker.concurrency", None, "256", Form::Number(1, 1024)),
    setting("worker.lane_concurrency", None, "64", Form::Number(1, 256)),
    setting("worker.grace_seconds", None, "25", Form::Number(0, 600)),
    setting("worker.lease_ms", None, "20000", Form::Number(1_000, 300_000)),
    setting("worker.renew_ms", None, "5000", Form::Number(200, 60_000)),
    setting("worker.sweep_ms", None, "5000", Form::Number(200, 60_000)),
    setting("keep.ended_days", None, "7", Form::Number(0, 3650)),
    setting("keep.ended_count", None, "10000", Form::Number(0, 10_000_000)),
    setting("keep.dead_days", None, "30", Form::Number(0, 3650)),
    setting("keep.dead_count", None, "10000", Form::Number(0, 10_000_000)),
    setting("gateway.call_timeout_ms", None, "120000", Form::Number(500, 600_000)),
    setting("gateway.patience_ms", None, "30000", Form::Number(0, 300_000)),
    setting("gateway.idle_ms", None, "60000", Form::Number(1_000, 3_600_000)),
    setting(
        "gateway.allowed",
        Some(environment::GATEWAY_ALLOWED),
        "",
        Form::Checked { check: check_allowlist, secret: false },
    ),
    setting(
        "gateway.seeds",
        Some(environment::GATEWAY_SEEDS),
        "",
        Form::Checked { check: check_seeds, secret: false },
    ),
    setting("gateway.ca_file", Some(environment::GATEWAY_CA_FILE), "", Form::Text),
    setting("log.level", None, "info", Form::Text),
    setting("log.format", None, "auto", Form::Word(&["auto", "text", "json"])),
];

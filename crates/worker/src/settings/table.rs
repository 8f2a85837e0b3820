//! Declares all settings.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use mission_core::gateway::Allowlist;
use mission_core::seeds::Seeds;
use mission_http::proxy::{HeaderName, IpNet};
use mission_http::token::Token;
use mission_jobs::Keyring;
use secrecy::SecretString;

use super::parsers::{
    address, api_token, days, folder, header, keys, log_format, millis, networks, number, optional,
    parsed, seconds, seeds, switch, tokens,
};
use super::{InForce, Reader, SettingsError};

/// The declaration of a setting.
pub struct Setting {
    /// The key in the file, in the form `section.name`.
    pub key: &'static str,
    /// The environment variable, if there is one.
    pub variable: Option<&'static str>,
    /// The value if no source sets it.
    pub default: &'static str,
    /// The allowed numbers, both ends included.
    pub range: Option<RangeInclusive<u64>>,
    /// The text that is shown instead of a secret value.
    pub mask: Option<&'static str>,
}

macro_rules! option {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

/// Declares all settings in the order of `worker config`, each as
///
/// ```text
/// /// Meaning of the field.
/// "key" | "VARIABLE" => field: Type = parser("default"), in least..=most, shown as "mask";
/// ```
///
/// From this come the struct [`Settings`], which reads each field with its parser, the [`TABLE`]
/// of all settings, and the [`Flags`] of those with `| flag name("VALUE", "Help.")` after the
/// variable.
macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $key:literal $(| $variable:literal)? $(| flag $flag:ident($value:literal, $help:literal))?
            => $field:ident: $type:ty = $parser:ident($default:literal)
            $(, in $range:expr)? $(, shown as $mask:literal)?;
    )*) => {
        /// The effective settings.
        #[derive(Debug)]
        pub struct Settings {
            $($(#[$doc])* pub $field: $type,)*
            /// Every setting with its value and source, in the order of [`TABLE`].
            pub values: Vec<InForce>,
        }

        /// All settings, in the order of `worker config`.
        pub(super) const TABLE: &[Setting] = &[$(Setting {
            key: $key,
            variable: option!($($variable)?),
            default: $default,
            range: option!($($range)?),
            mask: option!($($mask)?),
        }),*];

        impl Settings {
            /// Reads every setting with its parser.
            pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, SettingsError> {
                Ok(Self {
                    $($field: reader.read($key, $parser)?,)*
                    values: reader.values,
                })
            }
        }

        /// The options of the command line that set a setting.
        #[derive(Debug, Args)]
        pub struct Flags {
            $($(
                #[doc = $help]
                #[arg(long, global = true, value_name = $value)]
                $flag: Option<String>,
            )?)*
        }

        impl Flags {
            /// Returns the given options by key.
            pub fn by_key(&self) -> BTreeMap<&'static str, String> {
                let flags = [$($(($key, &self.$flag),)?)*];
                flags.into_iter().filter_map(|(key, value)| Some((key, value.clone()?))).collect()
            }
        }
    };
}

settings! {
    /// URL of Redis; `None` starts a private Redis.
    "redis.url" | "MISSION_REDIS_URL"
        | flag redis_url("URL", "URL of Redis; without one, the worker starts a private Redis.")
        => redis_url: Option<SecretString> = optional(""), shown as "***";
    /// File with the CA certificates that are accepted for Redis.
    "redis.ca_file" | "MISSION_REDIS_CA_FILE" => redis_ca_file: Option<PathBuf> = optional("");
    /// File with the client certificate for Redis.
    "redis.cert_file" | "MISSION_REDIS_CERT_FILE"
        => redis_cert_file: Option<PathBuf> = optional("");
    /// File with the key of that certificate.
    "redis.key_file" | "MISSION_REDIS_KEY_FILE" => redis_key_file: Option<PathBuf> = optional("");
    /// `true` if a worker may run on a Redis that deletes keys when its memory is full.
    "redis.allow_eviction" | "MISSION_REDIS_ALLOW_EVICTION"
        => allow_eviction: bool = switch("false");
    /// Name of the queue.
    "redis.queue" | "MISSION_QUEUE" | flag queue("NAME", "Name of the queue.")
        => queue: String = parsed("mission");
    /// Number of shards of the queue.
    "redis.shards" | "MISSION_SHARDS"
        | flag shards("NUMBER", "Number of shards of the queue, fixed when it is created.")
        => shards: usize = number("1"), in 1..=64;
    /// Address of the main backend's API.
    "agents.base_url" | "MISSION_BASE_URL" => base_url: Option<String> = optional("");
    /// Directory of the local mirror; empty disables it.
    "agents.local_workspace_root" | "MISSION_LOCAL_WORKSPACE_ROOT"
        => local_workspace_root: String = parsed("");
    /// Directory of the operator's templates.
    "templates.dir" | "MISSION_TEMPLATES_DIR" => templates_dir: Option<PathBuf> = optional("");
    /// `true` if shipped templates replace those missing in that directory.
    "templates.shipped" => templates_shipped: bool = switch("true");
    /// Directory for the device key, the local admin token and the private Redis.
    "data.dir" | "MISSION_DATA_DIR"
        | flag data_dir("DIR", "Directory for the device key, tokens and the private Redis.")
        => data_dir: PathBuf = folder("");
    /// Address on which the worker listens for HTTP.
    "http.addr" | "MISSION_HTTP_ADDR" | flag http_addr("ADDR", "Listen for HTTP on this address.")
        => http_addr: SocketAddr = address("127.0.0.1:8787");
    /// A further token, of an admin.
    "http.api_token" | "MISSION_API_TOKEN"
        => api_token: Option<SecretString> = api_token(""), shown as "***";
    /// Tokens for the dashboard and the API.
    "http.tokens" | "MISSION_HTTP_TOKENS"
        => tokens: Vec<Token> = tokens(""), shown as "***";
    /// Networks of the trusted reverse proxies.
    "http.proxies" | "MISSION_HTTP_PROXIES" => proxies: Vec<IpNet> = networks("");
    /// Header in which trusted proxies name the user.
    "http.user_header" | "MISSION_HTTP_USER_HEADER" => user_header: Option<HeaderName> = header("");
    /// Header in which trusted proxies name the user's roles.
    "http.role_header" | "MISSION_HTTP_ROLE_HEADER" => role_header: Option<HeaderName> = header("");
    /// `true` if every user may only read.
    "http.read_only" | "MISSION_HTTP_READ_ONLY" => read_only: bool = switch("false");
    /// Limit of requests per second from one address; 0 sets none.
    "http.requests_per_second" => requests_per_second: u32 = number("50"), in 0..=100_000;
    /// Keys with which the secrets of jobs are sealed.
    "secrets.key" | "MISSION_SECRET_KEY" => keyring: Arc<Keyring> = keys(""), shown as "***";
    /// Limit of jobs that run at the same time.
    "worker.concurrency" => concurrency: usize = number("256"), in 1..=1024;
    /// Limit of jobs of one gateway that run at the same time.
    "worker.lane_concurrency" => lane_concurrency: usize = number("64"), in 1..=256;
    /// Time for which a stopping worker lets running jobs finish.
    "worker.grace_seconds" => grace: Duration = seconds("25"), in 0..=600;
    /// Duration of the lease of a job.
    "worker.lease_ms" => lease: Duration = millis("20000"), in 1_000..=300_000;
    /// Interval between renewals of a lease.
    "worker.renew_ms" => renew: Duration = millis("5000"), in 200..=60_000;
    /// Interval between sweeps, which recover lost leases.
    "worker.sweep_ms" => sweep: Duration = millis("5000"), in 200..=60_000;
    /// Time for which done, superseded and cancelled jobs are kept.
    "keep.ended_days" => keep_ended_for: Duration = days("7"), in 0..=3650;
    /// Limit of kept jobs of each of these states.
    "keep.ended_count" => keep_ended: u64 = number("10000"), in 0..=10_000_000;
    /// Time for which dead jobs are kept.
    "keep.dead_days" => keep_dead_for: Duration = days("30"), in 0..=3650;
    /// Limit of kept dead jobs.
    "keep.dead_count" => keep_dead: u64 = number("10000"), in 0..=10_000_000;
    /// Upper bound of each request to a gateway.
    "gateway.call_timeout_ms" => call_timeout: Duration = millis("120000"), in 500..=600_000;
    /// Time for which a run waits for a restarting gateway.
    "gateway.patience_ms" => patience: Duration = millis("30000"), in 0..=300_000;
    /// Time after which jobs of a gateway that is away are dead; zero waits for ever.
    "gateway.give_up_days" => give_up_gateway_after: Duration = days("7"), in 0..=3650;
    /// Time after which an unused connection is closed.
    "gateway.idle_ms" => idle: Duration = millis("60000"), in 1_000..=3_600_000;
    /// Addresses at which gateways are allowed.
    "gateway.allowed" | "MISSION_GATEWAY_ALLOWED" => allowlist: Allowlist = parsed("");
    /// Digests of files that gateways themselves write into new workspaces.
    "gateway.seeds" | "MISSION_GATEWAY_SEEDS" => seeds: Seeds = seeds("");
    /// File with CA certificates accepted for gateways, besides those of the system.
    "gateway.ca_file" | "MISSION_GATEWAY_CA_FILE"
        => gateway_ca_file: Option<PathBuf> = optional("");
    /// Filter of the log in the syntax of `tracing`.
    "log.level" => log_level: String = parsed("info");
    /// Format of the log: `auto`, `text` or `json`.
    "log.format" => log_format: String = log_format("auto");
}

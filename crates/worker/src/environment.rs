//! The names of all environment variables that the worker reads.

/// Path of the configuration file.
pub const CONFIG: &str = "MISSION_CONFIG";
/// Where Redis is.
pub const REDIS_URL: &str = "MISSION_REDIS_URL";
/// Certificates of the authorities that may vouch for Redis.
pub const REDIS_CA_FILE: &str = "MISSION_REDIS_CA_FILE";
/// The worker's certificate for Redis.
pub const REDIS_CERT_FILE: &str = "MISSION_REDIS_CERT_FILE";
/// Its key.
pub const REDIS_KEY_FILE: &str = "MISSION_REDIS_KEY_FILE";
/// Name of the queue.
pub const QUEUE: &str = "MISSION_QUEUE";
/// Address of the main backend's API.
pub const BASE_URL: &str = "MISSION_BASE_URL";
/// Folder of the local mirror.
pub const LOCAL_WORKSPACE_ROOT: &str = "MISSION_LOCAL_WORKSPACE_ROOT";
/// Folder of the operator's templates.
pub const TEMPLATES_DIR: &str = "MISSION_TEMPLATES_DIR";
/// Folder for what the worker keeps.
pub const DATA_DIR: &str = "MISSION_DATA_DIR";
/// Where the worker listens for HTTP.
pub const HTTP_ADDR: &str = "MISSION_HTTP_ADDR";
/// A token of the HTTP API for an admin.
pub const API_TOKEN: &str = "MISSION_API_TOKEN";
/// Who was given tokens of the dashboard and the HTTP API.
pub const HTTP_TOKENS: &str = "MISSION_HTTP_TOKENS";
/// Networks of reverse proxies that are trusted.
pub const HTTP_PROXIES: &str = "MISSION_HTTP_PROXIES";
/// The header in which they name the user.
pub const HTTP_USER_HEADER: &str = "MISSION_HTTP_USER_HEADER";
/// The header in which they name the user's roles.
pub const HTTP_ROLE_HEADER: &str = "MISSION_HTTP_ROLE_HEADER";
/// Whether everybody may only look.
pub const HTTP_READ_ONLY: &str = "MISSION_HTTP_READ_ONLY";
/// Keys that secrets are sealed with.
pub const SECRET_KEY: &str = "MISSION_SECRET_KEY";
/// Certificates of the authorities that may vouch for gateways.
pub const GATEWAY_CA_FILE: &str = "MISSION_GATEWAY_CA_FILE";
/// What gateways themselves write into new workspaces.
pub const GATEWAY_SEEDS: &str = "MISSION_GATEWAY_SEEDS";
/// Where gateways may be.
pub const GATEWAY_ALLOWED: &str = "MISSION_GATEWAY_ALLOWED";
/// Where traces are sent, as OpenTelemetry has it: `/v1/traces` is put behind it. None are sent
/// without.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The whole address for traces; before the other.
pub const OTLP_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Headers for the collector, `name=value,…`. Secret.
pub const OTLP_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Those for traces; before the others.
pub const OTLP_TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
/// The name of the service in traces.
pub const OTEL_SERVICE: &str = "OTEL_SERVICE_NAME";
/// What else is said of it, `name=value,…`.
pub const OTEL_RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// `true` sends no traces whatever else is set.
pub const OTEL_DISABLED: &str = "OTEL_SDK_DISABLED";
/// Set to anything, it asks programs not to use colours.
pub const NO_COLOR: &str = "NO_COLOR";
/// Home folder; the data directory is below it by default.
pub const HOME: &str = "HOME";
/// The user's name, for the record of who did what.
pub const USER: &str = "USER";

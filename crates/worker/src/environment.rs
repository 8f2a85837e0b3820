//! Defines the names of all environment variables that the worker reads.

/// Path of the configuration file.
pub const CONFIG: &str = "MISSION_CONFIG";
/// URL of the Redis server.
pub const REDIS_URL: &str = "MISSION_REDIS_URL";
/// File with the CA certificates that are accepted for Redis.
pub const REDIS_CA_FILE: &str = "MISSION_REDIS_CA_FILE";
/// File with the client certificate for Redis.
pub const REDIS_CERT_FILE: &str = "MISSION_REDIS_CERT_FILE";
/// File with the key of that certificate.
pub const REDIS_KEY_FILE: &str = "MISSION_REDIS_KEY_FILE";
/// Name of the queue.
pub const QUEUE: &str = "MISSION_QUEUE";
/// Address of the main backend's API.
pub const BASE_URL: &str = "MISSION_BASE_URL";
/// Directory of the local mirror.
pub const LOCAL_WORKSPACE_ROOT: &str = "MISSION_LOCAL_WORKSPACE_ROOT";
/// Directory of the operator's templates.
pub const TEMPLATES_DIR: &str = "MISSION_TEMPLATES_DIR";
/// Directory for the device key, tokens and the private Redis.
pub const DATA_DIR: &str = "MISSION_DATA_DIR";
/// Address on which the worker listens for HTTP.
pub const HTTP_ADDR: &str = "MISSION_HTTP_ADDR";
/// An admin token of the HTTP API.
pub const API_TOKEN: &str = "MISSION_API_TOKEN";
/// Entries of the tokens for the dashboard and the HTTP API.
pub const HTTP_TOKENS: &str = "MISSION_HTTP_TOKENS";
/// Networks of reverse proxies that are trusted.
pub const HTTP_PROXIES: &str = "MISSION_HTTP_PROXIES";
/// The header in which trusted proxies name the user.
pub const HTTP_USER_HEADER: &str = "MISSION_HTTP_USER_HEADER";
/// The header in which trusted proxies name the user's roles.
pub const HTTP_ROLE_HEADER: &str = "MISSION_HTTP_ROLE_HEADER";
/// Set to `true`, it limits everyone to read permissions.
pub const HTTP_READ_ONLY: &str = "MISSION_HTTP_READ_ONLY";
/// Keys with which secrets are sealed.
pub const SECRET_KEY: &str = "MISSION_SECRET_KEY";
/// File with the CA certificates that are accepted for gateways.
pub const GATEWAY_CA_FILE: &str = "MISSION_GATEWAY_CA_FILE";
/// Digests of files that gateways themselves write into new workspaces.
pub const GATEWAY_SEEDS: &str = "MISSION_GATEWAY_SEEDS";
/// Addresses at which gateways are allowed.
pub const GATEWAY_ALLOWED: &str = "MISSION_GATEWAY_ALLOWED";
/// Base URL of the trace collector, to which `/v1/traces` is appended, as OpenTelemetry specifies.
/// Without it, no traces are sent.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Full URL for traces; takes precedence over the base URL.
pub const OTLP_TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Headers for the collector as `name=value,…`. Secret.
pub const OTLP_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Headers for traces; takes precedence over the general headers. Secret.
pub const OTLP_TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
/// Name of the service in traces.
pub const OTEL_SERVICE: &str = "OTEL_SERVICE_NAME";
/// Further attributes of the service as `name=value,…`.
pub const OTEL_RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
/// Set to `true`, it disables traces whatever else is set.
pub const OTEL_DISABLED: &str = "OTEL_SDK_DISABLED";
/// Set to any text, it asks programs not to use colours.
pub const NO_COLOR: &str = "NO_COLOR";
/// Home directory; the default data directory is below it.
pub const HOME: &str = "HOME";
/// Name of the user, for the audit.
pub const USER: &str = "USER";

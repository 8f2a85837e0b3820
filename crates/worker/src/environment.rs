//! Defines the names of the environment variables that the worker reads, besides those of settings.

/// Path of the configuration file.
pub const CONFIG: &str = "MISSION_CONFIG";
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

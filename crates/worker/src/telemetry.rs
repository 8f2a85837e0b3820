//! The log: lines that read alone, for people on a terminal and as JSON elsewhere.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, OrExit};
use crate::settings::{Settings, Source};

/// Starts logging to standard error. A command that tells a story of its own has a level of its own, unless
/// asked for more.
pub fn start(settings: &Settings, own_level: Option<&str>) -> Result<(), Exit> {
    let chosen = settings.values().iter().any(|value| value.key == "log.level" && value.source != Source::Default);
    let level = own_level.filter(|_| !chosen).unwrap_or(&settings.log_level);
    let filter = EnvFilter::try_new(level)
        .map_err(|error| anyhow!("log.level: {error}; use error, warn, info, debug or trace"))
        .or_usage()?
        // At these levels the WebSocket library prints whole frames, and the first one holds the gateway's token.
        .add_directive("tungstenite=info".parse().expect("a directive"))
        .add_directive("tokio_tungstenite=info".parse().expect("a directive"));
    let terminal = io::stderr().is_terminal();
    let json = match settings.log_format.as_str() {
        "auto" => !terminal,
        format => format == "json",
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(terminal);
    if json {
        subscriber.json().flatten_event(true).init();
    } else {
        subscriber.with_target(false).init();
    }
    Ok(())
}

//! Sets up the log: text for people on a terminal, and JSON otherwise.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};

use anyhow::anyhow;
use mission_core::sanitize::escaped;
use tracing_subscriber::EnvFilter;

use crate::exit::{Exit, OrExit};
use crate::settings::{Settings, Source};

/// Starts logging to standard error. `own_level` is the level of a command with other output, and
/// applies unless `log.level` is set.
pub fn start(settings: &Settings, own_level: Option<&str>) -> Result<(), Exit> {
    let chosen = settings
        .values
        .iter()
        .any(|value| value.key == "log.level" && value.source != Source::Default);
    let level = own_level.filter(|_| !chosen).unwrap_or(&settings.log_level);
    let filter = EnvFilter::try_new(level)
        .map_err(|error| anyhow!("log.level: {error}; use error, warn, info, debug or trace"))
        .or_usage()?
        // At these levels the WebSocket library prints whole frames, and the first one holds the
        // gateway's token.
        .add_directive("tungstenite=info".parse().expect("a directive"))
        .add_directive("tokio_tungstenite=info".parse().expect("a directive"));
    let terminal = io::stderr().is_terminal();
    let json = match settings.log_format.as_str() {
        "auto" => !terminal,
        format => format == "json",
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || OneLine { to: io::stderr(), colours: terminal })
        .with_ansi(terminal);
    if json {
        subscriber.json().flatten_event(true).init();
    } else {
        subscriber.with_target(false).init();
    }
    // With the log off, the hook of the standard library prints panics.
    if level != "off" {
        panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Logs a panic as one event on one line.
fn log_panic(panic: &PanicHookInfo) {
    let (text, string) =
        (panic.payload().downcast_ref::<&str>(), panic.payload().downcast_ref::<String>());
    let words = text.copied().or(string.map(String::as_str)).unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let trace = Backtrace::capture();
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
    tracing::error!(place, backtrace = trace, "panic: {words}");
}

/// A writer that receives one event per call and writes it as one line. Line breaks inside are
/// escaped, because events contain texts of gateways and jobs that could forge a second event.
struct OneLine<W> {
    to: W,
    /// `true` if the escape sequences of colours are kept; all others are always escaped.
    colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = escaped(line, |c| self.colours && c == ESCAPE);
        let line = only_colours(&line);
        self.to.write_all(format!("{line}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

const ESCAPE: char = '\u{1b}';

/// Escapes all escape sequences except those that set colours. The subscriber itself escapes them
/// in messages only.
fn only_colours(line: &str) -> String {
    let mut parts = line.split(ESCAPE);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let numbers = part
            .strip_prefix('[')
            .map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
        if numbers.is_some_and(|rest| rest.starts_with('m')) {
            kept.push(ESCAPE);
        } else {
            kept.push_str(r"\u001b");
        }
        kept.push_str(part);
    }
    kept
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns what is logged, in this format.
    fn logged(json: bool, colours: bool, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let to = kept.clone();
        let builder = tracing_subscriber::fmt().with_ansi(colours);
        let builder = builder.with_writer(move || OneLine { to: to.clone(), colours });
        if json {
            tracing::subscriber::with_default(builder.json().flatten_event(true).finish(), log);
        } else {
            tracing::subscriber::with_default(builder.finish(), log);
        }
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn words_of_others_cannot_forge_a_line_of_the_log() {
        let forged = "no\n2026-11-23T08:00:00Z ERROR forged\r\u{1b}[2J\u{9b}2J\u{202e}";
        for (json, colours) in [(false, false), (false, true), (true, false)] {
            let log = || tracing::warn!(error = %forged, quoted = ?forged, "{forged}");
            let text = logged(json, colours, log);
            let line = text.strip_suffix('\n').unwrap();
            let is_foreign =
                |c: char| c.is_control() && !(colours && c == '\u{1b}') || c == '\u{202e}';
            assert!(!line.contains(is_foreign) && !line.contains("\u{1b}[2J"), "{line:?}");
            assert!(!json || serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_panic_is_one_event() {
        let before = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let text = logged(true, false, || {
            assert!(panic::catch_unwind(|| panic!("it is\nnot {}", "so")).is_err());
        });
        panic::set_hook(before);
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((event["level"].as_str(), text.lines().count()), (Some("ERROR"), 1));
        assert_eq!(event["message"], "panic: it is\nnot so");
        assert!(event["place"].as_str().unwrap().contains("telemetry.rs"));
    }
}

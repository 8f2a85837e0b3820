//! Fuzz targets for untrusted input. Each target has a file, whose `run` checks its invariants on
//! one input.
//!
//! libFuzzer searches for inputs that reach new code (`make fuzz`); `tests/tests/fuzzing.rs` tries
//! some inputs on every commit.

pub mod configs;
pub mod documents;
pub mod frames;
pub mod sealed;
pub mod searches;
pub mod templates;

/// Asserts that a text is safe for a log line and a page: it has no control characters and at most
/// `limit` bytes.
pub fn plain(text: &str, limit: usize) {
    assert!(
        text.len() <= limit,
        "{} bytes: {}",
        text.len(),
        text.chars().take(200).collect::<String>()
    );
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// The token of every agent in these documents.
pub const TOKEN: &str = "token-of-this-agent";

/// Returns an unmutated job; the number selects its kind.
pub fn job(number: u8) -> mission_core::Job {
    let (kind, more) = match number % 6 {
        0 => (
            "provision",
            r#""board": BOARD, "auth_token": "token-of-this-agent",
                "options": {"wake": {}, "reset_session": true}"#,
        ),
        1 => ("provision", r#""board": BOARD, "options": {"action": "update"}"#),
        2 => ("provision-main", r#""auth_token": "token-of-this-agent", "options": {"wake": {}}"#),
        3 => ("provision-main", r#""options": {"action": "update", "force_bootstrap": true}"#),
        4 => ("cleanup", ""),
        _ => (
            "heartbeat-sync",
            r#""agents": [AGENT, {"id": "0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d03", "name": "Bob"}]"#,
        ),
    };
    let agent = if kind == "heartbeat-sync" { "" } else { r#""agent": AGENT"# };
    let parts = [HEAD, agent, more]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    let document = format!("{{{parts}}}")
        .replace("KIND", kind)
        .replace("AGENT", AGENT)
        .replace("BOARD", BOARD);
    mission_core::Job::parse(document.as_bytes()).expect("a valid document")
}

const HEAD: &str = r#""version": 1, "kind": "KIND",
    "gateway": {"id": "7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01",
    "url": "ws://gateway", "token": "t", "workspace_root": "/srv"}"#;
const AGENT: &str = r#"{"id": "0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d02", "name": "Alice"}"#;
const BOARD: &str = r#"{"id": "3e2a1d90-9c43-4f7e-b1c2-5a6d7e8f9a03", "name": "Launch"}"#;

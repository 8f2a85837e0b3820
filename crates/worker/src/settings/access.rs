//! Reads and checks the settings for access over HTTP.

use mission_http::AccessSettings;
use mission_http::proxy::{HeaderName, Proxies, networks};
use mission_http::token;
use secrecy::SecretString;

use super::Raw;

/// Minimum length of `http.api_token`, so that it cannot be guessed.
const MIN_API_TOKEN: usize = 20;

/// Takes the settings from checked values.
pub(super) fn read(raw: &Raw) -> AccessSettings {
    let header = |key| raw.text(key).and_then(|name| name.parse().ok());
    AccessSettings {
        tokens: token::read(&raw.0["http.tokens"]).unwrap_or_default(),
        api_token: raw.text("http.api_token").map(SecretString::from),
        proxies: Proxies {
            networks: networks(&raw.0["http.proxies"]).unwrap_or_default(),
            user: header("http.user_header"),
            role: header("http.role_header"),
        },
        read_only: raw.parsed("http.read_only"),
        requests_per_second: raw.parsed("http.requests_per_second"),
    }
}

/// Checks `http.tokens`; the error is the problem and the remedy, as for the other checks.
pub fn check_tokens(text: &str) -> Result<(), String> {
    token::read(text).map(drop)
}

/// Checks the length and the characters of `http.api_token`.
pub fn check_api_token(text: &str) -> Result<(), String> {
    if text.trim().chars().any(char::is_control) {
        return Err(
            "it contains a line break or another control character; give only the token".to_owned()
        );
    }
    let fits = text.trim().is_empty() || text.trim().len() >= MIN_API_TOKEN;
    fits.then_some(())
        .ok_or_else(|| format!("it is too short; use at least {MIN_API_TOKEN} characters"))
}

/// Checks the addresses and networks of `http.proxies`.
pub fn check_networks(text: &str) -> Result<(), String> {
    networks(text).map(drop)
}

/// Checks the name of a header.
pub fn check_header(text: &str) -> Result<(), String> {
    let fits = text.trim().is_empty() || text.trim().parse::<HeaderName>().is_ok();
    fits.then_some(())
        .ok_or_else(|| format!("`{text}` is not a header name; use one such as X-Forwarded-User"))
}

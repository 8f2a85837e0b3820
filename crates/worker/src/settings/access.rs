//! Reads and checks the settings for access over HTTP.

use std::net::IpAddr;

use axum::http::HeaderName;
use ipnet::IpNet;
use secrecy::SecretString;

use super::Raw;
use crate::http::proxy::Proxies;
use crate::http::token::{self, Token};

/// Minimum length of `http.api_token`, so that it cannot be guessed.
const MIN_API_TOKEN: usize = 20;

/// The settings for access over HTTP.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Tokens by name and role.
    pub tokens: Vec<Token>,
    /// One more token, with admin permissions.
    pub api_token: Option<SecretString>,
    /// Reverse proxies whose headers are trusted.
    pub proxies: Proxies,
    /// `true` if everyone is limited to read permissions.
    pub read_only: bool,
    /// Limit of requests per second and client address; 0 means no limit.
    pub requests_per_second: u32,
}

impl AccessSettings {
    /// Takes the settings from checked values.
    pub(super) fn read(raw: &Raw) -> Self {
        let header = |key| raw.text(key).and_then(|name| name.parse().ok());
        Self {
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

/// Parses addresses and networks separated by white space or commas.
fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let entries =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|entry| !entry.is_empty());
    let network = |entry: &str| {
        let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            format!(
                "`{entry}` is not an address or network; use one such as 10.0.0.5 or 10.0.0.0/8"
            )
        })
    };
    entries.map(network).collect()
}

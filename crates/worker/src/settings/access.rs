//! Settings of who is let in over HTTP.

use std::net::IpAddr;

use axum::http::HeaderName;
use ipnet::IpNet;
use secrecy::SecretString;

use super::Raw;
use crate::http::proxy::Proxies;
use crate::http::token::{self, Token};

/// Shortest `http.api_token`: one that cannot be guessed.
const MIN_API_TOKEN: usize = 20;

/// Who is let in.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// Who was given a token.
    pub tokens: Vec<Token>,
    /// One more token, of an admin.
    pub api_token: Option<SecretString>,
    /// Proxies that are trusted.
    pub proxies: Proxies,
    /// Whether everybody may only look.
    pub read_only: bool,
    /// How many requests a second one address may send; 0 is without limit.
    pub requests_per_second: u32,
}

impl AccessSettings {
    /// From checked values.
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

/// What is wrong with `http.tokens`.
pub fn check_tokens(text: &str) -> Result<(), String> {
    token::read(text).map(drop)
}

/// What is wrong with `http.api_token`.
pub fn check_api_token(text: &str) -> Result<(), String> {
    if text.trim().chars().any(char::is_control) {
        return Err(
            "there is a line break or another control character in it; give the token alone"
                .to_owned(),
        );
    }
    let fits = text.trim().is_empty() || text.trim().len() >= MIN_API_TOKEN;
    fits.then_some(()).ok_or_else(|| {
        format!("it is too short to be safe; use {MIN_API_TOKEN} characters or more")
    })
}

/// What is wrong with `http.proxies`.
pub fn check_networks(text: &str) -> Result<(), String> {
    networks(text).map(drop)
}

/// What is wrong with the name of a header.
pub fn check_header(text: &str) -> Result<(), String> {
    let fits = text.trim().is_empty() || text.trim().parse::<HeaderName>().is_ok();
    fits.then_some(())
        .ok_or_else(|| format!("`{text}` is no name of a header; use one such as X-Forwarded-User"))
}

/// Addresses and networks with white space or commas between them.
fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let entries =
        text.split(|c: char| c.is_whitespace() || c == ',').filter(|entry| !entry.is_empty());
    let network = |entry: &str| {
        let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            format!("`{entry}` is no address or network; use such as 10.0.0.5 or 10.0.0.0/8")
        })
    };
    entries.map(network).collect()
}

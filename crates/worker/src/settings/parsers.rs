//! The parsers of the settings. An error is the problem with the text and the remedy.

#![expect(clippy::unnecessary_wraps, reason = "every parser returns a result")]

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use mission_core::seeds::Seeds;
use mission_http::proxy::{self, HeaderName, IpNet};
use mission_http::token::{self, Token};
use mission_jobs::Keyring;
use secrecy::SecretString;

use super::Setting;

/// Minimum length of `http.api_token`, so that it cannot be guessed.
const MIN_API_TOKEN: usize = 20;

type Parsed<T> = Result<T, String>;

/// Reads a text that is optional: an empty one means that it is not set.
pub(super) fn optional<T: From<String>>(_: &Setting, text: &str) -> Parsed<Option<T>> {
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(|text| text.to_owned().into()))
}

pub(super) fn folder(_: &Setting, text: &str) -> Parsed<PathBuf> {
    Ok(text.trim().into())
}

pub(super) fn switch(_: &Setting, text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| "use true or false".to_owned())
}

/// Reads a whole number in the range of the setting.
pub(super) fn number<T: TryFrom<u64>>(setting: &Setting, text: &str) -> Parsed<T> {
    let range = setting.range.as_ref().expect("the declaration of a number has a range");
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.and_then(|number| number.try_into().ok()).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        format!("`{text}` is not valid; use a whole number from {least} to {most}")
    })
}

pub(super) fn millis(setting: &Setting, text: &str) -> Parsed<Duration> {
    number(setting, text).map(Duration::from_millis)
}

pub(super) fn seconds(setting: &Setting, text: &str) -> Parsed<Duration> {
    number(setting, text).map(Duration::from_secs)
}

pub(super) fn days(setting: &Setting, text: &str) -> Parsed<Duration> {
    number(setting, text).map(|days: u64| Duration::from_secs(days * 24 * 3600))
}

pub(super) fn address(setting: &Setting, text: &str) -> Parsed<SocketAddr> {
    let example = setting.default;
    text.parse().map_err(|_| format!("`{text}` is not an address; use one such as {example}"))
}

pub(super) fn log_format(_: &Setting, text: &str) -> Parsed<String> {
    match text {
        "auto" | "text" | "json" => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not valid; use one of auto, text, json")),
    }
}

/// Reads a value whose type has the rules.
pub(super) fn parsed<T: FromStr<Err: Display>>(_: &Setting, text: &str) -> Parsed<T> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

pub(super) fn keys(setting: &Setting, text: &str) -> Parsed<Arc<Keyring>> {
    parsed(setting, text).map(Arc::new)
}

/// Adds the digests to those that this worker knows.
pub(super) fn seeds(setting: &Setting, text: &str) -> Parsed<Seeds> {
    parsed(setting, text).map(|more| Seeds::default().and(more))
}

pub(super) fn tokens(_: &Setting, text: &str) -> Parsed<Vec<Token>> {
    token::read(text)
}

/// Checks the length and the characters of the token.
pub(super) fn api_token(setting: &Setting, text: &str) -> Parsed<Option<SecretString>> {
    if text.trim().chars().any(char::is_control) {
        return Err(
            "it contains a line break or another control character; give only the token".to_owned()
        );
    }
    if (1..MIN_API_TOKEN).contains(&text.trim().len()) {
        return Err(format!("it is too short; use at least {MIN_API_TOKEN} characters"));
    }
    optional(setting, text)
}

pub(super) fn networks(_: &Setting, text: &str) -> Parsed<Vec<IpNet>> {
    proxy::networks(text)
}

pub(super) fn header(_: &Setting, text: &str) -> Parsed<Option<HeaderName>> {
    let name = Some(text.trim()).filter(|name| !name.is_empty());
    name.map(str::parse)
        .transpose()
        .map_err(|_| format!("`{text}` is not a header name; use one such as X-Forwarded-User"))
}

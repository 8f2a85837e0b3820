//! Sessions of browsers: a token, or a link that works once, is exchanged for a session, which the
//! process remembers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::response::{Html, IntoResponse, Redirect, Response};
use url::form_urlencoded;

use super::access::Access;
use super::permissions::Role;
use super::token::{hash, random};

/// The cookie with the id of the session.
pub(crate) const COOKIE_NAME: &str = "mission_session";
/// The time after which a session ends.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// The most sessions at once. One more ends the oldest.
const MOST: usize = 1000;

/// A page that requests itself again.
const RELOAD: &str =
    "<!doctype html><html lang=en><title>Mission</title><meta http-equiv=refresh content=0></html>";

/// The sessions of this process, by the SHA-256 of their ids.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// The holder of a session.
#[derive(Clone)]
pub(crate) struct Session {
    /// The name of the token with which the session began.
    pub name: String,
    /// The role of that token.
    pub role: Role,
    since: Instant,
}

impl Sessions {
    /// Begins a session and returns its id.
    pub(crate) fn begin(&self, name: &str, role: Role) -> String {
        let id = random();
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.since.elapsed() < LIFE);
        if sessions.len() >= MOST
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, session)| session.since).map(|(id, _)| *id)
        {
            sessions.remove(&oldest);
        }
        sessions.insert(hash(&id), Session { name: name.to_owned(), role, since: Instant::now() });
        id
    }

    /// Returns the holder of a session that has not ended.
    pub(crate) fn holder(&self, id: &str) -> Option<Session> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&hash(id)).filter(|session| session.since.elapsed() < LIFE).cloned()
    }

    /// Ends a session.
    pub(crate) fn end(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(id));
    }
}

/// Returns the value of a cookie that the browser sends.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Returns the value of `Set-Cookie` that begins a session, or ends it if `id` is none.
pub(crate) fn set_cookie(
    id: Option<&str>,
    access: &Access,
    peer: IpAddr,
    headers: &HeaderMap,
) -> String {
    let secure = if access.proxies.is_secure(peer, headers) { "; Secure" } else { "" };
    let (id, life) = id.map_or(("", Duration::ZERO), |id| (id, LIFE));
    format!(
        "{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        life.as_secs()
    )
}

/// Redirects a browser to the login form, and back afterwards.
pub(super) fn to_login(request: &Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // A link on another site does not send the cookie. The same page, requested by our own page,
    // does.
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Html(RELOAD).into_response();
    }
    let next = if request.method().is_safe() { path } else { "/" };
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    Redirect::to(&format!("/login?next={next}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_ended_or_replaced_by_newer_ones() {
        let sessions = Sessions::default();
        let first = sessions.begin("sam", Role::Viewer);
        assert_eq!(sessions.holder(&first).map(|session| session.role), Some(Role::Viewer));
        assert!(sessions.holder("another").is_none());
        let second = sessions.begin("sam", Role::Admin);
        sessions.end(&second);
        assert!(sessions.holder(&second).is_none());
        (0..MOST).for_each(|_| drop(sessions.begin("ann", Role::Viewer)));
        assert!(sessions.holder(&first).is_none());
    }
}

//! Signing in with a browser: a token, or a link that works once, is exchanged for a session, which
//! the process remembers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Form, Query, Request, State};
use axum::http::header::{COOKIE, REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use url::form_urlencoded;

use super::access::{Access, Caller, way_in};
use super::listener::Peer;
use super::permissions::Role;
use super::problem::Problem;
use super::token::{Token, hash, random};
use super::{App, csrf, pages};

const COOKIE_NAME: &str = "mission_session";
/// How long a session lasts.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Most sessions at once; one more ends the oldest.
const MOST: usize = 1000;

/// The sessions, by the SHA-256 of their ids.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<[u8; 32], Session>>);

/// Whose session it is.
#[derive(Clone)]
pub struct Session {
    /// The name of the token that it was begun with.
    pub name: String,
    /// What that allows.
    pub role: Role,
    since: Instant,
}

impl Sessions {
    /// Begins one; its id.
    fn begin(&self, name: &str, role: Role) -> String {
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

    /// Whose it is, while it lasts.
    pub fn holder(&self, id: &str) -> Option<Session> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&hash(id)).filter(|session| session.since.elapsed() < LIFE).cloned()
    }

    fn end(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(id));
    }
}

/// Signing in, for who is not signed in.
pub fn open() -> Router<Arc<App>> {
    Router::new().route("/login", get(form).post(sign_in))
}

/// Signing out.
pub fn router() -> Router<Arc<App>> {
    Router::new().route("/logout", post(sign_out))
}

/// The id of the session that the browser sends.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value).next()
}

/// Sends a browser to sign in and back again.
pub fn to_login(request: &Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // A link on another site brings no cookie along; the same page asked for by this one does.
    if request.headers().get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Html(pages::again()).into_response();
    }
    let next = if request.method().is_safe() { path } else { "/" };
    let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    Redirect::to(&format!("/login?next={next}")).into_response()
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

impl Next {
    /// Where to go: a path of this origin.
    fn path(&self) -> &str {
        let own = self
            .next
            .parse::<Uri>()
            .is_ok_and(|uri| uri.authority().is_none() && uri.scheme().is_none());
        let path = self.next.starts_with('/')
            && !self.next.starts_with("//")
            && !self.next.contains(['\\', '\r', '\n']);
        if own && path { &self.next } else { "/" }
    }
}

#[derive(Deserialize)]
struct Arrival {
    /// The secret of a one-time link.
    once: Option<String>,
    #[serde(flatten)]
    next: Next,
}

async fn form(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    method: Method,
    headers: HeaderMap,
    Query(arrival): Query<Arrival>,
) -> Response {
    let next = arrival.next.path();
    match (&arrival.once, app.access.closed()) {
        // Who asks for the head alone, such as a preview of the link, does not use it up.
        (Some(secret), _) if method == Method::GET => {
            let entering = Entering { access: &app.access, peer, headers: &headers, next };
            entering.with("this link has been used, or is too old", || {
                app.access.holder_of_link(peer, secret)
            })
        }
        (_, Some(why)) => pages::problem(&Problem::new(StatusCode::FORBIDDEN, why), None),
        (_, None) => pages::login(next, None, peer.is_loopback()).into_response(),
    }
}

#[derive(Deserialize)]
struct Credentials {
    token: String,
    #[serde(flatten)]
    next: Next,
}

async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Response {
    let entering =
        Entering { access: &app.access, peer, headers: &headers, next: credentials.next.path() };
    entering.with("this is no token of this worker", || {
        app.access.holder(peer, credentials.token.trim())
    })
}

/// Somebody who wants to sign in.
struct Entering<'a> {
    access: &'a Access,
    peer: IpAddr,
    headers: &'a HeaderMap,
    /// Where they want to go.
    next: &'a str,
}

impl<'a> Entering<'a> {
    /// Begins a session for whom `holder` finds. `wrong` is what is said if there is nobody.
    fn with(&self, wrong: &str, holder: impl FnOnce() -> Option<&'a Token>) -> Response {
        let Self { access, peer, headers, next } = *self;
        let client = access.proxies.client(peer, headers);
        if let Err(problem) = csrf::same_origin(access, peer, headers) {
            return self.refused(problem.status, problem.detail);
        }
        let holder = holder();
        // Nobody guesses 256 random bits; and guesses of others, which a proxy passes on, must not
        // keep the owner out.
        let wait = access
            .throttle
            .wait(client)
            .filter(|_| !holder.is_some_and(|token| access.is_own(token)));
        if let Some(wait) = wait {
            let seconds = wait.as_secs() + 1;
            let detail =
                format!("too many wrong tokens came from {client}; try again in {seconds} s");
            let retry = AppendHeaders([("retry-after", seconds.to_string())]);
            return (retry, self.refused(StatusCode::TOO_MANY_REQUESTS, detail)).into_response();
        }
        let Some(token) = holder else {
            access.throttle.failed(client);
            tracing::warn!(%client, "a wrong token was tried at /login");
            return self.refused(StatusCode::FORBIDDEN, format!("{wrong}; {}", way_in(peer)));
        };
        access.throttle.succeeded(client);
        let id = access.sessions.begin(&token.name, token.role);
        let set = set_cookie(&id, LIFE, access, peer, headers);
        // A link that was used is worth nothing, and yet nobody's business.
        let quiet = [(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))];
        (quiet, AppendHeaders([(SET_COOKIE, set)]), Redirect::to(next)).into_response()
    }

    fn refused(&self, status: StatusCode, detail: String) -> Response {
        let problem = Problem::new(status, detail);
        (status, pages::login(self.next, Some(&problem), self.peer.is_loopback())).into_response()
    }
}

async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    _: Caller,
    headers: HeaderMap,
) -> Response {
    if let Some(id) = cookie(&headers) {
        app.access.sessions.end(id);
    }
    let set = set_cookie("", Duration::ZERO, &app.access, peer, &headers);
    (AppendHeaders([(SET_COOKIE, set)]), Redirect::to("/login")).into_response()
}

fn set_cookie(
    id: &str,
    life: Duration,
    access: &Access,
    peer: IpAddr,
    headers: &HeaderMap,
) -> String {
    let secure = if access.proxies.is_secure(peer, headers) { "; Secure" } else { "" };
    format!(
        "{COOKIE_NAME}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
        life.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_ended_or_pushed_out() {
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

    #[test]
    fn the_way_back_stays_on_this_origin() {
        let path = |next: &str| Next { next: next.to_owned() }.path().to_owned();
        assert_eq!(path("/jobs?q=state:dead"), "/jobs?q=state:dead");
        for elsewhere in
            ["//evil.example", "https://evil.example/", "/\\evil.example", "", "jobs", "/a\r\nb"]
        {
            assert_eq!(path(elsewhere), "/", "{elsewhere}");
        }
    }
}

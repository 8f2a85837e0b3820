//! The page where people sign in, and the form that signs them out.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::header::{REFERRER_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::layout::Frame;
use super::message::problem_page;
use super::{sentence, written};
use crate::App;
use crate::auth::access::way_in;
use crate::auth::session::{cookie, set_cookie};
use crate::auth::token::Token;
use crate::auth::{Access, Caller, csrf};
use crate::listener::Peer;
use crate::problem::Problem;

/// Returns the routes for callers who are not signed in.
pub(super) fn open() -> Router<Arc<App>> {
    Router::new().route("/login", get(form).post(sign_in))
}

/// Returns the route that signs a caller out.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/logout", post(sign_out))
}

#[derive(Template)]
#[template(path = "dashboard/login.html")]
struct LoginPage {
    frame: Frame,
    /// The path to go to afterwards.
    next: String,
    /// The error of the previous attempt.
    error: Option<String>,
    /// `true` if the token of this machine would be accepted.
    local: bool,
}

impl LoginPage {
    fn written(next: &str, refused: Option<&Problem>, local: bool) -> Html<String> {
        written(&Self {
            frame: Frame::stranger("Sign in", "/login"),
            next: next.to_owned(),
            error: refused.map(|problem| sentence(&problem.detail)),
            local,
        })
    }
}

#[derive(Deserialize)]
struct Next {
    #[serde(default)]
    next: String,
}

impl Next {
    /// Returns the path if it is one of this origin, and `/` otherwise.
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
struct LoginQuery {
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
    Query(query): Query<LoginQuery>,
) -> Response {
    let next = query.next.path();
    match (&query.once, app.access.closed()) {
        // A request for the head alone, such as a preview of the link, does not use the link up.
        (Some(secret), _) if method == Method::GET => {
            let sign_in = SignIn { access: &app.access, peer, headers: &headers, next };
            sign_in.with("this link was used already, or is too old", || {
                app.access.holder_of_link(peer, secret)
            })
        }
        (_, Some(why)) => problem_page(&Problem::new(StatusCode::FORBIDDEN, why), None),
        (_, None) => LoginPage::written(next, None, peer.is_loopback()).into_response(),
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
    let sign_in =
        SignIn { access: &app.access, peer, headers: &headers, next: credentials.next.path() };
    sign_in.with("the token is not known to this worker", || {
        app.access.holder(peer, credentials.token.trim())
    })
}

/// An attempt to sign in.
struct SignIn<'a> {
    access: &'a Access,
    peer: IpAddr,
    headers: &'a HeaderMap,
    /// The path to go to afterwards.
    next: &'a str,
}

impl<'a> SignIn<'a> {
    /// Begins a session for the holder that `holder` finds. `wrong` is the error if there is none.
    fn with(&self, wrong: &str, holder: impl FnOnce() -> Option<&'a Token>) -> Response {
        let Self { access, peer, headers, next } = *self;
        let client = access.proxies.client(peer, headers);
        if let Err(problem) = csrf::same_origin(access, peer, headers) {
            return self.refused(problem.status, problem.detail);
        }
        let holder = holder();
        // The token of this machine is not throttled: nobody guesses 256 random bits, and the
        // guesses of others, which a proxy passes on, must not keep the owner out.
        let wait = access
            .throttle
            .wait(client)
            .filter(|_| !holder.is_some_and(|token| access.is_own(token)));
        if let Some(wait) = wait {
            let seconds = wait.as_secs() + 1;
            let detail = format!("too many wrong tokens from {client}; try again in {seconds} s");
            let retry = AppendHeaders([("retry-after", seconds.to_string())]);
            return (retry, self.refused(StatusCode::TOO_MANY_REQUESTS, detail)).into_response();
        }
        let Some(token) = holder else {
            access.throttle.failed(client);
            tracing::warn!(%client, "login failed: wrong token");
            return self.refused(StatusCode::FORBIDDEN, format!("{wrong}; {}", way_in(peer)));
        };
        access.throttle.succeeded(client);
        let id = access.sessions.begin(&token.name, token.role);
        let set = set_cookie(Some(&id), access, peer, headers);
        // A used link is worthless, but it need not be sent to other pages either.
        let quiet = [(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))];
        (quiet, AppendHeaders([(SET_COOKIE, set)]), Redirect::to(next)).into_response()
    }

    fn refused(&self, status: StatusCode, detail: String) -> Response {
        let problem = Problem::new(status, detail);
        (status, LoginPage::written(self.next, Some(&problem), self.peer.is_loopback()))
            .into_response()
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
    let set = set_cookie(None, &app.access, peer, &headers);
    (AppendHeaders([(SET_COOKIE, set)]), Redirect::to("/login")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_after_a_login_stays_on_this_origin() {
        let path = |next: &str| Next { next: next.to_owned() }.path().to_owned();
        assert_eq!(path("/jobs?q=state:dead"), "/jobs?q=state:dead");
        for foreign in
            ["//evil.example", "https://evil.example/", "/\\evil.example", "", "jobs", "/a\r\nb"]
        {
            assert_eq!(path(foreign), "/", "{foreign}");
        }
    }
}

//! The page where people sign in, and the form that signs them out.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::http::header::{REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::address::own_path;
use super::layout::Frame;
use super::message::problem_page;
use super::{sentence, written};
use crate::App;
use crate::auth::access::way_in;
use crate::auth::session::{self, COOKIE_NAME, set_cookie};
use crate::auth::token::Token;
use crate::auth::{Access, Caller, csrf};
use crate::listener::Peer;
use crate::problem::Problem;

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
    fn written(next: &str, error: Option<&str>, local: bool) -> Html<String> {
        written(&Self {
            frame: Frame::of("Sign in", "/login", None),
            next: next.to_owned(),
            error: error.map(sentence),
            local,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct LoginQuery {
    /// The secret of a one-time link.
    once: Option<String>,
    /// The path to go to afterwards.
    #[serde(default)]
    next: String,
}

pub(super) async fn form(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    method: Method,
    headers: HeaderMap,
    Query(query): Query<LoginQuery>,
) -> Response {
    let next = own_path(&query.next);
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
pub(super) struct Credentials {
    token: String,
    /// The path to go to afterwards.
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Response {
    let next = own_path(&credentials.next);
    let sign_in = SignIn { access: &app.access, peer, headers: &headers, next };
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
            return self.refused(problem.status, &problem.detail);
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
            let retry = [(RETRY_AFTER, seconds.to_string())];
            return (retry, self.refused(StatusCode::TOO_MANY_REQUESTS, &detail)).into_response();
        }
        let Some(token) = holder else {
            access.throttle.failed(client);
            tracing::warn!(%client, "login failed: wrong token");
            return self.refused(StatusCode::FORBIDDEN, &format!("{wrong}; {}", way_in(peer)));
        };
        access.throttle.succeeded(client);
        let id = access.sessions.begin(&token.name, token.role);
        let set = set_cookie(Some(&id), access, peer, headers);
        // A used link is worthless, but it need not be sent to other pages either.
        let quiet = [(REFERRER_POLICY, "no-referrer")];
        (quiet, AppendHeaders([(SET_COOKIE, set)]), Redirect::to(next)).into_response()
    }

    fn refused(&self, status: StatusCode, detail: &str) -> Response {
        let page = LoginPage::written(self.next, Some(detail), self.peer.is_loopback());
        (status, page).into_response()
    }
}

pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    _: Caller,
    headers: HeaderMap,
) -> Response {
    if let Some(id) = session::cookie(&headers, COOKIE_NAME) {
        app.access.sessions.end(id);
    }
    let set = set_cookie(None, &app.access, peer, &headers);
    (AppendHeaders([(SET_COOKIE, set)]), Redirect::to("/login")).into_response()
}

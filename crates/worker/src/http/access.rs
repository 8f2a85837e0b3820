//! Who asks, and what they may do.
//!
//! A caller is known by a token, by a session that was begun with one, by a trusted reverse proxy, or, if nothing of the
//! kind is set up and the worker listens on loopback, by being on this machine.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;

use super::action::{Action, Role};
use super::listener::Peer;
use super::problem::Problem;
use super::proxy::{self, Proxies};
use super::rate::Rate;
use super::session::{self, Sessions};
use super::throttle::Throttle;
use super::token::{self, Token, hash, hex};
use super::{App, forgery, guard};
use crate::settings::AccessSettings;

/// Whose token `http.api_token` is.
const API: &str = "api";

/// How the caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By a token sent along, which no browser does by itself.
    Token,
    /// By a session.
    Session,
    /// By a trusted proxy.
    Proxy,
    /// By being on this machine.
    Local,
}

/// Who sent the request. Handlers take it as an argument.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Their name.
    pub name: String,
    /// From where, such as `dashboard 192.0.2.1`.
    pub from: String,
    /// What they may do.
    pub role: Role,
    /// How they are known.
    pub how: How,
    csrf: String,
}

impl Caller {
    /// Whether they may do that.
    pub fn can(&self, action: Action) -> bool {
        self.role >= action.needs()
    }

    /// Refuses what they may not do.
    pub fn may(&self, action: Action) -> Result<(), Problem> {
        if self.can(action) {
            return Ok(());
        }
        let detail = format!(
            "{} is {} here and cannot {}; ask somebody who is {}",
            self.name,
            self.role,
            action.in_words(),
            action.needs()
        );
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// What forms carry as `csrf`, and scripts as the header `x-csrf-token`.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }
}

/// Who is let in.
pub struct Access {
    /// Who was given a token.
    tokens: Vec<Token>,
    pub(super) proxies: Proxies,
    pub(super) sessions: Sessions,
    pub(super) throttle: Throttle,
    pub(super) rate: Rate,
    /// Everybody is a viewer.
    read_only: bool,
    /// Everybody on this machine is let in.
    open_locally: bool,
    /// What CSRF tokens are made from.
    key: String,
}

impl Access {
    /// As the settings say, for a worker that listens on that address.
    pub fn new(settings: &AccessSettings, listens_on: IpAddr) -> Self {
        let mut tokens = settings.tokens.clone();
        let api = settings.api_token.as_ref();
        tokens.extend(api.and_then(|token| Token::of(API, Role::Admin, token.expose_secret()).ok()));
        let nothing_set = tokens.is_empty() && settings.proxies.networks.is_empty();
        Self {
            open_locally: nothing_set && listens_on.is_loopback(),
            tokens,
            proxies: settings.proxies.clone(),
            sessions: Sessions::default(),
            throttle: Throttle::default(),
            rate: Rate::new(settings.requests_per_second),
            read_only: settings.read_only,
            key: token::random(),
        }
    }

    /// Why nobody is let in, if so.
    pub fn closed(&self) -> Option<&'static str> {
        let closed = self.tokens.is_empty() && self.proxies.networks.is_empty() && !self.open_locally;
        closed.then_some(
            "nobody is let in from other machines until http.tokens is set (`worker token NAME --role ROLE` makes one), \
             or MISSION_API_TOKEN, or http.proxies with http.user_header",
        )
    }

    /// Whose token that is.
    pub(super) fn holder(&self, secret: &str) -> Option<&Token> {
        self.tokens.iter().find(|token| token.is(secret))
    }

    fn caller(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Caller, Problem> {
        let address = self.proxies.client(peer, headers);
        if let Some(secret) = headers.get(AUTHORIZATION) {
            let secret = secret.to_str().ok().and_then(|value| value.split_once(' '));
            let secret = secret.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token);
            let token = secret.and_then(|secret| self.holder(secret.trim()));
            let token = token.ok_or_else(|| {
                Problem::new(StatusCode::UNAUTHORIZED, "this is no token of this worker; see http.tokens")
            })?;
            return Ok(self.known(&token.name, token.role, How::Token, format!("api {address}"), &token.name));
        }
        let from = format!("dashboard {address}");
        if let Some((name, role)) = self.proxies.user(peer, headers) {
            let role = role.ok_or_else(|| {
                let detail =
                    format!("the proxy gives {name} no role; name viewer, operator or admin in http.role_header");
                Problem::new(StatusCode::FORBIDDEN, detail)
            })?;
            return Ok(self.known(&name, role, How::Proxy, from, &name));
        }
        if let Some((id, token)) = session::cookie(headers).and_then(|id| Some((id, self.sessions.holder(id)?))) {
            return Ok(self.known(&token.name, token.role, How::Session, from, id));
        }
        if self.open_locally {
            is_local(peer, headers)?;
            return Ok(self.known("local", Role::Admin, How::Local, from, ""));
        }
        match self.closed() {
            Some(why) => Err(Problem::new(StatusCode::FORBIDDEN, why)),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "send a token as `Authorization: Bearer TOKEN`, or sign in at /login",
            )),
        }
    }

    fn known(&self, name: &str, role: Role, how: How, from: String, identity: &str) -> Caller {
        let role = if self.read_only { Role::Viewer } else { role };
        let csrf = hex(&hash(&format!("{}\n{how:?}\n{identity}", self.key)));
        Caller { name: name.to_owned(), from, role, how, csrf }
    }
}

/// Whether the request comes from this machine itself: not passed on, and not by a name that somebody else's name server
/// made this machine's.
fn is_local(peer: IpAddr, headers: &HeaderMap) -> Result<(), Problem> {
    if !peer.is_loopback() || proxy::is_forwarded(headers) {
        let detail = "a proxy passed this request on, and none is trusted; set http.proxies and http.user_header, or \
                      http.tokens";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()) {
        return Ok(());
    }
    let detail = "this worker lets in who asks for it as localhost or 127.0.0.1; set http.tokens to use another name";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

/// The address that a request came from.
pub fn client(access: &Access, request: &Request) -> IpAddr {
    access.proxies.client(peer(request.extensions()), request.headers())
}

/// The address of the connection.
pub fn peer(extensions: &axum::http::Extensions) -> IpAddr {
    extensions.get::<Peer>().expect("each connection has its peer").0
}

/// Finds out who asks, and refuses what a browser was tricked into asking.
pub async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = peer(request.extensions());
    let caller = match app.access.caller(peer, request.headers()) {
        Ok(caller) => caller,
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED && guard::is_for_people(&request) => {
            return session::to_login(&request);
        }
        Err(problem) => return problem.into_response(),
    };
    let allowed = match caller.may(Action::Read) {
        Ok(()) => forgery::checked(&app.access, &caller, peer, request).await,
        Err(problem) => Err(problem),
    };
    let mut response = match allowed {
        Ok(mut request) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(caller);
    response
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller
            .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a handler stands outside `access::admit`"))
    }
}

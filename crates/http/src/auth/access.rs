//! The caller of a request, and the middleware that finds it.
//!
//! A caller is known by a token, by a session that began with a token, or by a trusted reverse
//! proxy. Callers on this machine may read without any of these if no token and no proxy is
//! configured and the worker listens on loopback. To change anything, they need the token of this
//! machine.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};

use super::csrf;
use super::login_link::LoginLinks;
use super::login_throttle::LoginThrottle;
use super::permissions::{Action, Role};
use super::proxy::{self, Proxies};
use super::session::{self, COOKIE_NAME, Sessions};
use super::token::{self, Token, hash};
use crate::listener::Peer;
use crate::problem::{Answer, Problem};
use crate::rate_limit::RateLimiter;
use crate::settings::AccessSettings;
use crate::{App, security_headers};

/// The name of the holder of `http.api_token`.
const API: &str = "api";
/// The name of the holder of this machine's token, and of callers who read without any token.
const LOCAL: &str = "local";
/// The remedy for callers on this machine who have no token.
const HOW_TO_GET_IN: &str = "`worker token show` on the worker's machine prints a token; send it \
    as `Authorization: Bearer TOKEN`, or sign in with it at /login";
/// The remedy for callers on another machine.
const HOW_TO_GET_IN_REMOTELY: &str = "send one as `Authorization: Bearer TOKEN`, or sign in with \
    it at /login; an admin makes one with `worker token NAME`";

/// The method by which a caller was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthMethod {
    /// A token in the request, which no browser sends by itself.
    Token,
    Session,
    /// A header of a trusted proxy.
    Proxy,
    /// None: the caller is on this machine and may only read.
    Local,
}

/// The sender of a request. Handlers take it as an argument.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub name: String,
    /// The channel and the address, such as `dashboard 192.0.2.1`.
    pub from: String,
    pub role: Role,
    pub method: AuthMethod,
    csrf: String,
}

impl Caller {
    /// Returns whether the caller may take an action.
    pub(crate) fn can(&self, action: Action) -> bool {
        self.role >= action.needs()
    }

    /// Fails with 401 or 403 if the caller may not take an action.
    pub(crate) fn may(&self, action: Action) -> Answer<()> {
        if self.can(action) {
            return Ok(());
        }
        if self.method == AuthMethod::Local {
            return Err(needs_token(action.in_words()));
        }
        let detail = format!(
            "{} is {} and cannot {}; this needs the role {}",
            self.name,
            self.role,
            action.in_words(),
            action.needs()
        );
        Err(Problem::new(StatusCode::FORBIDDEN, detail))
    }

    /// Returns the CSRF token, which forms send as `csrf` and scripts as the header `x-csrf-token`.
    pub(crate) fn csrf(&self) -> &str {
        &self.csrf
    }
}

/// Returns the problem of a caller who may only read.
fn needs_token(what: &str) -> Problem {
    Problem::unauthorized(format!("a token is needed to {what}: {HOW_TO_GET_IN}"))
}

/// Returns the remedy for a caller without a token. The token of this machine works over loopback
/// only.
pub(crate) const fn way_in(peer: IpAddr) -> &'static str {
    if peer.is_loopback() { HOW_TO_GET_IN } else { HOW_TO_GET_IN_REMOTELY }
}

/// The callers that are let in, and the state of their sessions and limits.
pub(crate) struct Access {
    /// The tokens that were given out.
    tokens: Vec<Token>,
    /// The token of this machine.
    own: Token,
    pub proxies: Proxies,
    pub sessions: Sessions,
    pub links: LoginLinks,
    pub throttle: LoginThrottle,
    pub rate: RateLimiter,
    /// `true` if every caller is a viewer.
    read_only: bool,
    /// `true` if callers on this machine may read without a token.
    open_locally: bool,
    /// The secret from which CSRF tokens are made.
    key: String,
}

impl Access {
    /// Applies the settings, for a worker that listens on an address of a machine with the token
    /// `own`.
    pub(crate) fn new(settings: &AccessSettings, listens_on: IpAddr, own: &SecretString) -> Self {
        let mut tokens = settings.tokens.clone();
        let api = settings.api_token.as_ref();
        tokens
            .extend(api.and_then(|token| Token::of(API, Role::Admin, token.expose_secret()).ok()));
        let nothing_set = tokens.is_empty() && settings.proxies.networks.is_empty();
        Self {
            open_locally: nothing_set && listens_on.is_loopback(),
            tokens,
            own: Token {
                name: LOCAL.to_owned(),
                role: Role::Admin,
                hash: hash(own.expose_secret()),
            },
            proxies: settings.proxies.clone(),
            sessions: Sessions::default(),
            links: LoginLinks::default(),
            throttle: LoginThrottle::default(),
            rate: RateLimiter::new(settings.requests_per_second),
            read_only: settings.read_only,
            key: token::random(),
        }
    }

    /// Returns the reason if nobody can be let in from another machine, nor without a token.
    pub(crate) fn closed(&self) -> Option<&'static str> {
        let closed =
            self.tokens.is_empty() && self.proxies.networks.is_empty() && !self.open_locally;
        closed.then_some(
            "access from other machines needs http.tokens (`worker token NAME --role ROLE` makes \
                a token), MISSION_API_TOKEN, or http.proxies with http.user_header",
        )
    }

    /// Returns the entry of a token. The token of this machine counts over loopback only.
    pub(crate) fn holder(&self, peer: IpAddr, secret: &str) -> Option<&Token> {
        let own = Some(&self.own).filter(|_| peer.is_loopback());
        self.tokens.iter().chain(own).find(|token| token.is(secret))
    }

    /// Returns whether that is the entry of this machine's token.
    pub(crate) fn is_own(&self, token: &Token) -> bool {
        std::ptr::eq(token, &raw const self.own)
    }

    /// Uses up a one-time link. Returns the holder of its session if the link was still valid.
    pub(crate) fn holder_of_link(&self, peer: IpAddr, secret: &str) -> Option<&Token> {
        (peer.is_loopback() && self.links.take(secret)).then_some(&self.own)
    }

    fn caller(&self, peer: IpAddr, request: &Request) -> Answer<Caller> {
        let headers = request.headers();
        let address = self.proxies.client(peer, headers);
        let value =
            headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        if let Some(secret) = value.as_deref().and_then(bearer) {
            let Token { name, role, .. } = self.holder(peer, secret).ok_or_else(|| {
                Problem::unauthorized(format!(
                    "the token is not known to this worker; see http.tokens, or: {}",
                    way_in(peer)
                ))
            })?;
            let from = format!("api {address}");
            return Ok(self.known(name, *role, AuthMethod::Token, from, name));
        }
        let from = format!("dashboard {address}");
        if let Some((name, role)) = self.proxies.user(peer, headers) {
            let role = role.ok_or_else(|| {
                let detail = format!(
                    "the proxy sends no role for {name}; send viewer, operator or admin in \
                        http.role_header"
                );
                Problem::new(StatusCode::FORBIDDEN, detail)
            })?;
            return Ok(self.known(&name, role, AuthMethod::Proxy, from, &name));
        }
        if let Some((id, token)) = session::cookie(headers, COOKIE_NAME)
            .and_then(|id| Some((id, self.sessions.holder(id)?)))
        {
            return Ok(self.known(&token.name, token.role, AuthMethod::Session, from, id));
        }
        if self.open_locally {
            is_local(peer, request)?;
            return Ok(self.known(LOCAL, Role::Viewer, AuthMethod::Local, from, ""));
        }
        match self.closed() {
            Some(why) => Err(Problem::new(StatusCode::FORBIDDEN, why)),
            None => Err(Problem::unauthorized(format!("a token is needed: {}", way_in(peer)))),
        }
    }

    fn known(
        &self,
        name: &str,
        role: Role,
        method: AuthMethod,
        from: String,
        identity: &str,
    ) -> Caller {
        let role = if self.read_only { Role::Viewer } else { role };
        let csrf = hex::encode(hash(&format!("{}\n{method:?}\n{identity}", self.key)));
        Caller { name: name.to_owned(), from, role, method, csrf }
    }
}

/// Returns the token in a header `Authorization: Bearer TOKEN`, or none if the scheme is another
/// one, which is not for the worker.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_ascii())
}

/// Fails unless the request comes from this machine itself: not through a proxy, and not under a
/// name that a foreign name server resolves to this machine (DNS rebinding).
fn is_local(peer: IpAddr, request: &Request) -> Answer<()> {
    if !peer.is_loopback() || is_passed_on(request) {
        return Err(Problem::unauthorized(format!(
            "a proxy forwarded this request, so a token is needed even to read: {}",
            way_in(peer)
        )));
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok())
        .map_or(host, |(name, _)| name);
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    {
        return Ok(());
    }
    let detail = format!(
        "without a token, this worker answers under the names localhost and 127.0.0.1 only; for \
            another name: {HOW_TO_GET_IN}"
    );
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

/// Returns whether a request shows that a proxy forwarded it. Some proxies add no header, but speak
/// HTTP/1.0 as nginx does, send the whole address, or keep their own users' `Authorization`.
fn is_passed_on(request: &Request) -> bool {
    request.version() < Version::HTTP_11
        || request.uri().authority().is_some()
        || request.headers().contains_key(AUTHORIZATION)
        || proxy::is_forwarded(request.headers())
}

/// Returns the address of the client that sent a request.
pub(crate) fn client(access: &Access, request: &Request) -> IpAddr {
    access.proxies.client(peer(request.extensions()), request.headers())
}

/// Returns the address of the connection's other end.
fn peer(extensions: &axum::http::Extensions) -> IpAddr {
    extensions.get::<Peer>().expect("each connection has its peer").0
}

/// Finds the caller of a request, and refuses forged requests.
pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = peer(request.extensions());
    let caller = match app.access.caller(peer, &request) {
        Ok(caller) => caller,
        Err(problem)
            if problem.status == StatusCode::UNAUTHORIZED
                && security_headers::is_for_people(&request) =>
        {
            return session::to_login(&request);
        }
        Err(problem) => return problem.into_response(),
    };
    let mut response = match checked(&app.access, &caller, peer, request).await {
        Ok(mut request) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(caller);
    response
}

/// Returns the request if the caller may send it. A refused request is refused before a handler
/// reads its body, whatever the handler would check.
async fn checked(
    access: &Access,
    caller: &Caller,
    peer: IpAddr,
    request: Request,
) -> Answer<Request> {
    caller.may(Action::Read)?;
    let request = csrf::checked(access, caller, peer, request).await?;
    if !request.method().is_safe() && caller.method == AuthMethod::Local {
        return Err(needs_token("change something"));
    }
    Ok(request)
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a handler is outside `access::admit`")
        })
    }
}

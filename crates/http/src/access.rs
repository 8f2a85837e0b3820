//! Who asks, and what they may do.
//!
//! A caller is known by a token, by a session that was begun with one, or by a trusted reverse
//! proxy. Who is on this machine may look without any of these, if nothing of the kind is set up
//! and the worker listens on loopback; to change something takes the token of this machine.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use axum::http::{StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};

use super::link::Links;
use super::listener::Peer;
use super::login_throttle::Throttle;
use super::permissions::{Action, Role};
use super::problem::Problem;
use super::proxy::{self, Proxies};
use super::rate_limit::Rate;
use super::session::{self, Sessions};
use super::settings::AccessSettings;
use super::token::{self, Token, hash, hex};
use super::{App, csrf, security_headers};

/// Whose token `http.api_token` is.
const API: &str = "api";
/// Whose token that of this machine is, and what who looks without any is called.
const LOCAL: &str = "local";
/// What lets somebody in who comes from this machine, and from another.
const HOW_TO_GET_IN: &str = "`worker token show` on the worker's machine prints a token; send it \
    as \
                             `Authorization: Bearer TOKEN`, or sign in with it at /login";

const HOW_TO_GET_IN_FROM_ELSEWHERE: &str = "send one as `Authorization: Bearer TOKEN`, or sign in \
    with it at /login; \
                                            an admin makes one with `worker token NAME`";

/// How the caller is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// By a token sent along, which no browser does by itself.
    Token,
    /// By a session.
    Session,
    /// By a trusted proxy.
    Proxy,
    /// Not at all: they are on this machine, and look.
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
        if self.how == How::Local {
            return Err(needs_token(action.in_words()));
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

/// What is said to who only looks and wants more.
fn needs_token(what: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, format!("to {what} takes a token: {HOW_TO_GET_IN}"))
}

/// What would let in who connects from there: the token of this machine is not for others.
pub(super) const fn way_in(peer: IpAddr) -> &'static str {
    if peer.is_loopback() { HOW_TO_GET_IN } else { HOW_TO_GET_IN_FROM_ELSEWHERE }
}

/// Who is let in.
pub struct Access {
    /// Who was given a token.
    tokens: Vec<Token>,
    /// The token of this machine.
    own: Token,
    pub(super) proxies: Proxies,
    pub(super) sessions: Sessions,
    pub(super) links: Links,
    pub(super) throttle: Throttle,
    pub(super) rate: Rate,
    /// Everybody is a viewer.
    read_only: bool,
    /// Everybody on this machine may look.
    open_locally: bool,
    /// What CSRF tokens are made from.
    key: String,
}

impl Access {
    /// As the settings say, for a worker that listens on that address, on a machine with that
    /// token.
    pub fn new(settings: &AccessSettings, listens_on: IpAddr, own: &SecretString) -> Self {
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
            links: Links::default(),
            throttle: Throttle::default(),
            rate: Rate::new(settings.requests_per_second),
            read_only: settings.read_only,
            key: token::random(),
        }
    }

    /// Why nobody is let in, if so.
    pub fn closed(&self) -> Option<&'static str> {
        let closed =
            self.tokens.is_empty() && self.proxies.networks.is_empty() && !self.open_locally;
        closed.then_some(
            "nobody is let in from other machines until http.tokens is set (`worker token NAME \
                --role ROLE` makes one), \
             or MISSION_API_TOKEN, or http.proxies with http.user_header",
        )
    }

    /// Whose token that is. The token of this machine is none for who connects from another.
    pub(super) fn holder(&self, peer: IpAddr, secret: &str) -> Option<&Token> {
        let own = Some(&self.own).filter(|_| peer.is_loopback());
        self.tokens.iter().chain(own).find(|token| token.is(secret))
    }

    /// Whether that is the token of this machine, or stands for it.
    pub(super) fn is_own(&self, token: &Token) -> bool {
        std::ptr::eq(token, &raw const self.own)
    }

    /// Whose session a one-time link begins, if it is one that nobody has used.
    pub(super) fn holder_of_link(&self, peer: IpAddr, secret: &str) -> Option<&Token> {
        (peer.is_loopback() && self.links.take(secret)).then_some(&self.own)
    }

    fn caller(&self, peer: IpAddr, request: &Request) -> Result<Caller, Problem> {
        let headers = request.headers();
        let address = self.proxies.client(peer, headers);
        if let Some(secret) = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()))
        {
            let token =
                std::str::from_utf8(secret).ok().and_then(|secret| self.holder(peer, secret));
            let token = token.ok_or_else(|| {
                let detail = format!(
                    "this is no token of this worker; see http.tokens, or: {}",
                    way_in(peer)
                );
                Problem::new(StatusCode::UNAUTHORIZED, detail)
            })?;
            return Ok(self.known(
                &token.name,
                token.role,
                How::Token,
                format!("api {address}"),
                &token.name,
            ));
        }
        let from = format!("dashboard {address}");
        if let Some((name, role)) = self.proxies.user(peer, headers) {
            let role = role.ok_or_else(|| {
                let detail = format!(
                    "the proxy gives {name} no role; name viewer, operator or admin in \
                        http.role_header"
                );
                Problem::new(StatusCode::FORBIDDEN, detail)
            })?;
            return Ok(self.known(&name, role, How::Proxy, from, &name));
        }
        if let Some((id, token)) =
            session::cookie(headers).and_then(|id| Some((id, self.sessions.holder(id)?)))
        {
            return Ok(self.known(&token.name, token.role, How::Session, from, id));
        }
        if self.open_locally {
            is_local(peer, request)?;
            return Ok(self.known(LOCAL, Role::Viewer, How::Local, from, ""));
        }
        match self.closed() {
            Some(why) => Err(Problem::new(StatusCode::FORBIDDEN, why)),
            None => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                format!("nobody is let in without a token: {}", way_in(peer)),
            )),
        }
    }

    fn known(&self, name: &str, role: Role, how: How, from: String, identity: &str) -> Caller {
        let role = if self.read_only { Role::Viewer } else { role };
        let csrf = hex(&hash(&format!("{}\n{how:?}\n{identity}", self.key)));
        Caller { name: name.to_owned(), from, role, how, csrf }
    }
}

/// The token in a header `Authorization: Bearer TOKEN`. None if it has another scheme, which is not
/// for the worker.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) =
        value.split_at(value.iter().position(|byte| *byte == b' ').unwrap_or(value.len()));
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

/// Whether the request comes from this machine itself: not passed on, and not by a name that
/// somebody else's name server made this machine's.
fn is_local(peer: IpAddr, request: &Request) -> Result<(), Problem> {
    if !peer.is_loopback() || is_passed_on(request) {
        let detail = format!(
            "a proxy passed this request on, so a token is needed to look, too: {}",
            way_in(peer)
        );
        return Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
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
        "without a token this worker answers who asks for it as localhost or 127.0.0.1; for \
            another name: {HOW_TO_GET_IN}"
    );
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail))
}

/// Whether the request shows that a proxy passed it on. Some add nothing, but speak HTTP/1.0 as
/// nginx does, name the whole address, or leave their own users' `Authorization` in.
fn is_passed_on(request: &Request) -> bool {
    request.version() < Version::HTTP_11
        || request.uri().authority().is_some()
        || request.headers().contains_key(AUTHORIZATION)
        || proxy::is_forwarded(request.headers())
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
    let allowed = match caller.may(Action::Read) {
        Ok(()) => csrf::checked(&app.access, &caller, peer, request).await.and_then(|request| {
            // Whatever the handler would ask for, and before it reads what was sent.
            let changes = !request.method().is_safe() && caller.how == How::Local;
            if changes { Err(needs_token("change something")) } else { Ok(request) }
        }),
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
        caller.ok_or_else(|| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "a handler stands outside `access::admit`",
            )
        })
    }
}

//! Requests that a browser was tricked into sending: refused before they reach a handler.
//!
//! A request that changes something must come from this origin, as far as the browser says where it
//! comes from, and carry the caller's token: in the form's field `csrf`, or in the header
//! `x-csrf-token`. Callers who send a bearer token are nobody's victims; nor are programs on this
//! machine that are no browsers, who are told that they need one.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::MAX_BODY;
use super::access::{Access, Caller, How};
use super::problem::Problem;

/// The header with the caller's token.
const TOKEN: &str = "x-csrf-token";
/// Where the browser says that the request comes from.
const FETCH_SITE: &str = "sec-fetch-site";

/// The request, if it is the caller's own.
pub async fn checked(
    access: &Access,
    caller: &Caller,
    peer: IpAddr,
    request: Request,
) -> Result<Request, Problem> {
    if request.method().is_safe() || caller.how == How::Token {
        return Ok(request);
    }
    same_origin(access, peer, request.headers())?;
    let headers = request.headers();
    if caller.how == How::Local && !is_browser(headers) {
        return Ok(request);
    }
    if let Some(token) = headers.get(TOKEN) {
        return if is_own(caller, token.as_bytes()) { Ok(request) } else { Err(forged()) };
    }
    let form = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !form {
        return Err(forged());
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the form has more than {MAX_BODY} bytes"),
        )
    })?;
    if form_urlencoded::parse(&body)
        .any(|(name, value)| name == "csrf" && is_own(caller, value.as_bytes()))
    {
        return Ok(Request::from_parts(parts, Body::from(body)));
    }
    Err(forged())
}

/// Refuses what a browser says that another site made it send.
pub fn same_origin(access: &Access, peer: IpAddr, headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = || {
        let detail = "another site made your browser send this, or a proxy hides the host that \
            you asked for, which it \
                      must pass on (nginx: proxy_set_header Host $http_host); nothing was done";
        Problem::new(StatusCode::FORBIDDEN, detail)
    };
    // `none` is a person's own doing, such as a bookmark.
    if headers
        .get(FETCH_SITE)
        .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
    {
        return Err(foreign());
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let asked =
        origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match (asked, access.proxies.host(peer, headers)) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(foreign()),
    }
}

fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(FETCH_SITE) || headers.contains_key(COOKIE)
}

fn is_own(caller: &Caller, token: &[u8]) -> bool {
    caller.csrf().as_bytes().ct_eq(token).into()
}

fn forged() -> Problem {
    let detail = "the request does not carry your session's token, perhaps because the worker was \
        started anew; load the \
                  page again, and send the form from there";
    Problem::new(StatusCode::FORBIDDEN, detail)
}

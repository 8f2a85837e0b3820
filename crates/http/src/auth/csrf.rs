//! Protection against cross-site request forgery: forged requests are refused before they reach a
//! handler.
//!
//! A request that changes something must come from this origin, as far as the browser reports an
//! origin, and carry the caller's CSRF token in the form field `csrf` or in the header
//! `x-csrf-token`. Requests with a bearer token cannot be forged, because no browser sends one by
//! itself. Nor can those of programs on this machine that are no browsers; these learn later that
//! they need a token.

use std::net::IpAddr;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::access::{Access, AuthMethod, Caller};
use crate::MAX_BODY;
use crate::problem::{Answer, Problem};

/// The header with the CSRF token.
const TOKEN: &str = "x-csrf-token";
/// The header in which browsers report the site that caused a request.
const FETCH_SITE: &str = "sec-fetch-site";

/// Returns the request if it is the caller's own, and fails with 403 if it may be forged.
pub(crate) async fn checked(
    access: &Access,
    caller: &Caller,
    peer: IpAddr,
    request: Request,
) -> Answer<Request> {
    if request.method().is_safe() || caller.method == AuthMethod::Token {
        return Ok(request);
    }
    same_origin(access, peer, request.headers())?;
    let headers = request.headers();
    if caller.method == AuthMethod::Local && !is_browser(headers) {
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
            format!("the form is larger than {MAX_BODY} bytes"),
        )
    })?;
    if form_urlencoded::parse(&body)
        .any(|(name, value)| name == "csrf" && is_own(caller, value.as_bytes()))
    {
        return Ok(Request::from_parts(parts, Body::from(body)));
    }
    Err(forged())
}

/// Fails with 403 if the browser reports that another site caused the request.
pub(crate) fn same_origin(access: &Access, peer: IpAddr, headers: &HeaderMap) -> Answer<()> {
    let foreign = || {
        let detail = "the request was refused because another site caused it, or because a proxy \
            does not forward the host name; a proxy must (nginx: proxy_set_header Host \
            $http_host)";
        Problem::new(StatusCode::FORBIDDEN, detail)
    };
    // `none` is a person's own action, such as a bookmark.
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
    let detail = "the request lacks the CSRF token of your session, perhaps because the worker \
        restarted; reload the page and send the form again";
    Problem::new(StatusCode::FORBIDDEN, detail)
}

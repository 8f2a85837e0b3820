//! What holds for every answer: the headers that keep browsers strict, and a bound on the time.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::access::Caller;
use super::pages;
use super::problem::Problem;

/// How long an answer may take to begin, the reading of the request's body included.
const WITHIN: Duration = Duration::from_secs(30);

const STRICT: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
            connect-src 'self'; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Bounds the time, shows people a page where programs get a problem, and adds the headers.
pub async fn guard(request: Request, next: Next) -> Response {
    let people = is_for_people(&request);
    let mut response = timeout(WITHIN, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!(
            "the request, or the answer to it, took more than {} s; try again",
            WITHIN.as_secs()
        );
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
    });
    if let Some(problem) = response.extensions().get::<Problem>().filter(|_| people) {
        let mut page = pages::problem(problem, response.extensions().get::<Caller>());
        if let Some(after) = response.headers_mut().remove(RETRY_AFTER) {
            page.headers_mut().insert(RETRY_AFTER, after);
        }
        response = page;
    }
    let headers = response.headers_mut();
    for (name, value) in STRICT {
        // What is stricter stays.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    // Answers concern whoever asked; only assets say otherwise.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether a browser shows the answer to a person.
pub fn is_for_people(request: &Request) -> bool {
    let accepts =
        request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepts.contains("text/html")
}

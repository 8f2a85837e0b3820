//! Extractors that report the path of an invalid value.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use mission_core::json::without_mark;
use mission_jobs::queue::MAX_PAGE;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use url::form_urlencoded;
use uuid::Uuid;

use crate::MAX_BODY;
use crate::problem::{Answer, Problem};

/// The most characters of a reason. The queue keeps no more.
const MAX_REASON: usize = 500;

/// The number above which JSON numbers are not exact: 2^53.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// The query of the address.
pub(crate) struct Query<T>(pub T);

/// The JSON body. An empty body and `null` count as `{}`.
pub(crate) struct Body<T>(pub T);

/// The id in the path, of a job, gateway or bulk action.
pub(crate) struct Id(pub Uuid);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        let read = serde_path_to_error::deserialize(pairs);
        read.map(Self).map_err(|error| wrong(&error.path().to_string(), "the query", error.inner()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = read(request, state).await?;
        let is_empty = matches!(bytes.trim_ascii(), b"" | b"null");
        if !is_empty && !kind.is_some_and(|kind| is_json(kind.as_bytes())) {
            return Err(no_json());
        }
        let json = if is_empty { b"{}" } else { &bytes[..] };
        let mut json = serde_json::Deserializer::from_slice(json);
        let value = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| wrong(&error.path().to_string(), "the body", error.inner()))?;
        json.end().map_err(|error| wrong(".", "the body", &error))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let id = Path::<String>::from_request_parts(parts, state)
            .await
            .ok()
            .and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(|| {
            Problem::wrong(
                "id",
                "this is not an id; use one such as 7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01",
            )
        })
    }
}

/// Reads the body, without the byte order mark that it may begin with. Fails with 413 if it is too
/// large.
pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Answer<Bytes> {
    let body = Bytes::from_request(request, state).await;
    body.map(|body| body.slice_ref(without_mark(&body))).map_err(|rejection: BytesRejection| {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body is larger than {MAX_BODY} bytes; send less at once");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            _ => Problem::new(StatusCode::BAD_REQUEST, "the body is incomplete; send it again"),
        }
    })
}

/// Deserializes the reason for an action.
pub(crate) fn reason<'de, D: Deserializer<'de>>(reason: D) -> Result<String, D::Error> {
    let reason = String::deserialize(reason)?;
    if reason.chars().count() > MAX_REASON {
        return Err(D::Error::custom(format!("a reason may have {MAX_REASON} characters")));
    }
    Ok(reason)
}

/// Returns the number of entries on a page by default.
pub(crate) const fn page() -> usize {
    50
}

/// Deserializes the number of entries on a page.
pub(crate) fn limit<'de, D: Deserializer<'de>>(limit: D) -> Result<usize, D::Error> {
    let limit = usize::deserialize(limit)?;
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(D::Error::custom(format!("use 1 to {MAX_PAGE}")))
}

/// A whole number, which JSON may write as 7 or 7.0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole(pub u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(number)?;
        if number.fract() != 0.0 || !(0.0..MOST_EXACT).contains(&number) {
            return Err(D::Error::custom("use a whole number of 0 or more"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was checked"
        )]
        Ok(Self(number as u64))
    }
}

/// Returns whether a content type is JSON.
pub(crate) fn is_json(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json")
}

/// Makes the problem of a body that is not JSON.
pub(crate) fn no_json() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body must be JSON; send `content-type: application/json`",
    )
}

fn wrong(path: &str, whole: &str, error: &dyn std::fmt::Display) -> Problem {
    if path == "." {
        Problem::wrong("$", format!("{whole} is invalid: {error}"))
    } else {
        Problem::wrong(path, error.to_string())
    }
}

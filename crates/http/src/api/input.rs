//! What a request says, read with the path of whatever is wrong.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use url::form_urlencoded;
use uuid::Uuid;

use crate::MAX_BODY;
use crate::problem::Problem;

/// Most letters of a reason; the queue keeps no more.
const MAX_REASON: usize = 500;

/// Above this, numbers of JSON are not exact: 2^53.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// The query of the url.
pub struct Query<T>(pub T);

/// The body, JSON; one that is empty or `null` is `{}`.
pub struct Body<T>(pub T);

/// The job's or gateway's id in the path.
pub struct Id(pub Uuid);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        let read = serde_path_to_error::deserialize(pairs);
        read.map(Self).map_err(|error| wrong(&error.path().to_string(), "the query", error.inner()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).cloned();
        let bytes = read(request, state).await?;
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return serde_json::from_str("{}")
                .map(Self)
                .map_err(|error| wrong(".", "the body", &error));
        }
        if !kind.is_some_and(|kind| is_json(kind.as_bytes())) {
            return Err(no_json());
        }
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| wrong(&error.path().to_string(), "the body", error.inner()))?;
        json.end().map_err(|error| wrong(".", "the body", &error))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = Path::<String>::from_request_parts(parts, state)
            .await
            .ok()
            .and_then(|Path(id)| id.parse().ok());
        id.map(Self).ok_or_else(|| {
            Problem::wrong(
                "id",
                "this is no id; use one such as 7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01",
            )
        })
    }
}

/// The bytes of the body, if there are not too many.
pub async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body has more than {MAX_BODY} bytes; send less at once");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            }
            _ => Problem::new(
                StatusCode::BAD_REQUEST,
                "the body ended before it was whole; send it again",
            ),
        }
    })
}

/// Reads why somebody does something.
pub fn reason<'de, D: Deserializer<'de>>(reason: D) -> Result<String, D::Error> {
    let reason = String::deserialize(reason)?;
    if reason.chars().count() > MAX_REASON {
        return Err(D::Error::custom(format!("a reason has {MAX_REASON} letters at most")));
    }
    Ok(reason)
}

/// A whole number, as JSON may write it: 7 or 7.0.
#[derive(Debug, Clone, Copy)]
pub struct Whole(pub u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(number: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(number)?;
        if number.fract() != 0.0 || !(0.0..MOST_EXACT).contains(&number) {
            return Err(D::Error::custom("use a whole number that is not below 0"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was looked at"
        )]
        Ok(Self(number as u64))
    }
}

/// Whether that content type is JSON.
pub fn is_json(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    kind.eq_ignore_ascii_case(b"application/json")
}

/// The body is something else.
pub fn no_json() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the body must be JSON; send `content-type: application/json`",
    )
}

fn wrong(path: &str, whole: &str, error: &dyn std::fmt::Display) -> Problem {
    if path == "." {
        Problem::wrong("$", format!("{whole} is not understood: {error}"))
    } else {
        Problem::wrong(path, error.to_string())
    }
}

//! Errors as `application/problem+json` (RFC 9457).

use std::fmt::Display;
use std::str::FromStr;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mission_core::model::DocumentError;
use mission_jobs::QueueError;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// The result of a handler and of its parts.
pub type Answer<T> = Result<T, Problem>;

/// An error in a request, or in something that the request needs.
// The response also carries it as an extension, for the page that shows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// The kind of problem, for programs. It is `about:blank` if the status says everything.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of the HTTP status.
    pub title: &'static str,
    /// The HTTP status as a number.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// The cause and the remedy, in one or two sentences.
    pub detail: String,
    /// The errors in the request, by path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Wrong>,
    /// The seconds after which the request can be tried again.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// An error in one part of the request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Wrong {
    /// The path of the part, such as `jobs[0].gateway.url` or `limit`.
    pub path: String,
    /// The cause and the remedy.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// Makes a problem that its status names.
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self {
            kind: "about:blank",
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Makes the problem of an invalid value at a path of the request.
    pub(crate) fn wrong(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{path}: {message}"));
        problem.errors.push(Wrong { path, message });
        problem
    }

    /// Parses a value at a path of the request.
    pub(crate) fn parse<T: FromStr<Err: Display>>(path: &str, text: &str) -> Answer<T> {
        text.parse().map_err(|error: T::Err| Self::wrong(path, error.to_string()))
    }

    /// Makes the problem of something that does not exist.
    pub(crate) fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// Makes the problem of a request that needs a token.
    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// Makes the problem of a path that does not exist.
    pub(crate) fn no_page() -> Self {
        Self::missing("this path does not exist; /api/docs lists the paths of the API")
    }

    /// Makes the problem of a method that the path does not support.
    pub(crate) fn no_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not support this method; /api/docs lists the methods",
        )
    }

    /// Sets the kind of the problem, for programs.
    #[must_use]
    pub(crate) fn named(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the seconds after which the request can be tried again.
    #[must_use]
    pub(crate) fn for_seconds(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        let status = match &error {
            QueueError::Missing { .. }
            | QueueError::NoWorker { .. }
            | QueueError::UnknownGateway { .. } => StatusCode::NOT_FOUND,
            QueueError::NotRetryable { .. }
            | QueueError::NotCancellable { .. }
            | QueueError::NotSnoozable { .. }
            | QueueError::NotDiscardable { .. }
            | QueueError::Outdated { .. }
            | QueueError::GatewayInUse { .. } => StatusCode::CONFLICT,
            QueueError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            QueueError::Scope { .. }
            | QueueError::EntryId { .. }
            | QueueError::ExpiresTooSoon { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            QueueError::Unavailable { .. } | QueueError::Layout { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, error.to_string());
        match error {
            QueueError::Outdated { .. } => problem.named("/api/docs#outdated"),
            QueueError::Unavailable { .. } | QueueError::Layout { .. } => problem.for_seconds(5),
            _ => problem,
        }
    }
}

impl From<DocumentError> for Problem {
    fn from(error: DocumentError) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
        let wrong = |problem: mission_core::model::Problem| Wrong {
            path: problem.path,
            message: format!("{}; {}", problem.problem, problem.remedy),
        };
        problem.errors = error.problems.into_iter().map(wrong).collect();
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_being_moved_are_not_an_error_of_the_server() {
        let reason = "the keys of the queue are being moved".to_owned();
        let problem = Problem::from(QueueError::Layout { reason: reason.clone() });
        assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((problem.detail, problem.retry_after), (reason, Some(5)));
    }
}

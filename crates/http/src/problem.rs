//! What is wrong, as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mission_core::model::DocumentError;
use mission_jobs::QueueError;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// What is wrong with a request, or with what it needs. The answer also carries it as an extension,
/// for pages to show.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Which problem it is, for programs: `about:blank` if the status says all.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The name of the status.
    pub title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    pub status: StatusCode,
    /// What is wrong and what to do, in one or two sentences.
    pub detail: String,
    /// What of the request is wrong, by path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Wrong>,
    /// After how many seconds it can be tried again.
    #[serde(skip)]
    pub retry_after: Option<u64>,
}

/// One thing of the request that is wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Wrong {
    /// Where, such as `jobs[0].gateway.url` or `limit`.
    pub path: String,
    /// What, and the remedy.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem that its status names.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
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

    /// The request cannot be understood at that path.
    pub fn wrong(path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{path}: {message}"));
        problem.errors.push(Wrong { path, message });
        problem
    }

    /// There is nothing at this path.
    pub fn no_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here; /api/docs lists what there is")
    }

    /// The path does not take this method.
    pub fn no_method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not take this method; /api/docs lists what it takes",
        )
    }

    /// The same problem under a name for programs.
    #[must_use]
    pub fn named(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// The same problem, which is over after that many seconds.
    #[must_use]
    pub fn for_seconds(mut self, seconds: u64) -> Self {
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
            QueueError::Missing { .. } | QueueError::NoWorker { .. } => StatusCode::NOT_FOUND,
            QueueError::NotRetryable { .. }
            | QueueError::NotCancellable { .. }
            | QueueError::NotSnoozable { .. }
            | QueueError::NotDiscardable { .. }
            | QueueError::Outdated { .. } => StatusCode::CONFLICT,
            QueueError::TooMany { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            QueueError::Scope { .. } | QueueError::EntryId { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            QueueError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, error.to_string());
        match &error {
            QueueError::Outdated { .. } => problem.named("/api/docs#outdated"),
            QueueError::Unavailable { .. } => problem.for_seconds(5),
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

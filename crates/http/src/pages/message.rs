//! Pages with one message, and the middleware that shows problems as such pages.

use askama::Template;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::layout::Frame;
use super::{sentence, written};
use crate::auth::Caller;
use crate::problem::Problem;
use crate::security_headers::is_for_people;

/// A page with one message.
#[derive(Template)]
#[template(path = "dashboard/message.html")]
struct MessagePage {
    frame: Frame,
    /// The cause, and what to do.
    detail: String,
}

/// Replaces a problem document by a page if a browser shows the response to a person.
pub(crate) async fn show_problems(request: Request, next: Next) -> Response {
    let for_people = is_for_people(&request);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions().get::<Problem>().filter(|_| for_people) {
        let mut page = problem_page(problem, response.extensions().get::<Caller>());
        if let Some(after) = response.headers_mut().remove(RETRY_AFTER) {
            page.headers_mut().insert(RETRY_AFTER, after);
        }
        response = page;
    }
    response
}

/// Returns the page of a problem. It has the navigation if the caller is known.
pub(super) fn problem_page(problem: &Problem, caller: Option<&Caller>) -> Response {
    let heading = match problem.status {
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::UNAUTHORIZED => "Sign in required",
        StatusCode::FORBIDDEN => "Permission denied",
        StatusCode::CONFLICT => "Not possible now",
        StatusCode::SERVICE_UNAVAILABLE => "Service unavailable",
        status if status.is_server_error() => "Internal error",
        _ => problem.title,
    };
    let detail = sentence(&problem.detail);
    let page = MessagePage { frame: Frame::of(heading, "/", caller), detail };
    (problem.status, written(&page)).into_response()
}

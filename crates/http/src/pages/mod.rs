//! The pages of the dashboard: made here as a whole, so that they work without a script. Scripts
//! only make them live.

mod chart;
mod docs;
mod gateways;
mod groups;
mod home;
mod html;
mod job;
mod job_row;
mod jobs;
mod kinds;
mod layout;
mod many;
mod notices;
mod others;
mod page_context;
mod press;
mod query;
mod report;
mod show;
mod sparkline;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::access::Caller;
use super::problem::Problem;
use super::{App, assets};
use layout::Frame;
use notices::{LoginPage, MessagePage};
pub use show::SharedReads;

/// Pages for who is signed in.
pub fn router() -> Router<Arc<App>> {
    show::router().merge(press::router()).merge(many::router())
}

/// What needs no signing in: style sheets and scripts.
pub fn open() -> Router<Arc<App>> {
    assets::router().merge(press::open())
}

/// The form for signing in. `next` is the path to go to afterwards, `refused` why it did not work;
/// `local` that the token of this machine would do.
pub fn login(next: &str, refused: Option<&Problem>, local: bool) -> Html<String> {
    let error = refused.map(|problem| sentence(&problem.detail));
    written(&LoginPage {
        frame: Frame::stranger("Sign in", "/login"),
        next: next.to_owned(),
        error,
        local,
    })
}

/// A page that says what is wrong, to whom, if that is known.
pub fn problem(problem: &Problem, caller: Option<&Caller>) -> Response {
    let heading = match problem.status {
        StatusCode::NOT_FOUND => "There is no such thing here",
        StatusCode::UNAUTHORIZED => "Sign in first",
        StatusCode::FORBIDDEN => "This is not for you",
        StatusCode::CONFLICT => "That cannot be done now",
        StatusCode::SERVICE_UNAVAILABLE => "Redis does not answer",
        status if status.is_server_error() => "Something went wrong here",
        _ => problem.title,
    };
    let frame = caller
        .map_or_else(|| Frame::stranger(heading, "/"), |caller| Frame::of(heading, "/", caller));
    let page = MessagePage {
        frame,
        heading: heading.to_owned(),
        detail: sentence(&problem.detail),
        back: "/".to_owned(),
    };
    (problem.status, written(&page)).into_response()
}

/// A page that asks for itself again.
pub fn again() -> String {
    "<!doctype html><html lang=en><title>Mission</title><meta http-equiv=refresh content=0></html>"
        .to_owned()
}

/// A page as text.
fn written(page: &impl Template) -> Html<String> {
    Html(page.render().expect("writing to a string does not fail"))
}

/// What programs say, as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let text: String =
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}

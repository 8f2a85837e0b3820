//! The pages of the dashboard.

use std::sync::Arc;

use axum::Router;
use axum::response::{Html, IntoResponse, Response};

use super::App;
use super::access::Caller;
use super::problem::Problem;

/// Pages for who is signed in.
pub fn router() -> Router<Arc<App>> {
    Router::new()
}

/// What needs no signing in: style sheets and scripts.
pub fn open() -> Router<Arc<App>> {
    Router::new()
}

/// The form for signing in. `next` is the path to go to afterwards, `refused` why it did not work.
pub fn login(next: &str, refused: Option<&Problem>) -> Html<String> {
    let refused = refused.map_or_else(String::new, |problem| format!("<p role=alert>{}</p>", text(&problem.detail)));
    Html(format!(
        "<!doctype html><html lang=en><title>Sign in</title>{refused}<form method=post action=/login>\
         <input type=hidden name=next value=\"{}\"><label>Token <input type=password name=token required \
         autocomplete=current-password></label><button>Sign in</button></form></html>",
        text(next)
    ))
}

/// A page that says what is wrong, to whom, if that is known.
pub fn problem(problem: &Problem, _caller: Option<&Caller>) -> Response {
    let page = format!(
        "<!doctype html><html lang=en><title>{0}</title><h1>{0}</h1><p>{1}</p></html>",
        problem.title,
        text(&problem.detail)
    );
    (problem.status, Html(page)).into_response()
}

/// A page that asks for itself again.
pub fn again() -> String {
    "<!doctype html><html lang=en><title>Mission</title><meta http-equiv=refresh content=0></html>".to_owned()
}

fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

//! The pages of the dashboard, one file each with its routes, handlers and view.
//!
//! A page is rendered whole on the server, so it works without scripts. Scripts only keep it up to
//! date.

mod address;
mod api_docs;
mod audit;
mod bulk;
mod chart;
mod failures;
mod gateway;
mod gateways;
mod home;
mod html;
mod job;
mod job_row;
mod jobs;
mod kinds;
mod layout;
mod login;
mod message;
mod page_context;
mod pause;
mod report;
mod shared_reads;
mod sparkline;
mod state_counts;
mod theme;
mod workers;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::Html;

use super::{App, assets};
pub(crate) use message::show_problems;
pub(crate) use shared_reads::SharedReads;

/// Returns the pages for callers who are signed in.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .merge(home::router())
        .merge(jobs::router())
        .merge(job::router())
        .merge(bulk::router())
        .merge(failures::router())
        .merge(gateways::router())
        .merge(gateway::router())
        .merge(workers::router())
        .merge(audit::router())
        .merge(api_docs::router())
        .merge(pause::router())
        .merge(login::router())
}

/// Returns the routes that need no sign-in: style sheets, scripts, the theme and the login form.
pub(crate) fn open() -> Router<Arc<App>> {
    assets::router().merge(theme::router()).merge(login::open())
}

fn written(page: &impl Template) -> Html<String> {
    Html(page.render().expect("writing to a string does not fail"))
}

/// Turns an error message into a sentence, with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let text: String =
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}

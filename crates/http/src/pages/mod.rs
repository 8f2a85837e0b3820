//! The pages of the dashboard, one file each with its handlers and view.
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
use axum::routing::{get, post};

use super::{App, assets};
pub(crate) use message::show_problems;
pub(crate) use shared_reads::SharedReads;

/// Returns the pages for callers who are signed in.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(home::show))
        .route("/jobs", get(jobs::search))
        .route("/jobs/{id}", get(job::show))
        .merge(job::forms())
        .route("/bulk", get(bulk::ask).post(bulk::begin))
        .route("/bulk/{id}", get(bulk::progress))
        .route("/failures", get(failures::show))
        .route("/gateways", get(gateways::show))
        .route("/gateways/{id}", get(gateway::show))
        .route("/gateways/{id}/forget", post(gateway::forget))
        .route("/workers", get(workers::show))
        .route("/workers/{name}/drain", post(workers::drain))
        .route("/workers/{name}/undrain", post(workers::undrain))
        .route("/audit", get(audit::show))
        .route("/api/docs", get(api_docs::show))
        .route("/pause", post(pause::pause))
        .route("/resume", post(pause::resume))
        .route("/logout", post(login::sign_out))
}

/// Returns the routes that need no sign-in: style sheets, scripts, the theme and the login form.
pub(crate) fn open() -> Router<Arc<App>> {
    assets::router()
        .route("/theme", post(theme::choose))
        .route("/login", get(login::form).post(login::sign_in))
}

/// The named values in a list of facts.
type Facts = Vec<(&'static str, String)>;

/// Returns the facts that are known.
fn known_facts<const N: usize>(all: [(&'static str, Option<String>); N]) -> Facts {
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
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

//! Pages for who is not in yet, and for what went wrong.

use askama::Template;

use super::layout::Frame;

/// The page where people sign in.
#[derive(Template)]
#[template(path = "dashboard/login.html")]
pub struct LoginPage {
    /// What is around it.
    pub frame: Frame,
    /// Where they wanted to go.
    pub next: String,
    /// Why they are not in yet.
    pub error: Option<String>,
    /// Whether the token of this machine would let them in.
    pub local: bool,
}

/// A page with one thing to say.
#[derive(Template)]
#[template(path = "dashboard/message.html")]
pub struct MessagePage {
    /// What is around it.
    pub frame: Frame,
    /// What it is.
    pub heading: String,
    /// More of it, and what to do.
    pub detail: String,
    /// Where one came from.
    pub back: String,
}

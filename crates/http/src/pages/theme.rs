//! The choice between the light and the dark theme, kept in a cookie.

use axum::extract::Form;
use axum::http::header::SET_COOKIE;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::address::own_path;

/// Returns the theme of that name, if there is one.
pub(super) fn known_theme(name: &str) -> Option<&'static str> {
    ["light", "dark"].into_iter().find(|theme| *theme == name)
}

#[derive(Deserialize)]
pub(super) struct ThemeForm {
    theme: String,
    #[serde(default)]
    back: String,
}

pub(super) async fn choose(Form(form): Form<ThemeForm>) -> Response {
    let back = Redirect::to(own_path(&form.back));
    match known_theme(&form.theme) {
        Some(theme) => {
            let cookie = format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Strict");
            (AppendHeaders([(SET_COOKIE, cookie)]), back).into_response()
        }
        None => back.into_response(),
    }
}

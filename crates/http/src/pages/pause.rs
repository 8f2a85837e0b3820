//! The forms that pause and resume all jobs, a kind or a gateway.

use axum::extract::Form;
use axum::response::Redirect;
use serde::Deserialize;

use super::address;
use crate::actions::Actions;
use crate::problem::{Answer, Problem};

#[derive(Deserialize)]
pub(super) struct PauseForm {
    scope: String,
    #[serde(default)]
    why: String,
    /// The page to return to.
    #[serde(default)]
    back: String,
}

impl PauseForm {
    fn back(&self, what: &str) -> Redirect {
        let path = address::own_path(&self.back).split('?').next().unwrap_or("/");
        Redirect::to(&address::to(path, &[("did", what)]))
    }
}

pub(super) async fn pause(actions: Actions, Form(form): Form<PauseForm>) -> Answer<Redirect> {
    actions.pause(&Problem::parse("scope", &form.scope)?, &form.why).await?;
    Ok(form.back("pause"))
}

pub(super) async fn resume(actions: Actions, Form(form): Form<PauseForm>) -> Answer<Redirect> {
    actions.resume(&Problem::parse("scope", &form.scope)?, &form.why).await?;
    Ok(form.back("resume"))
}

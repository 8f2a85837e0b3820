//! The forms that act on one job.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Form, Path};
use axum::response::Redirect;
use axum::routing::post;
use serde::Deserialize;
use uuid::Uuid;

use crate::App;
use crate::actions::{Actions, JobAction};
use crate::pages::address;
use crate::problem::{Answer, Problem};

#[derive(Deserialize)]
struct JobForm {
    #[serde(default)]
    why: String,
    #[serde(default)]
    force: bool,
    #[serde(default, rename = "for")]
    wait: String,
}

type ReadAction = fn(&JobForm) -> Answer<JobAction>;

/// The actions by name, each with the function that reads its form.
const FORMS: [(&str, ReadAction); 4] = [
    ("retry", |form| Ok(JobAction::Retry { force: form.force })),
    ("snooze", |form| Ok(JobAction::Snooze(parse_span(&form.wait)?))),
    ("cancel", |_| Ok(JobAction::Cancel)),
    ("discard", |_| Ok(JobAction::Discard)),
];

/// Returns the routes of the forms. Each leads to the page of the job, which shows what was done.
pub(in crate::pages) fn forms() -> Router<Arc<App>> {
    FORMS.into_iter().fold(Router::new(), |router, (name, read)| {
        let act =
            async move |actions: Actions, Path(id): Path<String>, Form(form): Form<JobForm>| {
                let unknown = |_| Problem::wrong("id", format!("{id} is not a job's id"));
                let id: Uuid = id.parse().map_err(unknown)?;
                actions.act(id, read(&form)?, &form.why).await?;
                let page = address::to(&format!("/jobs/{id}"), &[("did", name)]);
                Answer::Ok(Redirect::to(&page))
            };
        router.route(&format!("/jobs/{{id}}/{name}"), post(act))
    })
}

/// Parses a length of time such as `10m`.
pub(in crate::pages) fn parse_span(text: &str) -> Answer<Duration> {
    let span =
        text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.ok_or_else(|| Problem::wrong("for", "use a time such as 10m, 1h or 24h"))
}

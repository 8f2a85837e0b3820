//! The context of a page: the caller, the address, and the queue at a glance.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use mission_jobs::PauseScope;
use mission_jobs::queue::{GatewayRecord, MAX_PAGE, Pause, Summary};
use uuid::Uuid;

use super::gateways;
use super::layout::Frame;
use super::theme::known_theme;
use crate::App;
use crate::actions::Actions;
use crate::auth::{Action, session};
use crate::problem::{Answer, Problem};

/// The context in which a page is rendered. Handlers take it as an argument.
pub(super) struct PageContext {
    pub actions: Actions,
    /// The path and query of the page.
    pub path: String,
    /// The scheme and host of the API, for the commands that pages show.
    pub origin: String,
    theme: Option<&'static str>,
    notice: Option<&'static str>,
}

/// The queue at a glance.
pub(super) struct Glance {
    pub summary: Summary,
    /// The gateways, most recently used first.
    pub gateways: Vec<GatewayRecord>,
}

impl FromRequestParts<Arc<App>> for PageContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Answer<Self> {
        let actions = Actions::from_request_parts(parts, app).await?;
        actions.caller.may(Action::Read)?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let host =
            parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost:8787");
        // A trusted proxy sends this header; without a proxy there is no TLS here.
        let secure = parts.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let origin = format!("{}://{host}", if secure { "https" } else { "http" });
        let theme = session::cookie(&parts.headers, "theme").and_then(known_theme);
        let notice = parts.uri.query().and_then(notice);
        Ok(Self { actions, path, origin, theme, notice })
    }
}

impl PageContext {
    /// Reads the queue at a glance, together with others who do so at the same time.
    pub async fn glance(&self) -> Answer<Arc<Glance>> {
        let app = &self.actions.app;
        let read = |_| async {
            let (summary, gateways) =
                tokio::try_join!(app.queue.summary(), app.queue.gateways(MAX_PAGE))?;
            Ok(Glance { summary, gateways })
        };
        app.shared_reads.glance.read(read).await
    }

    /// Returns the frame of the page.
    pub fn frame(&self, title: &str, glance: &Glance) -> Frame {
        let paused = glance.summary.paused.iter();
        Frame {
            queue: self.actions.app.queue.name().to_owned(),
            theme: self.theme,
            notice: self.notice,
            paused: paused.map(|pause| (glance.paused(pause), pause.clone())).collect(),
            now_ms: glance.now_ms(),
            ..Frame::of(title, &self.path, Some(&self.actions.caller))
        }
    }
}

impl Glance {
    /// Returns the time of the glance by Redis's clock.
    pub const fn now_ms(&self) -> u64 {
        self.summary.at_ms
    }

    /// Returns the name of a gateway, if the gateway is known.
    pub fn name(&self, id: Uuid) -> Option<String> {
        self.gateways.iter().find(|gateway| gateway.id == id).map(gateways::name)
    }

    /// Returns the pause of exactly that scope, if there is one.
    pub fn pause_of(&self, scope: &PauseScope) -> Option<&Pause> {
        self.summary.paused.iter().find(|pause| pause.scope == *scope)
    }

    /// Returns the scope of a pause as the beginning of a sentence.
    fn paused(&self, pause: &Pause) -> String {
        match pause.scope {
            PauseScope::All => "All jobs are paused,".to_owned(),
            PauseScope::Kind(kind) => format!("All {kind} jobs are paused,"),
            PauseScope::Gateway(id) => {
                let name = self.name(id).unwrap_or_else(|| id.to_string());
                format!("Gateway {name} is paused,")
            }
        }
    }
}

/// Returns the notice for the parameter `did`, which names the action that has just been taken.
fn notice(query: &str) -> Option<&'static str> {
    match query.split('&').find_map(|pair| pair.strip_prefix("did="))? {
        "retry" => Some("Job retried: it runs again now."),
        "snooze" => Some("Job snoozed."),
        "cancel" => Some("Job cancelled. A running job stops within seconds."),
        "discard" => Some("Job discarded."),
        "pause" => Some("Paused. Running jobs continue."),
        "resume" => Some("Resumed."),
        "forget" => Some("Gateway forgotten."),
        "drain" => Some("Worker draining. Running jobs continue."),
        "undrain" => Some("Worker takes jobs again."),
        _ => None,
    }
}

//! What every page is made from: who looks at which address, and the queue at a glance.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, HOST};
use axum::http::request::Parts;
use mission_jobs::Scope;
use mission_jobs::queue::{GatewayRecord, MAX_PAGE, Pause, Summary};
use uuid::Uuid;

use super::gateways;
use super::html::When;
use super::layout::{Frame, Paused};
use crate::App;
use crate::access::Caller;
use crate::permissions::Action;
use crate::problem::Problem;

/// A look at a page.
pub struct Visit {
    /// What all pages share.
    pub app: Arc<App>,
    /// Who looks.
    pub caller: Caller,
    /// At what, with its query.
    pub path: String,
    /// Where the API is, for commands.
    pub origin: String,
    theme: Option<&'static str>,
    notice: Option<&'static str>,
}

/// The queue at a glance.
pub struct Glance {
    /// All of it.
    pub summary: Summary,
    /// The gateways, those that jobs came for latest.
    pub gateways: Vec<GatewayRecord>,
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = <Caller as FromRequestParts<Arc<App>>>::from_request_parts(parts, app).await?;
        caller.may(Action::Read)?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let host =
            parts.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost:8787");
        // A proxy that is trusted says so; without one there is no TLS here.
        let secure = parts.headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        let origin = format!("{}://{host}", if secure { "https" } else { "http" });
        let cookies =
            parts.headers.get_all(COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let mut pairs = cookies
            .flat_map(|cookie| cookie.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let theme =
            pairs.find(|(name, _)| *name == "theme").and_then(|(_, theme)| known_theme(theme));
        let notice = parts.uri.query().and_then(notice);
        Ok(Self { app: app.clone(), caller, path, origin, theme, notice })
    }
}

impl Visit {
    /// Looks at the queue.
    pub async fn glance(&self) -> Result<Arc<Glance>, Problem> {
        let read = |_| async {
            let (summary, gateways) =
                tokio::try_join!(self.app.queue.summary(), self.app.queue.gateways(MAX_PAGE))?;
            Ok(Glance { summary, gateways })
        };
        self.app.crowd.glance.read(read).await
    }

    /// What is around the page.
    pub fn frame(&self, title: &str, glance: &Glance) -> Frame {
        let now_ms = glance.summary.at_ms;
        let paused = glance.summary.paused.iter().map(|pause| glance.paused(pause)).collect();
        Frame {
            queue: self.app.queue.name().to_owned(),
            theme: self.theme,
            notice: self.notice,
            paused,
            now_ms,
            ..Frame::of(title, &self.path, &self.caller)
        }
    }
}

impl Glance {
    /// What time it is, by Redis's clock.
    pub const fn now_ms(&self) -> u64 {
        self.summary.at_ms
    }

    /// What a gateway is called.
    pub fn name(&self, id: Uuid) -> Option<String> {
        self.gateways.iter().find(|gateway| gateway.id == id).map(gateways::name)
    }

    /// How that is paused, if it is.
    pub fn pause_of(&self, scope: &Scope) -> Option<Paused> {
        self.summary
            .paused
            .iter()
            .find(|pause| pause.scope == *scope)
            .map(|pause| self.paused(pause))
    }

    fn paused(&self, pause: &Pause) -> Paused {
        let what = match pause.scope {
            Scope::All => "All jobs are paused,".to_owned(),
            Scope::Kind(kind) => format!("All {kind} jobs are paused,"),
            Scope::Gateway(id) => {
                let name = self.name(id).unwrap_or_else(|| id.to_string());
                format!("Gateway {name} is paused,")
            }
        };
        Paused {
            what,
            scope: pause.scope.to_string(),
            at: When { at_ms: pause.at_ms, now_ms: self.now_ms() },
            by: pause.by.clone(),
            reason: pause.reason.clone(),
        }
    }
}

/// A theme by its name.
pub fn known_theme(name: &str) -> Option<&'static str> {
    ["light", "dark"].into_iter().find(|theme| *theme == name)
}

/// What has just been done, by the word that the address has for it.
fn notice(query: &str) -> Option<&'static str> {
    let said = HashMap::from([
        ("retry", "It runs again now."),
        ("snooze", "It waits until then."),
        ("cancel", "It is cancelled, or will be within seconds if it runs."),
        ("discard", "It has left the list of the dead."),
        ("pause", "Paused: no more such jobs are taken, running ones go on."),
        ("resume", "Such jobs are taken again."),
        ("drain", "It finishes what it runs and takes nothing more."),
        ("undrain", "It takes jobs again."),
    ]);
    let did = query.split('&').find_map(|pair| pair.strip_prefix("did="))?;
    said.get(did).copied()
}

//! What the worker serves over HTTP: health and metrics, the API at `/api/v1`, and the pages of the
//! dashboard.
//!
//! A request passes, in this order: [`guard`] (headers, the rate of a client, time), [`access`]
//! (who asks, and whether a browser was tricked into asking), then its handler, which asks [`act`]
//! for whatever changes something.

pub mod access;
pub mod actions;
pub mod api;
mod assets;
pub mod bulk;
mod csrf;
mod event_hub;
mod health;
mod link;
pub mod listener;
mod login_throttle;
mod metrics;
pub mod own_token;
mod pages;
pub mod permissions;
pub mod problem;
pub mod proxy;
mod rate_limit;
mod scan;
mod security_headers;
mod session;
mod settings;
pub mod token;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use mission_jobs::Queue;
use tokio::sync::watch;

use access::Access;
use bulk::Bulks;
use event_hub::Live;
use metrics::ProcessMetrics;
use own_token::OwnTokenError;
use pages::SharedReads;
use problem::Problem;
use scan::Scans;
pub use settings::{AccessSettings, ServerSettings};

/// Largest body of a request, in bytes: a job document is not larger.
pub const MAX_BODY: usize = 1 << 20;

/// What all handlers share.
pub struct App {
    /// The queue.
    pub queue: Queue,
    /// Who may do what.
    pub access: Access,
    /// Actions on many jobs that are under way.
    pub bulks: Bulks,
    /// Those who look for everything.
    pub scans: Scans,
    /// Those who listen to what happens.
    pub live: Live,
    /// Those who look at pages.
    pub crowd: SharedReads,
    /// The numbers for Prometheus.
    pub process_metrics: ProcessMetrics,
    /// True once the worker stops taking jobs.
    pub stopping: watch::Receiver<bool>,
}

/// Where a worker serves, and who can get in there at once.
pub struct Door {
    /// The address, whose port may have been chosen by the system.
    pub addr: SocketAddr,
    app: Arc<App>,
}

impl Door {
    /// A link that signs a browser on this machine in, once.
    pub fn link(&self) -> String {
        format!(
            "http://{}/login?once={}",
            listener::reachable(self.addr),
            self.app.access.links.make()
        )
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}; set another http.addr (MISSION_HTTP_ADDR)")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The token of this machine cannot be read or made.
    #[error(transparent)]
    OwnToken(#[from] OwnTokenError),
}

/// Begins to listen; serves until the process ends.
pub async fn serve(
    settings: &ServerSettings,
    queue: Queue,
    process_metrics: ProcessMetrics,
    stopping: watch::Receiver<bool>,
) -> Result<Door, ServeError> {
    let (listener, addr) = listener::bind(settings.addr).await?;
    let own = own_token::load_or_create(&settings.data_dir)?;
    let access = Access::new(&settings.access, addr.ip(), &own);
    if let Some(why) = access.closed() {
        tracing::info!(http = %addr, "the dashboard and the API are closed: {why}");
    }
    let app = Arc::new(App {
        queue,
        access,
        bulks: Bulks::default(),
        scans: Scans::default(),
        live: Live::new(),
        crowd: SharedReads::default(),
        process_metrics,
        stopping,
    });
    let reading = app.clone();
    tokio::spawn(async move { reading.live.read(&reading.queue).await });
    tokio::spawn(listener::accept(listener, router(&app)));
    Ok(Door { addr, app })
}

fn router(app: &Arc<App>) -> Router {
    let known = Router::new()
        .merge(api::router())
        .merge(pages::router())
        .merge(session::router())
        .layer(from_fn_with_state(app.clone(), access::admit));
    Router::new()
        .merge(known)
        .merge(session::open())
        .merge(pages::open())
        .fallback(|| async { Problem::no_page() })
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), rate_limit::limit))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(from_fn(security_headers::guard))
        .with_state(app.clone())
}

//! The HTTP server of a worker: health and metrics, the API at `/api/v1`, and the pages of the
//! dashboard.
//!
//! A request passes, in this order: the security headers, the time limit, the rate limit of its
//! client, authentication (`auth::access`, which also refuses forged requests), and its handler.
//! Handlers change the queue through `actions` only, which checks the caller's permission.

mod actions;
pub mod api;
mod assets;
mod auth;
mod bulk;
mod event_hub;
mod health;
pub mod listener;
mod metrics;
mod pages;
mod problem;
mod rate_limit;
mod scan;
mod security_headers;
mod settings;
mod stats_range;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use mission_jobs::Queue;
use tokio::sync::watch;

use auth::{Access, access};
pub use auth::{own_token, permissions, proxy, token};
use bulk::Bulks;
use event_hub::EventHub;
pub use metrics::ProcessMetrics;
use own_token::OwnTokenError;
use pages::SharedReads;
pub use problem::Problem;
use scan::Scans;
pub use settings::{AccessSettings, ServerSettings};

/// The largest body of a request in bytes. No job document is larger.
const MAX_BODY: usize = 1 << 20;

/// The state that all handlers share.
pub(crate) struct App {
    queue: Queue,
    access: Access,
    bulks: Bulks,
    scans: Scans,
    events: EventHub,
    shared_reads: SharedReads,
    process_metrics: ProcessMetrics,
    /// True once the worker has stopped claiming jobs.
    stopping: watch::Receiver<bool>,
}

/// A server that listens.
pub struct Door {
    /// The address. The system may have chosen its port.
    pub addr: SocketAddr,
    app: Arc<App>,
}

impl Door {
    /// Returns a link that signs a browser on this machine in, once.
    #[must_use]
    pub fn link(&self) -> String {
        format!(
            "http://{}/login?once={}",
            listener::reachable(self.addr),
            self.app.access.links.make()
        )
    }
}

/// The reason why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}; set another http.addr (MISSION_HTTP_ADDR)")]
    Listen {
        /// The address of the settings.
        addr: SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The token of this machine cannot be read or made.
    #[error(transparent)]
    OwnToken(#[from] OwnTokenError),
}

/// Begins to listen. The server runs until the process ends.
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
        tracing::info!(http = %addr, "dashboard and API are closed: {why}");
    }
    let app = Arc::new(App {
        queue,
        access,
        bulks: Bulks::default(),
        scans: Scans::default(),
        events: EventHub::new(),
        shared_reads: SharedReads::default(),
        process_metrics,
        stopping,
    });
    let reader = app.clone();
    tokio::spawn(async move { reader.events.read(&reader.queue).await });
    tokio::spawn(listener::accept(listener, router(&app)));
    Ok(Door { addr, app })
}

fn router(app: &Arc<App>) -> Router {
    let authenticated = Router::new()
        .merge(api::router())
        .merge(pages::router())
        .layer(from_fn_with_state(app.clone(), access::admit));
    Router::new()
        .merge(authenticated)
        .merge(pages::open())
        .fallback(|| async { Problem::no_page() })
        .method_not_allowed_fallback(|| async { Problem::no_method() })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), rate_limit::limit))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(from_fn(security_headers::limit_time))
        .layer(from_fn(pages::show_problems))
        .layer(from_fn(security_headers::add))
        .with_state(app.clone())
}

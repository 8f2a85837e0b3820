//! The style sheet, scripts and icon of the dashboard, compiled in. `htmx.min.js` is from htmx.org,
//! under `htmx.LICENSE`.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// All assets: path, content type, content.
const ALL: [(&str, &str, &str); 4] = [
    ("/assets/dashboard.css", "text/css; charset=utf-8", include_str!("dashboard.css")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("/assets/htmx.min.js", "text/javascript; charset=utf-8", include_str!("htmx.min.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// The greatest total size in bytes.
#[cfg(test)]
const MOST_BYTES: usize = 100_000;

/// Returns a tag that changes with the assets. Browsers may cache addresses that contain it.
pub(crate) fn tag() -> &'static str {
    static TAG: LazyLock<String> = LazyLock::new(|| {
        let digest = ALL
            .iter()
            .fold(Sha256::new(), |digest, (_, _, content)| digest.chain_update(content))
            .finalize();
        hex::encode(digest)[..12].to_owned()
    });
    &TAG
}

/// Returns the routes of the assets. They need no authentication, since they contain no data.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ALL.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        let headers =
            [(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
        router.route(path, get(move || async move { (headers, content) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_are_small() {
        let bytes: usize = ALL.iter().map(|(_, _, content)| content.len()).sum();
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
    }

    #[test]
    fn assets_load_nothing_from_other_hosts() {
        // The only address in the icon is the name of its format.
        for (path, _, content) in ALL.iter().filter(|(_, kind, _)| *kind != "image/svg+xml") {
            for scheme in ["http://", "https://", "//cdn"] {
                assert!(!content.contains(&format!("\"{scheme}")), "{path} names {scheme}");
            }
        }
    }
}

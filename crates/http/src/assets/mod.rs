//! The dashboard's style sheet, scripts and icon, compiled in. `htmx.min.js` is htmx.org's, under
//! `htmx.LICENSE`.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::token::hex;

/// All of them: path, type, content.
const ALL: [(&str, &str, &str); 4] = [
    ("/assets/dashboard.css", "text/css; charset=utf-8", include_str!("dashboard.css")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_str!("app.js")),
    ("/assets/htmx.min.js", "text/javascript; charset=utf-8", include_str!("htmx.min.js")),
    ("/assets/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// Largest size of all of them together, in bytes, as they are sent.
#[cfg(test)]
const MOST_BYTES: usize = 100_000;

/// Changes whenever one of them does, so that browsers may keep what has it in its address.
#[must_use]
pub fn tag() -> &'static str {
    static TAG: LazyLock<String> = LazyLock::new(|| {
        let digest = ALL
            .iter()
            .fold(Sha256::new(), |digest, (_, _, content)| digest.chain_update(content))
            .finalize();
        hex(&digest)[..12].to_owned()
    });
    &TAG
}

/// Serves them, to anybody: they hold nothing of a queue.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
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
    fn they_are_small() {
        let bytes: usize = ALL.iter().map(|(_, _, content)| content.len()).sum();
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
    }

    #[test]
    fn they_name_no_other_place() {
        // The icon's one address is the name of its format.
        for (path, _, content) in ALL.iter().filter(|(_, kind, _)| *kind != "image/svg+xml") {
            for scheme in ["http://", "https://", "//cdn"] {
                assert!(!content.contains(&format!("\"{scheme}")), "{path} names {scheme}");
            }
        }
    }
}

//! Links that sign a browser in once, as the admin of this machine. `worker demo`, and `worker run`
//! on a terminal, print one. A link is void once it was used, and after an hour.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::token::{hash, random};

/// The time for which a link is valid.
const LIFE: Duration = Duration::from_secs(3600);

/// The links that were not used yet, by the SHA-256 of their secrets.
#[derive(Default)]
pub(crate) struct LoginLinks(Mutex<HashMap<[u8; 32], Instant>>);

impl LoginLinks {
    /// Makes a link and returns its secret.
    pub(crate) fn make(&self) -> String {
        let secret = random();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash(&secret), Instant::now());
        secret
    }

    /// Uses up a link. Returns whether it was valid.
    pub(super) fn take(&self, secret: &str) -> bool {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(secret));
        made.is_some_and(|made| made.elapsed() < LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once() {
        let links = LoginLinks::default();
        let secret = links.make();
        assert!(!links.take("guessed") && links.take(&secret) && !links.take(&secret));
    }
}

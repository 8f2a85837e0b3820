//! Links that sign a browser in once, as the admin of this machine: `worker demo`, and `worker run`
//! on a terminal, print one. A link that was used, or is an hour old, does nothing any more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::token::{hash, random};

/// How long a link can be used.
const LIFE: Duration = Duration::from_secs(3600);

/// The links that nobody has used yet, by the SHA-256 of their secrets.
#[derive(Default)]
pub struct Links(Mutex<HashMap<[u8; 32], Instant>>);

impl Links {
    /// Makes one; its secret.
    pub fn make(&self) -> String {
        let secret = random();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(hash(&secret), Instant::now());
        secret
    }

    /// Uses one up. Returns whether it could be used.
    pub fn take(&self, secret: &str) -> bool {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(secret));
        made.is_some_and(|made| made.elapsed() < LIFE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_once() {
        let links = Links::default();
        let secret = links.make();
        assert!(!links.take("guessed") && links.take(&secret) && !links.take(&secret));
    }
}

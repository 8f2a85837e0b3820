//! Fingerprints of connections: they show whether a gateway has got another connection, without
//! showing the connection.
//!
//! A fingerprint is the first 32 hex digits of a SHA-256 of what decides where a token is sent, and
//! of the token. A reader of Redis could use it to test guesses of the token; so a producer with a
//! key mixes the key in. Without a key the token itself is in Redis.

use mission_core::records::has_connection;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Keyring, token_context};

/// Returns the fingerprint of a document's connection, or an empty text if it has none.
pub(crate) fn of(document: &Value) -> String {
    if !has_connection(document) {
        return String::new();
    }
    let place = token_context("gateway.token", document);
    let token = document["gateway"]["token"].as_str().unwrap_or_default();
    hex(Sha256::new_with_prefix(format!("{place}|{token}")))
}

impl Keyring {
    /// Returns a fingerprint that only holders of the first key can compute. It is the same text if
    /// there is no key, or if the fingerprint is empty.
    pub(crate) fn fingerprint(&self, plain: &[u8]) -> String {
        match self.keys.first() {
            Some(key) if !plain.is_empty() => hex(key.digest.clone().chain_update(plain)),
            _ => String::from_utf8_lossy(plain).into_owned(),
        }
    }
}

fn hex(digest: Sha256) -> String {
    let digest = digest.finalize();
    let first = digest.first_chunk().expect("a digest has 32 bytes");
    format!("{:032x}", u128::from_be_bytes(*first))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn document(changes: &Value) -> Value {
        let mut gateway = json!({
            "id": Uuid::from_u128(7), "url": "wss://host/x", "token": "a secret",
            "workspace_root": "/srv", "name": "Berlin", "revision": 3,
        });
        for (name, value) in changes.as_object().unwrap() {
            gateway[name] = value.clone();
        }
        json!({ "gateway": gateway })
    }

    #[test]
    fn a_fingerprint_changes_with_address_certificate_and_token_only() {
        let plain = of(&document(&json!({})));
        assert_eq!(plain, of(&document(&json!({ "name": "Rome", "revision": 4 }))));
        for other in [
            json!({ "url": "wss://other" }),
            json!({ "token": "another" }),
            json!({ "token": null }),
            json!({ "allow_insecure_tls": true }),
            json!({ "tls_fingerprint": format!("sha256:{}", "0".repeat(64)) }),
        ] {
            assert_ne!(plain, of(&document(&other)), "{other}");
        }
        assert_eq!(of(&json!({ "gateway": { "id": Uuid::from_u128(7) } })), "");
    }

    #[test]
    fn other_producers_can_rely_on_the_form() {
        // The tests of the Python client hold the same values.
        let plain = of(&document(&json!({})));
        let ring: Keyring = KEY.parse().unwrap();
        let keyed = ring.fingerprint(plain.as_bytes());
        assert_eq!(
            (plain.as_str(), keyed.as_str()),
            ("be9cf8a6bf7f6ad2c6774fd867dbbce8", "5075d1f03e6dde2a4de4e2aa543d343a")
        );
        assert_eq!(Keyring::default().fingerprint(plain.as_bytes()), plain);
        assert_eq!(ring.fingerprint(b""), "");
    }
}

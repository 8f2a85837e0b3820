//! Sealing: the secrets of a job document are encrypted before they reach Redis.
//!
//! A sealed field is the text `sealed:<key id>:<base64>`. The base64 holds a nonce of 24 bytes,
//! followed by the field's text encrypted with XChaCha20-Poly1305. The gateway's id, the agent's id
//! (for the agent's token), the field's name and the destination of the secret (the gateway's url,
//! and how its certificate is checked) are authenticated with it. Therefore somebody who can write
//! to Redis but has no key can neither move a sealed field to another gateway or agent nor have it
//! sent to another host. `docs/protocol.md` describes the form for other producers.
//!
//! A [`Keyring`] has any number of keys: the first one seals, and all of them open. A key is
//! rotated in three steps: put the new key first, reseal everything, remove the old key.

pub(crate) mod fingerprint;
mod of_job;
mod open_error;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload as Sealing};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use mission_core::json;
use mission_core::sanitize::one_line;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use open_error::OpenError;

/// The prefix of every sealed field.
const MARK: &str = "sealed:";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// The secrets that are sent to the gateway.
const TOKENS: [(&str, &str); 2] =
    [("/auth_token", "auth_token"), ("/gateway/token", "gateway.token")];
/// The gateway's url, which is a secret only if it carries a password or a query.
const URL: (&str, &str) = ("/gateway/url", "gateway.url");

/// The keys that seal and open secrets. Its `Debug` output shows their ids only.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<Key>,
}

struct Key {
    id: String,
    /// The beginning of a digest that nobody without the key can compute.
    digest: Sha256,
    cipher: XChaCha20Poly1305,
}

/// The error for a key that cannot be used. It never holds the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {number} is not base64 of {KEY_BYTES} bytes; `worker key new` makes one")]
pub struct KeyringError {
    /// The position of the key in the list, from 1.
    number: usize,
}

impl FromStr for Keyring {
    type Err = KeyringError;

    /// Reads keys in base64, separated by commas or white space; the first one seals. An empty text
    /// gives an empty keyring.
    fn from_str(text: &str) -> Result<Self, KeyringError> {
        let texts = text.split([',', ' ', '\t', '\r', '\n']).filter(|text| !text.is_empty());
        let key = |(index, text): (usize, &str)| {
            let bytes = STANDARD
                .decode(text)
                .map(Zeroizing::new)
                .ok()
                .filter(|bytes| bytes.len() == KEY_BYTES);
            bytes.map(|bytes| Key::new(&bytes)).ok_or(KeyringError { number: index + 1 })
        };
        Ok(Self { keys: texts.enumerate().map(key).collect::<Result<_, _>>()? })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl Key {
    fn new(bytes: &[u8]) -> Self {
        let digest = Sha256::digest([b"mission-worker key id\0".as_slice(), bytes].concat());
        let first = digest.first_chunk().expect("a digest has 32 bytes");
        let id = format!("{:08x}", u32::from_be_bytes(*first));
        let digest = Sha256::new_with_prefix(b"mission-worker fingerprint\0");
        Self {
            id,
            digest: digest.chain_update(bytes),
            cipher: XChaCha20Poly1305::new_from_slice(bytes).expect("the length was checked"),
        }
    }

    fn seal(&self, context: &str, secret: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let sealing = Sealing { msg: secret.as_bytes(), aad: context.as_bytes() };
        let sealed =
            self.cipher.encrypt(&XNonce::from(nonce), sealing).expect("a document is short enough");
        format!("{MARK}{}:{}", self.id, STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    fn open(&self, context: &str, sealed: &str) -> Option<Zeroizing<String>> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        let opened = self
            .cipher
            .decrypt(&XNonce::from(*nonce), Sealing { msg: sealed, aad: context.as_bytes() })
            .ok()?;
        String::from_utf8(opened).ok().map(Zeroizing::new)
    }
}

/// Returns the text that is authenticated besides a token: its gateway, its agent if it is the
/// agent's, the field and the destination. The url in `document` must be open.
fn token_context(field: &str, document: &Value) -> String {
    let id = id_of(document, "gateway");
    let agent = if field == "auth_token" { id_of(document, "agent") } else { String::new() };
    format!("mission-worker|{id}|{agent}|{field}|{}", destination(document))
}

/// Returns the text that stands for the place where the tokens of a document are sent.
fn destination(document: &Value) -> String {
    let gateway = &document["gateway"];
    let text = |name: &str| gateway[name].as_str().unwrap_or_default();
    let any_certificate = gateway["allow_insecure_tls"] == Value::Bool(true);
    format!("{any_certificate}|{}|{}", text("tls_fingerprint"), text("url"))
}

/// Returns the text that is authenticated besides a gateway's url.
fn url_context(document: &Value) -> String {
    format!("mission-worker|{}|{}", id_of(document, "gateway"), URL.1)
}

/// Returns an id of a document in lower case with hyphens, or an empty text.
fn id_of(document: &Value, of: &str) -> String {
    let id = document[of]["id"].as_str().and_then(|id| id.parse::<Uuid>().ok());
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// Returns whether a gateway's url carries a secret.
fn has_secret(url: &str) -> bool {
    url.contains('@') || url.contains('?')
}

/// Returns whether a secret of a document, sealed or not, begins with something else than this.
fn has_secret_without(document: &Value, prefix: &str) -> bool {
    TOKENS.iter().chain([&URL]).any(|(pointer, _)| {
        let text = document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let is_secret =
            text.starts_with(MARK) || has_secret(text) || *pointer != URL.0 && !text.is_empty();
        is_secret && !text.starts_with(prefix)
    })
}

/// Returns whether a document has a secret that is not sealed.
pub(crate) fn has_plain_secret(document: &[u8]) -> bool {
    json::read(document).is_ok_and(|document| has_secret_without(&document, MARK))
}

/// Returns whether a field's value is sealed.
pub(crate) fn is_sealed(value: &str) -> bool {
    value.starts_with(MARK)
}

impl Keyring {
    /// Makes a new key, in base64. The result is secret.
    #[must_use]
    pub fn generate() -> Zeroizing<String> {
        let bytes = Zeroizing::new(rand::random::<[u8; KEY_BYTES]>());
        Zeroizing::new(STANDARD.encode(*bytes))
    }

    /// Returns whether the keyring has no key, so that secrets stay in plain text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the ids of the keys, which are not secret, with the sealing key first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Seals the secrets of a document with the first key. Returns none if there is no key,
    /// or if the first key has already sealed every secret. Fields that another key has sealed are
    /// opened first; if that is not possible, the document is left alone.
    #[must_use]
    pub fn seal(&self, document: &[u8]) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let sealed_with_it = format!("{MARK}{}:", key.id);
        let given = json::read(document).ok()?;
        if !has_secret_without(&given, &sealed_with_it) {
            return None;
        }
        let mut opened = json::read(&self.open(document).ok()?).ok()?;
        for (pointer, field) in TOKENS {
            let context = token_context(field, &opened);
            if let Some(Value::String(secret)) = opened.pointer_mut(pointer) {
                *secret = key.seal(&context, &Zeroizing::new(std::mem::take(secret)));
            }
        }
        let context = url_context(&opened);
        if let Some(Value::String(url)) = opened.pointer_mut(URL.0)
            && has_secret(url)
        {
            *url = key.seal(&context, url);
        }
        Some(opened.to_string().into_bytes())
    }

    /// Returns a document with its secrets in plain text.
    pub fn open(&self, document: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let as_it_is = || Ok(Zeroizing::new(document.to_vec()));
        let Ok(mut value) = json::read(document) else { return as_it_is() };
        let context = url_context(&value);
        let mut any = self.open_field(&mut value, URL, &context)?;
        for (pointer, field) in TOKENS {
            let context = token_context(field, &value);
            any |= self.open_field(&mut value, (pointer, field), &context)?;
        }
        if any { Ok(Zeroizing::new(value.to_string().into_bytes())) } else { as_it_is() }
    }

    /// Opens a field in place and returns whether it was sealed.
    fn open_field(
        &self,
        document: &mut Value,
        (pointer, field): (&str, &'static str),
        context: &str,
    ) -> Result<bool, OpenError> {
        let Some(Value::String(secret)) = document.pointer_mut(pointer) else { return Ok(false) };
        let Some(sealed) = secret.strip_prefix(MARK) else { return Ok(false) };
        let (id, sealed) = sealed.split_once(':').ok_or(OpenError::Corrupt { field })?;
        let key = self.keys.iter().find(|key| key.id == id);
        let key = key.ok_or_else(|| OpenError::UnknownKey { field, key: one_line(id, 16) })?;
        *secret = key.open(context, sealed).ok_or(OpenError::Corrupt { field })?.to_string();
        Ok(true)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use serde_json::json;

    use super::*;

    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    fn ring(text: &str) -> Keyring {
        text.parse().unwrap()
    }

    fn document() -> Vec<u8> {
        json!({ "version": 1, "auth_token": "secret-a",
                "gateway": { "id": Uuid::from_u128(7), "url": "wss://me:secret-b@host?x=secret-c",
                             "token": "secret-d" },
                "agent": { "id": Uuid::from_u128(8) } })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn a_document_with_a_member_twice_is_not_made_a_valid_one_by_opening_it() {
        let ring = ring(OLD);
        let sealed = String::from_utf8(ring.seal(&document()).unwrap()).unwrap();
        let twice = sealed.replacen('{', "{\"version\":2,", 1);
        assert_eq!(*ring.open(twice.as_bytes()).unwrap(), twice.as_bytes());
    }

    #[test]
    fn sealed_documents_show_no_secret_and_open_as_they_were() {
        let ring = ring(OLD);
        let sealed = ring.seal(&document()).unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("secret"));
        assert_eq!(*ring.open(&sealed).unwrap(), document());
        assert_eq!(ring.seal(&sealed), None, "nothing is left to seal");
        assert!(!format!("{ring:?}").contains("AAEC"));
    }

    #[test]
    fn a_url_without_secrets_and_empty_fields_stay_as_they_are() {
        let plain = json!({ "auth_token": null, "gateway": { "url": "wss://host", "token": "t" } })
            .to_string();
        let sealed: Value =
            serde_json::from_slice(&ring(OLD).seal(plain.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            (&sealed["auth_token"], &sealed["gateway"]["url"]),
            (&Value::Null, &json!("wss://host"))
        );
        assert_eq!(Keyring::default().seal(plain.as_bytes()), None);
    }

    #[test]
    fn a_key_is_changed_in_three_steps() {
        let sealed = ring(OLD).seal(&document()).unwrap();
        let both = ring(&format!("{NEW}, {OLD}"));
        assert_eq!(*both.open(&sealed).unwrap(), document());
        let resealed = both.seal(&sealed).unwrap();
        assert_eq!(*ring(NEW).open(&resealed).unwrap(), document());
        let error = ring(NEW).open(&sealed).unwrap_err();
        let OpenError::UnknownKey { key, .. } = &error else { panic!("{error:?}") };
        assert_eq!(Some(key.as_str()), ring(OLD).ids().next());
        assert_eq!(ring(NEW).seal(&sealed), None, "what cannot be opened is left alone");
    }

    #[test]
    fn a_field_that_was_moved_or_changed_does_not_open() {
        let ring = ring(OLD);
        let sealed: Value = serde_json::from_slice(&ring.seal(&document()).unwrap()).unwrap();
        let opens = |value: &Value| ring.open(value.to_string().as_bytes()).map(drop);
        assert_eq!(opens(&sealed), Ok(()));
        for (part, field) in [("gateway", "gateway.url"), ("agent", "auth_token")] {
            let mut moved = sealed.clone();
            moved[part]["id"] = json!(Uuid::from_u128(9));
            assert_eq!(opens(&moved), Err(OpenError::Corrupt { field }));
        }
        let mut moved = sealed.clone();
        moved["gateway"]["token"] = sealed["auth_token"].clone();
        assert_eq!(opens(&moved), Err(OpenError::Corrupt { field: "gateway.token" }));
        for (name, value) in [("url", json!("wss://other")), ("allow_insecure_tls", json!(true))] {
            let mut redirected = sealed.clone();
            redirected["gateway"][name] = value;
            assert_eq!(
                opens(&redirected),
                Err(OpenError::Corrupt { field: "auth_token" }),
                "{name}"
            );
        }
        let mut odd = sealed.clone();
        odd["auth_token"] = json!("sealed:d55\u{7f}\ned2c:AAAA");
        odd["gateway"]["url"] = json!("wss://host");
        let error = ring.open(odd.to_string().as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains(r"key d55\u007f\u000ae…,") && !error.contains(char::is_control),
            "{error}"
        );
        for broken in
            ["sealed:", "sealed:x", &sealed["auth_token"].as_str().unwrap().replace('=', "A")[..60]]
        {
            let mut changed = sealed.clone();
            changed["auth_token"] = json!(broken);
            assert!(opens(&changed).is_err(), "{broken}");
        }
    }

    #[test]
    fn other_producers_can_rely_on_the_form() {
        // The tests of the Python client hold the same values: each side must open what the other
        // has sealed.
        let document = |token: &str| {
            json!({
                "auth_token": token,
                "gateway": {
                    "id": Uuid::from_u128(7), "url": "wss://host/x", "allow_insecure_tls": true,
                },
                "agent": { "id": Uuid::from_u128(8) },
            })
        };
        let sealed = document(SEALED_BY_THE_CLIENT);
        let opened = ring(OLD).open(sealed.to_string().as_bytes()).unwrap();
        assert_eq!(*opened, document("a secret").to_string().into_bytes());
    }

    /// `a secret`, sealed by the Python client with [`OLD`] as the token of agent 8 of gateway 7.
    const SEALED_BY_THE_CLIENT: &str =
        "sealed:d55ded2c:ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7HVOK1Zxc7PYE0zJGQJOFlH+6Iet5UxQW";

    #[test]
    fn bad_keys_are_counted_and_not_shown() {
        assert_eq!(
            format!("{OLD},c2hvcnQ=").parse::<Keyring>().unwrap_err(),
            KeyringError { number: 2 }
        );
        assert!(ring(" \n").is_empty());
        assert_eq!(ring(&Keyring::generate()).ids().count(), 1);
    }
}

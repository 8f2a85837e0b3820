//! The worker's device identity: an Ed25519 key by which gateways recognise it.
//!
//! A gateway on another machine requires a person to approve this key once. So the key is kept in a
//! file that only the worker's user can read, shared by all workers of an installation, and never
//! replaced silently: an unusable file is an error, because a new key would require a new approval
//! on every gateway.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::protocol::{CLIENT_ID, CLIENT_MODE, ROLE, SCOPES};
use crate::digest::sha256_hex;
use crate::private_file;

/// The reason why there is no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The file cannot be read or created.
    #[error(
        "device key {path}: {source}; give the worker's user access to it, or set another data \
            directory"
    )]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The cause of the failure.
        source: io::Error,
    },
    /// The file does not contain a key.
    #[error(
        "device key {path} is not a key ({reason}); restore it from a backup, or delete it and \
            approve the new key on each gateway"
    )]
    Corrupt {
        /// The path of the file.
        path: PathBuf,
        /// The fault of the content.
        reason: &'static str,
    },
    /// Other users can read the key.
    #[error("device key {path} can be read by others (mode {mode:o}); run `chmod 600 {path}`")]
    Exposed {
        /// The path of the file.
        path: PathBuf,
        /// The mode bits of the file.
        mode: u32,
    },
}

/// An Ed25519 key and its id on gateways.
pub struct DeviceIdentity {
    key: SigningKey,
    id: String,
}

impl std::fmt::Debug for DeviceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceIdentity").field("id", &self.id).finish_non_exhaustive()
    }
}

impl DeviceIdentity {
    /// Creates a key that lives as long as the process; for tests and for gateways on loopback.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self::from_seed(rand::random())
    }

    /// Reads the key from `path`; creates it with mode 0600 if there is no such file.
    pub fn load_or_create(path: &Path) -> Result<Self, DeviceError> {
        let io = |source| DeviceError::Io { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Self::ephemeral();
                let seed = URL_SAFE_NO_PAD.encode(identity.key.to_bytes());
                match private_file::create(path, seed.as_bytes()) {
                    // Another worker of this installation was faster, and its key is used.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        fs::read_to_string(path)
                    }
                    created => return created.map(|()| identity).map_err(io),
                }
            }
            found => found,
        };
        let text = text.map_err(io)?;
        if let Some(mode) = private_file::exposed(path).map_err(io)? {
            return Err(DeviceError::Exposed { path: path.to_owned(), mode });
        }
        let corrupt = |reason| DeviceError::Corrupt { path: path.to_owned(), reason };
        let seed = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| corrupt("not base64url"))?;
        Ok(Self::from_seed(seed.try_into().map_err(|_| corrupt("not 32 bytes"))?))
    }

    /// Returns the id of the key on gateways: the SHA-256 of the public key in hex.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the `device` member of the connect frame: a signature (version 2) over the client,
    /// the time and the challenge.
    pub(super) fn sign(&self, nonce: &str, signed_at: u64, token: Option<&SecretString>) -> Value {
        let token = token.map_or("", ExposeSecret::expose_secret);
        let scopes = SCOPES.join(",");
        let payload = format!(
            "v2|{}|{CLIENT_ID}|{CLIENT_MODE}|{ROLE}|{scopes}|{signed_at}|{token}|{nonce}",
            self.id
        );
        json!({
            "id": self.id,
            "publicKey": URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes()),
            "signature": URL_SAFE_NO_PAD.encode(self.key.sign(payload.as_bytes()).to_bytes()),
            "signedAt": signed_at,
            "nonce": nonce,
        })
    }

    fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let id = sha256_hex(key.verifying_key());
        Self { key, id }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_kept_private_and_never_replaced() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("data/device.key");
        let first = DeviceIdentity::load_or_create(&path).expect("made");
        let second = DeviceIdentity::load_or_create(&path).expect("read");
        assert_eq!(first.id(), second.id());
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(
            DeviceIdentity::load_or_create(&path),
            Err(DeviceError::Exposed { mode: 0o644, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::write(&path, "half a ke").expect("written");
        assert!(matches!(DeviceIdentity::load_or_create(&path), Err(DeviceError::Corrupt { .. })));
        assert_eq!(fs::read_to_string(&path).expect("kept"), "half a ke");
    }
}

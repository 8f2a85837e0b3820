//! The address of a gateway and what is needed to connect to it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use super::fingerprint::Fingerprint;

/// Where a gateway is and how to get in.
#[derive(Clone)]
pub struct Endpoint {
    /// `ws://` or `wss://`. The token is never put into it.
    pub url: Url,
    /// Sent in the connect frame only.
    pub token: Option<SecretString>,
    /// Accept a certificate that cannot be verified.
    pub allow_insecure_tls: bool,
    /// Accept exactly the certificate with this fingerprint.
    pub tls_fingerprint: Option<Fingerprint>,
}

impl fmt::Debug for Endpoint {
    /// Of the url only the host: people put tokens into the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Tells endpoints apart without keeping a token as a key.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let token = self.token.as_ref().map_or("", ExposeSecret::expose_secret);
        Sha256::new()
            .chain_update(self.url.as_str())
            .chain_update([0, u8::from(self.allow_insecure_tls)])
            .chain_update(self.tls_fingerprint.map(|pinned| pinned.to_string()).unwrap_or_default())
            .chain_update([0])
            .chain_update(token)
            .finalize()
            .into()
    }
}

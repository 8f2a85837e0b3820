//! The address of a gateway and what is needed to connect to it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use super::fingerprint::Fingerprint;

/// The address and the credentials of a gateway.
#[derive(Clone)]
pub struct Endpoint {
    /// The `ws://` or `wss://` url. The token is never put into it.
    pub url: Url,
    /// The token, sent only in the connect frame.
    pub token: Option<SecretString>,
    /// Accepts a certificate that cannot be verified.
    pub allow_insecure_tls: bool,
    /// Accepts only the certificate with this fingerprint.
    pub tls_fingerprint: Option<Fingerprint>,
}

impl fmt::Debug for Endpoint {
    /// Shows only the host of the url, because people put tokens into the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Returns a hash that identifies the endpoint, so that no token is used as a key.
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

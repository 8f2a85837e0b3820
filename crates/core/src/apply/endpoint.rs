//! The conversion of a job's gateway to an endpoint.

use secrecy::ExposeSecret;

use crate::gateway::Endpoint;
use crate::model::Gateway;

impl From<&Gateway> for Endpoint {
    /// Takes the endpoint from a job document. An empty token counts as none.
    fn from(gateway: &Gateway) -> Self {
        let token = gateway.token.clone().filter(|token| !token.expose_secret().is_empty());
        Self {
            url: gateway.url.clone(),
            token,
            allow_insecure_tls: gateway.allow_insecure_tls,
            tls_fingerprint: gateway.tls_fingerprint,
        }
    }
}

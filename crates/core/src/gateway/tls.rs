//! TLS for `wss://`. A certificate is trusted if an authority has signed it, unless the job pins
//! its gateway's certificate or declares that it cannot be verified.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
};

use super::endpoint::Endpoint;
use super::fingerprint::Fingerprint;

/// The reason why the file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file cannot be read, or is not PEM.
    #[error(
        "certificate file {path}: {reason}; correct the path, or give the worker's user access \
            to it"
    )]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The cause of the failure.
        reason: pem::Error,
    },
    /// The file contains no usable certificate.
    #[error(
        "certificate file {path} contains no usable certificate; give certificates of authorities \
            in PEM form"
    )]
    Empty {
        /// The path of the file.
        path: PathBuf,
    },
}

/// The authorities that are trusted to sign gateways' certificates. Those of the system are read
/// when they are first needed.
#[derive(Debug, Default)]
pub struct Trust {
    named: Option<RootCertStore>,
    all: OnceLock<Arc<RootCertStore>>,
}

impl Trust {
    /// Trusts the system's authorities and those of a PEM file.
    pub fn with_file(path: &Path) -> Result<Self, TrustError> {
        let unreadable = |reason| TrustError::Unreadable { path: path.to_owned(), reason };
        let certificates = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
        let mut named = RootCertStore::empty();
        let empty = || TrustError::Empty { path: path.to_owned() };
        for certificate in certificates {
            named.add(certificate.map_err(unreadable)?).map_err(|_| empty())?;
        }
        if named.is_empty() {
            return Err(empty());
        }
        Ok(Self { named: Some(named), all: OnceLock::new() })
    }

    fn authorities(&self) -> Arc<RootCertStore> {
        Arc::clone(self.all.get_or_init(|| {
            let mut all = self.named.clone().unwrap_or_else(RootCertStore::empty);
            // Some certificates of a system may be unreadable; the others are used.
            all.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(all)
        }))
    }

    /// Returns the TLS settings for an endpoint.
    pub(super) fn config(&self, endpoint: &Endpoint) -> Arc<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let rule = match endpoint.tls_fingerprint {
            Some(pinned) => Rule::Pinned(pinned),
            None if endpoint.allow_insecure_tls => Rule::Anything,
            None => {
                let (roots, provider) = (self.authorities(), Arc::clone(&provider));
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
                // Building fails only if there are no authorities.
                Rule::Signed(verifier.build().ok())
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of both versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { rule, algorithms }));
        Arc::new(builder.with_no_client_auth())
    }
}

/// A certificate that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Untrusted {
    pub(super) reason: String,
    pub(super) fingerprint: Fingerprint,
}

impl Untrusted {
    /// Returns the verifier's refusal, if it is the cause of a failed handshake.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        match error.get_ref()?.downcast_ref()? {
            Error::InvalidCertificate(CertificateError::Other(OtherError(refusal))) => {
                refusal.downcast_ref()
            }
            _ => None,
        }
    }
}

/// The rule by which certificates are accepted.
#[derive(Debug)]
enum Rule {
    /// Accepts certificates signed by an authority; with `None`, no authority is trusted.
    Signed(Option<Arc<WebPkiServerVerifier>>),
    /// Accepts only this certificate, whatever it contains.
    Pinned(Fingerprint),
    /// Accepts every certificate without verification.
    Anything,
}

/// Accepts certificates by a rule. The proof that the peer holds the certificate's key is always
/// checked.
#[derive(Debug)]
struct Verifier {
    rule: Rule,
    algorithms: WebPkiSupportedAlgorithms,
}

fn in_words(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "no authority that this machine trusts has signed it",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name than that of the gateway's url"
        }
        // The certificates that gateways generate themselves.
        CertificateError::Other(OtherError(other))
            if matches!(other.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) =>
        {
            "it has signed itself"
        }
        other => return other.to_string(),
    }
    .to_owned()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = Fingerprint::of(end_entity);
        let refusal = match &self.rule {
            Rule::Anything => return Ok(ServerCertVerified::assertion()),
            Rule::Pinned(pinned) if *pinned == fingerprint => {
                return Ok(ServerCertVerified::assertion());
            }
            Rule::Pinned(_) => "it is not the one that tls_fingerprint names".to_owned(),
            Rule::Signed(None) => "this machine trusts no authority".to_owned(),
            Rule::Signed(Some(verifier)) => {
                let (end, chain) = (end_entity, intermediates);
                match verifier.verify_server_cert(end, chain, server_name, ocsp_response, now) {
                    Ok(accepted) => return Ok(accepted),
                    Err(Error::InvalidCertificate(error)) => in_words(&error),
                    Err(error) => error.to_string(),
                }
            }
        };
        let refusal = Untrusted { reason: refusal, fingerprint };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

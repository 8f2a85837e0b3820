//! The files for TLS with Redis.

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, TlsCertificates};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The PEM files of encrypted connections: whom to trust, and the client's own identity. They are
/// read for each connection, so that renewed files are used without a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates of the authorities that may vouch for Redis. If none, the system's
    /// authorities are trusted.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, followed by the intermediate ones. Needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The key of that certificate. Needs `cert_file`.
    pub key_file: Option<PathBuf>,
}

impl Tls {
    /// Reads the files for the client library; none if no file is named.
    pub(crate) fn read(&self) -> Result<Option<TlsCertificates>> {
        let client_tls = match (&self.cert_file, &self.key_file) {
            (None, None) => None,
            (Some(cert), Some(key)) => {
                Some(ClientTlsConfig { client_cert: certificates(cert)?, client_key: read(key)? })
            }
            _ => {
                return Err(Error::other(
                    "a certificate and a key belong together, but one of them is missing",
                ));
            }
        };
        let root_cert = self.ca_file.as_deref().map(certificates).transpose()?;
        let named = client_tls.is_some() || root_cert.is_some();
        Ok(named.then_some(TlsCertificates { client_tls, root_cert }))
    }
}

/// Reads a file and checks that it holds a certificate, because the library takes a file without
/// any as one that trusts nobody.
fn certificates(path: &Path) -> Result<Vec<u8>> {
    let text = read(path)?;
    match CertificateDer::pem_slice_iter(&text).next() {
        Some(Ok(_)) => Ok(text),
        Some(Err(error)) => Err(Error::other(format!("{}: {error}", path.display()))),
        None => Err(Error::other(format!("{} holds no certificate in PEM form", path.display()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::new(error.kind(), format!("{}: {error}", path.display())))
}

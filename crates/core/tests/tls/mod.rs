//! Tests of TLS with a gateway: accepted certificates, and the errors for others.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mission_core::Outcome;
use mission_core::gateway::{
    Call, Clients, DeviceIdentity, Endpoint, GatewayError, Limits, Method, Trust, TrustError,
};
use mission_core::model::Fingerprint;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::connection::{accept, listen};
use crate::scripted::Scripted;

/// The other reasons with their own sentence: a wrong name, a wrong time, and a certificate that
/// the gateway made itself.
#[tokio::test]
async fn the_reason_for_an_untrusted_certificate_is_a_sentence() {
    let named = |name: &str| CertificateParams::new([name.to_owned()]).unwrap();
    let mut expired = named("localhost");
    expired.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let mut own = named("localhost");
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    for (params, words) in
        [(named("elsewhere"), "another name"), (expired, "expired"), (own, "signed itself")]
    {
        let gateway = Certified::with(&params);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("authority.pem");
        std::fs::write(&file, &gateway.authority).unwrap();
        let error = gateway.reached(|_| {}, Trust::with_file(&file).unwrap()).await.unwrap_err();
        assert!(
            matches!(&error, GatewayError::Untrusted { reason, .. } if reason.contains(words)),
            "{words}: {error}"
        );
    }
}

/// A certificate authority that no system knows, and a gateway's certificate for `localhost` that
/// it signed.
struct Certified {
    authority: String,
    certificate: CertificateDer<'static>,
    acceptor: TlsAcceptor,
}

impl Certified {
    fn new() -> Self {
        Self::with(&CertificateParams::new(["localhost".to_owned()]).unwrap())
    }

    fn with(leaf: &CertificateParams) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = pem(params.self_signed(&key).unwrap().der());
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let signed = leaf.signed_by(&key, &issuer).unwrap();
        let certificate = signed.der().clone();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        Self { authority, certificate, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Returns the result of one connection to a gateway with this certificate.
    async fn reached(
        &self,
        how: impl FnOnce(&mut Endpoint),
        trust: Trust,
    ) -> Result<(), GatewayError> {
        let (listener, port) = listen().await;
        let acceptor = self.acceptor.clone();
        let gateway = tokio::spawn(async move {
            // A client that refuses the certificate closes the connection during the handshake.
            let Ok(stream) = acceptor.accept(accept(&listener).await).await else { return };
            let mut gateway = Scripted::open(stream, json!({})).await;
            if let Some(request) = gateway.request().await {
                gateway.answer(&request, &json!({ "config": {} })).await;
            }
        });
        let url = format!("wss://localhost:{port}").parse().unwrap();
        let mut endpoint =
            Endpoint { url, token: None, allow_insecure_tls: false, tls_fingerprint: None };
        how(&mut endpoint);
        let limits = Limits {
            call: Duration::from_secs(10),
            patience: Duration::ZERO,
            idle: Duration::from_secs(60),
        };
        let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), limits).with_trust(trust);
        let answer = Call::new(clients.get(&endpoint)).read(Method::ConfigGet, json!({})).await;
        gateway.await.unwrap();
        answer.map(drop)
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_and_its_fingerprint_named() {
    let gateway = Certified::new();
    let error = gateway.reached(|_| {}, Trust::default()).await.unwrap_err();
    let GatewayError::Untrusted { fingerprint, port, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*fingerprint, Fingerprint::of(&gateway.certificate));
    let (fingerprint, port) = (fingerprint.to_string(), format!("127.0.0.1:{port} "));
    let outcome = Outcome::from(error);
    let failure = outcome.failure().unwrap();
    assert_eq!((outcome.name(), failure.code.as_str()), ("blocked", "untrusted_certificate"));
    assert!(
        failure.message.contains(&fingerprint) && failure.message.contains("no authority"),
        "{failure:?}"
    );
    let action = &failure.remedy.text;
    for part in [fingerprint.as_str(), &port, "openssl", "tls_fingerprint", "gateway.ca_file"] {
        assert!(action.contains(part), "{part}: {action}");
    }
}

#[tokio::test]
async fn a_certificate_is_accepted_if_the_job_allows_any() {
    Certified::new()
        .reached(|endpoint| endpoint.allow_insecure_tls = true, Trust::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_and_no_other() {
    let (gateway, another) = (Certified::new(), Certified::new());
    let pinned = Some(Fingerprint::of(&gateway.certificate));
    gateway.reached(|endpoint| endpoint.tls_fingerprint = pinned, Trust::default()).await.unwrap();
    let error = another
        .reached(|endpoint| endpoint.tls_fingerprint = pinned, Trust::default())
        .await
        .unwrap_err();
    let GatewayError::Untrusted { fingerprint, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*fingerprint, Fingerprint::of(&another.certificate));
    assert!(error.to_string().contains("tls_fingerprint"), "{error}");
}

#[tokio::test]
async fn a_configured_authority_is_trusted_for_its_own_certificates_only() {
    let (gateway, another) = (Certified::new(), Certified::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authorities.pem");
    let trust = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Trust::with_file(&file)
    };
    gateway.reached(|_| {}, trust(&gateway.authority).unwrap()).await.unwrap();
    let both = trust(&format!("{}\n{}", another.authority, gateway.authority)).unwrap();
    gateway.reached(|_| {}, both).await.unwrap();
    let error = gateway.reached(|_| {}, trust(&another.authority).unwrap()).await.unwrap_err();
    assert!(matches!(error, GatewayError::Untrusted { .. }), "{error:?}");
    // A pinned certificate needs no authority, and a certificate that an authority signed is not
    // the pinned one.
    let pinned = Some(Fingerprint::of(&another.certificate));
    let error = gateway
        .reached(|endpoint| endpoint.tls_fingerprint = pinned, trust(&gateway.authority).unwrap())
        .await;
    assert!(matches!(error, Err(GatewayError::Untrusted { .. })), "{error:?}");

    let not_pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "no certificate", not_pem] {
        let error = trust(text).unwrap_err();
        assert!(matches!(error, TrustError::Empty { .. }), "{text}: {error}");
    }
    let error = Trust::with_file(&dir.path().join("missing.pem")).unwrap_err().to_string();
    assert!(error.contains("missing.pem") && error.contains("correct the path"), "{error}");
}

#[tokio::test]
async fn an_address_without_tls_ignores_certificates() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let mut stream = accept(&listener).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let url = format!("wss://localhost:{port}").parse().unwrap();
    let endpoint = Endpoint { url, token: None, allow_insecure_tls: true, tls_fingerprint: None };
    let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), Limits::default());
    let error = Call::new(clients.get(&endpoint)).open().await.unwrap_err();
    assert!(matches!(error, GatewayError::Tls { .. }), "{error:?}");
    assert!(Outcome::from(error).failure().unwrap().remedy.text.contains("ws://"));
}

//! TLS with a private authority, and with certificates of clients.

use std::fs;
use std::path::PathBuf;

use mission_jobs::{Queue, QueueError, Tls};
use mission_test_support::{RedisServer, free_port};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::sentinel::watch;
use super::works;
use crate::worker::eventually;

/// An authority, and the certificates that it signed for the server and for the client.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self::for_host("localhost")
    }

    fn for_host(host: &str) -> Self {
        let files = Self(TempDir::new().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Otherwise all have the same name and count as self-signed.
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        files.write("ca.pem", &authority.pem());
        for (name, host) in [("server", host), ("client", "worker")] {
            let key = KeyPair::generate().unwrap();
            let signed = CertificateParams::new([host.to_owned()])
                .unwrap()
                .signed_by(&key, &authority)
                .unwrap();
            files.write(&format!("{name}.pem"), &signed.pem());
            files.write(&format!("{name}.key"), &key.serialize_pem());
        }
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts a server; `clients` is `yes` if clients need a certificate.
    async fn server(&self, clients: &str) -> RedisServer {
        self.server_with(&["--tls-auth-clients", clients]).await
    }

    async fn server_with(&self, more: &[&str]) -> RedisServer {
        let path = |name| self.path(name).display().to_string();
        RedisServer::start_with(|port| {
            let options = [
                ("--tls-port", port.to_string()),
                ("--tls-cert-file", path("server.pem")),
                ("--tls-key-file", path("server.key")),
                ("--tls-ca-cert-file", path("ca.pem")),
            ];
            let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
            more.iter().map(|&word| word.to_owned()).chain(options).collect()
        })
        .await
    }

    fn authority(&self) -> Tls {
        Tls { ca_file: Some(self.path("ca.pem")), ..Tls::default() }
    }

    fn with_certificate(&self) -> Tls {
        Tls {
            cert_file: Some(self.path("client.pem")),
            key_file: Some(self.path("client.key")),
            ..self.authority()
        }
    }
}

fn open(redis: &RedisServer, host: &str, tls: Tls) -> Queue {
    Queue::open_with(&format!("rediss://{host}:{}/2", redis.port()), "test", tls).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_named() {
    let files = Files::new();
    let redis = files.server("no").await;
    works(&open(&redis, "localhost", files.authority())).await;

    let error = open(&redis, "localhost", Tls::default()).counts().await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let error =
        open(&redis, "127.0.0.1", files.authority()).counts().await.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate() {
    let files = Files::new();
    let redis = files.server("yes").await;
    assert!(
        open(&redis, "localhost", files.authority()).counts().await.unwrap_err().is_unavailable()
    );
    works(&open(&redis, "localhost", files.with_certificate())).await;
}

#[tokio::test]
async fn renewed_files_are_used_by_the_next_connection() {
    let files = Files::new();
    let others = Files::new();
    let redis = files.server("yes").await;
    let tls = files.with_certificate();
    let right = fs::read(files.path("ca.pem")).unwrap();
    fs::copy(others.path("ca.pem"), files.path("ca.pem")).unwrap();
    let queue = open(&redis, "localhost", tls);
    assert!(queue.counts().await.unwrap_err().is_unavailable());
    fs::write(files.path("ca.pem"), right).unwrap();
    works(&queue).await;
}

#[tokio::test]
async fn a_sentinel_and_its_master_may_both_require_tls() {
    let files = Files::for_host("127.0.0.1");
    let master = files.server("yes").await;
    let sentinel = files.server_with(&["--sentinel", "--tls-replication", "yes"]).await;
    let sentinel = watch(sentinel, &master, 1).await;
    let url = format!("rediss+sentinel://127.0.0.1:{}/the-master", sentinel.port());
    works(&Queue::open_with(&url, "test", files.with_certificate()).unwrap()).await;
}

#[tokio::test]
async fn a_cluster_may_require_tls() {
    let files = Files::for_host("127.0.0.1");
    let bus = free_port().to_string();
    let node = files
        .server_with(&["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus])
        .await;
    node.tell::<()>("CLUSTER ADDSLOTSRANGE 0 16383").await;
    eventually("the cluster stands", async || {
        node.tell::<String>("CLUSTER INFO").await.contains("cluster_state:ok")
    })
    .await;
    let url = format!("rediss+cluster://127.0.0.1:{}", node.port());
    works(&Queue::open_with(&url, "test", files.with_certificate()).unwrap()).await;
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let files = Files::new();
    files.write("empty.pem", "nothing");
    let refused = |url: &str, tls: Tls| {
        let Err(QueueError::Tls { reason }) = Queue::open_with(url, "test", tls) else { panic!() };
        reason
    };
    let tls = |name: &str| Tls { ca_file: Some(files.path(name)), ..Tls::default() };
    assert!(refused("rediss://host", tls("missing.pem")).contains("missing.pem: No such file"));
    assert!(
        refused("rediss://host", tls("empty.pem"))
            .ends_with("empty.pem holds no certificate in PEM form")
    );
    assert!(
        refused("rediss://host", tls("server.key"))
            .ends_with("server.key holds no certificate in PEM form")
    );
    assert!(refused("redis://host", tls("ca.pem")).contains("rediss"));
    assert!(
        refused("rediss://host", Tls { key_file: None, ..files.with_certificate() })
            .contains("belong together")
    );
    let swapped = Tls { key_file: Some(files.path("ca.pem")), ..files.with_certificate() };
    assert!(refused("rediss+cluster://host", swapped).contains("private key"));
}

//! A client of the HTTP API of a worker, and of other HTTP servers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use futures_util::{StreamExt, stream};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Time limit of an answer; a worker answers within 30 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// Limit of an answer in bytes, far above a page of 200 jobs.
const MAX_ANSWER: usize = 64 << 20;

/// The reason why a request to the API failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No answer came from the address.
    #[error("no worker answers at {place} ({reason}); check --api, and that the worker runs")]
    Unreachable {
        /// The address of the request.
        place: String,
        /// The error, or that the time is over.
        reason: String,
    },
    /// The token is missing or wrong, or lacks the permission.
    #[error(
        "{said}; set MISSION_API_TOKEN to a token with this permission, or --data-dir to the data \
            directory of a worker on this machine"
    )]
    Forbidden {
        /// The detail that the worker gave.
        said: String,
    },
    /// The worker cannot answer at the moment; a retry can help.
    #[error("{said}")]
    Unavailable {
        /// The detail that the worker gave.
        said: String,
    },
    /// The worker refused the request.
    #[error("{said}")]
    Refused {
        /// The detail that the worker gave.
        said: String,
    },
    /// The answer is not that of a worker of this version.
    #[error(
        "the answer from {place} is not from the API of a worker of this version ({reason}); check \
            --api"
    )]
    Strange {
        /// The address of the request.
        place: String,
        /// The unexpected part of the answer.
        reason: String,
    },
}

/// A client of the API of one worker.
pub struct Client {
    base: Url,
    token: Option<SecretString>,
}

/// A request target, with a new connection for each request.
pub struct Endpoint {
    url: Url,
    tls: Option<TlsConnector>,
}

/// The body of an answer to a refused request.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// A stream over which a request can be sent.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Client {
    /// Checks the URL of the API, without sending anything.
    pub fn new(api: &str) -> anyhow::Result<Self> {
        let base = Url::parse(api)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| {
            anyhow::anyhow!("--api: `{api}` is not a URL; use one such as http://127.0.0.1:8787")
        })?;
        Ok(Self { base, token: None })
    }

    /// Returns whether the URL has a loopback address or `localhost`.
    pub fn is_of_this_machine(&self) -> bool {
        match self.base.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// Sends the token with each request.
    #[must_use]
    pub fn with_token(self, token: Option<SecretString>) -> Self {
        Self { token, ..self }
    }

    /// Sends a GET request below `/api/v1` and parses the answer.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Sends a POST request below `/api/v1` and parses the answer.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// Returns the stream of events, which ends with the connection.
    pub async fn events(
        &self,
    ) -> Result<impl futures_util::Stream<Item = Value> + use<>, ClientError> {
        let answer = self.send(Method::GET, &self.url(&["events"], &[]), None).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.problem(answer).await);
        }
        let pieces = answer
            .into_body()
            .into_data_stream()
            .take_while(|piece| std::future::ready(piece.is_ok()))
            .filter_map(async |piece| piece.ok());
        let events = pieces.scan(Vec::new(), |rest, piece| {
            rest.extend_from_slice(&piece);
            std::future::ready(Some(stream::iter(take_events(rest))))
        });
        Ok(events.flatten().boxed())
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .expect("an address with a host")
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<T, ClientError> {
        let answer = async {
            let answer = self.send(method, &self.url(path, query), body).await?;
            if !answer.status().is_success() {
                return Err(self.problem(answer).await);
            }
            let text = to_bytes(answer.into_body(), MAX_ANSWER)
                .await
                .map_err(|error| self.away(&error))?;
            serde_json::from_slice(&text).map_err(|error| self.strange(error.to_string()))
        };
        timeout(ANSWER_WITHIN, answer)
            .await
            .unwrap_or_else(|_| Err(self.away(&"the answer takes too long")))
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Response<Body>, ClientError> {
        let endpoint = Endpoint::new(url.clone()).map_err(|error| self.away(&error))?;
        let mut request =
            Request::builder().method(method).uri(endpoint.path()).header(HOST, endpoint.host());
        request = request.header(ACCEPT, "application/json, application/problem+json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        }
        let text = body.map(Value::to_string);
        if text.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(text.unwrap_or_default())
            .map_err(|error| self.strange(error.to_string()))?;
        let answer = timeout(ANSWER_WITHIN, endpoint.send(request)).await;
        answer
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer")))
            .map_err(|error| self.away(&format!("{error:#}")))
    }

    async fn problem(&self, answer: Response<Body>) -> ClientError {
        let status = answer.status();
        let text = to_bytes(answer.into_body(), MAX_ANSWER).await.unwrap_or_default();
        let Ok(Problem { detail: said }) = serde_json::from_slice(&text) else {
            return self.strange(format!("it answers {status}"));
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ClientError::Forbidden { said },
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::GATEWAY_TIMEOUT => ClientError::Unavailable { said },
            _ => ClientError::Refused { said },
        }
    }

    fn place(&self) -> String {
        place(&self.base)
    }

    fn away(&self, reason: &dyn ToString) -> ClientError {
        ClientError::Unreachable { place: self.place(), reason: reason.to_string() }
    }

    fn strange(&self, reason: String) -> ClientError {
        ClientError::Strange { place: self.place(), reason }
    }
}

impl Endpoint {
    /// Creates a target; `send` opens the connection.
    pub fn new(url: Url) -> anyhow::Result<Self> {
        let tls = (url.scheme() == "https").then(connector).transpose()?;
        Ok(Self { url, tls })
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send(&self, request: Request<String>) -> anyhow::Result<Response<Body>> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.connect().await?)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?.map(Body::new))
    }

    /// Returns the path and the query for the request line.
    pub fn path(&self) -> String {
        let query = self.url.query().map_or_else(String::new, |query| format!("?{query}"));
        format!("{}{query}", self.url.path())
    }

    /// Returns the value of the `Host` header.
    pub fn host(&self) -> String {
        host(&self.url)
    }

    /// Returns scheme, host and port, without anything secret.
    pub fn place(&self) -> String {
        place(&self.url)
    }

    async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let stream =
            TcpStream::connect((host, self.url.port_or_known_default().unwrap_or_default()))
                .await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.to_owned())?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

/// Returns the host, with the port unless it is the default of the scheme.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn place(url: &Url) -> String {
    format!("{}://{}", url.scheme(), host(url))
}

/// Removes the complete lines from a buffer of server-sent events, and returns their events.
fn take_events(rest: &mut Vec<u8>) -> Vec<Value> {
    let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let whole: Vec<u8> = rest.drain(..=end).collect();
    let lines = whole.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data:")?).ok()).collect()
}

/// Creates a TLS connector that trusts the certificates of the system.
fn connector() -> anyhow::Result<TlsConnector> {
    let mut authorities = RootCertStore::empty();
    authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(
        config.with_root_certificates(authorities).with_no_client_auth(),
    )))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_wherever_they_are_split() {
        let text = b"id: 1-0\nevent: job\ndata: {\"to\":\"ready\"}\n\n: alive\n\nevent: \
            reset\ndata: \n\ndata: {\"to\":\"done\"}\n\n";
        for cut in 0..text.len() {
            let mut rest = text[..cut].to_vec();
            let mut events = take_events(&mut rest);
            rest.extend_from_slice(&text[cut..]);
            events.extend(take_events(&mut rest));
            assert_eq!(
                events,
                [serde_json::json!({ "to": "ready" }), serde_json::json!({ "to": "done" })],
                "{cut}"
            );
        }
    }

    #[test]
    fn only_loopback_addresses_are_of_this_machine() {
        let here = |api| Client::new(api).unwrap().is_of_this_machine();
        assert!(
            ["http://127.0.0.1:8787", "http://[::1]:8787", "http://LOCALHOST", "http://127.1"]
                .into_iter()
                .all(here)
        );
        let remote = [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://0.0.0.0",
        ];
        assert!(!remote.into_iter().any(here));
    }

    #[test]
    fn urls_keep_their_path_and_names_are_encoded() {
        let client = Client::new("https://ops.example/mission/").unwrap();
        let url = client.url(&["workers", "a/b c", "drain"], &[("q", "x y&z".to_owned())]);
        assert_eq!(
            url.as_str(),
            "https://ops.example/mission/api/v1/workers/a%2Fb%20c/drain?q=x+y%26z"
        );
        assert_eq!(client.place(), "https://ops.example");
        assert_eq!(Client::new("http://[::1]:8787").unwrap().place(), "http://[::1]:8787");
        for wrong in ["127.0.0.1:8787", "ftp://host", "worker"] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
    }
}

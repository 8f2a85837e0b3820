//! The HTTP API of a worker, from the side of who asks.

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

/// How long an answer may take; a worker gives one within 30 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(35);
/// Largest answer: a page of 200 jobs has far less.
const MAX_ANSWER: usize = 64 << 20;

/// Why the API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no worker answers at {place} ({reason}); check --api, and that it runs")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// What happened.
        reason: String,
    },
    /// It wants to know who asks, or that person may not.
    #[error(
        "{said}; set MISSION_API_TOKEN to a token that allows it, or --data-dir to that of a \
            worker on this machine"
    )]
    Forbidden {
        /// In its words.
        said: String,
    },
    /// It cannot at the moment.
    #[error("{said}")]
    Unavailable {
        /// In its words.
        said: String,
    },
    /// It does not, in its words.
    #[error("{said}")]
    Refused {
        /// In its words.
        said: String,
    },
    /// What answers is no worker of this version.
    #[error(
        "what answers at {place} is not the API of a worker of this version ({reason}); check --api"
    )]
    Strange {
        /// Where.
        place: String,
        /// What is strange.
        reason: String,
    },
}

/// The API of one worker.
pub struct Client {
    base: Url,
    token: Option<SecretString>,
}

/// A server that is asked for one thing, over a connection of its own.
pub struct Line {
    url: Url,
    tls: Option<TlsConnector>,
}

/// What a worker says of a request that it does not carry out.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// A stream that a request can be sent over.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Client {
    /// Checks where the API is; asks nothing yet.
    pub fn new(api: &str) -> anyhow::Result<Self> {
        let base = Url::parse(api)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| {
            anyhow::anyhow!("--api: `{api}` is no address; use one such as http://127.0.0.1:8787")
        })?;
        Ok(Self { base, token: None })
    }

    /// Whether it is on this machine, as far as its address says.
    pub fn is_of_this_machine(&self) -> bool {
        match self.base.host() {
            Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// Sends this token along.
    #[must_use]
    pub fn with_token(self, token: Option<SecretString>) -> Self {
        Self { token, ..self }
    }

    /// Asks for something.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, ClientError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Has something done.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ClientError> {
        self.call(Method::POST, path, &[], Some(body)).await
    }

    /// The events as they come. The stream ends when the worker or the line does.
    pub async fn events(
        &self,
    ) -> Result<impl futures_util::Stream<Item = Value> + use<>, ClientError> {
        let answer = self.send(Method::GET, &self.url(&["events"], &[]), None).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer).await);
        }
        let pieces = answer
            .into_body()
            .into_data_stream()
            .take_while(|piece| std::future::ready(piece.is_ok()))
            .filter_map(async |piece| piece.ok());
        let told = pieces.scan(Vec::new(), |rest, piece| {
            rest.extend_from_slice(&piece);
            std::future::ready(Some(stream::iter(take_events(rest))))
        });
        Ok(told.flatten().boxed())
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
                return Err(self.refusal(answer).await);
            }
            let text = to_bytes(answer.into_body(), MAX_ANSWER)
                .await
                .map_err(|error| self.away(&error))?;
            serde_json::from_slice(&text).map_err(|error| self.strange(error.to_string()))
        };
        timeout(ANSWER_WITHIN, answer)
            .await
            .unwrap_or_else(|_| Err(self.away(&"it takes too long")))
    }

    async fn send(
        &self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Response<Body>, ClientError> {
        let line = Line::new(url.clone()).map_err(|error| self.away(&error))?;
        let mut request =
            Request::builder().method(method).uri(line.path()).header(HOST, line.host());
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
        let answer = timeout(ANSWER_WITHIN, line.send(request)).await;
        answer
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer")))
            .map_err(|error| self.away(&format!("{error:#}")))
    }

    async fn refusal(&self, answer: Response<Body>) -> ClientError {
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

impl Line {
    /// Connects with the first request.
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

    /// What is asked for, as it stands in a request.
    pub fn path(&self) -> String {
        let query = self.url.query().map_or_else(String::new, |query| format!("?{query}"));
        format!("{}{query}", self.url.path())
    }

    /// The server, as it stands in a request.
    pub fn host(&self) -> String {
        host(&self.url)
    }

    /// Where it is, without anything secret.
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

/// The host, without the port that everybody expects.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn place(url: &Url) -> String {
    format!("{}://{}", url.scheme(), host(url))
}

/// Takes the whole lines off a stream of server-sent events, and reads the events in them.
fn take_events(rest: &mut Vec<u8>) -> Vec<Value> {
    let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let whole: Vec<u8> = rest.drain(..=end).collect();
    let lines = whole.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data:")?).ok()).collect()
}

/// TLS that trusts whom the system trusts.
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
    fn events_are_read_however_they_are_cut() {
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
    fn a_token_of_this_machine_does_not_leave_it() {
        let here = |api| Client::new(api).unwrap().is_of_this_machine();
        assert!(
            ["http://127.0.0.1:8787", "http://[::1]:8787", "http://LOCALHOST", "http://127.1"]
                .into_iter()
                .all(here)
        );
        let elsewhere = [
            "http://10.0.0.1",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://0.0.0.0",
        ];
        assert!(!elsewhere.into_iter().any(here));
    }

    #[test]
    fn addresses_may_have_a_path_and_what_is_in_names_is_quoted() {
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

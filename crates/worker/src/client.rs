//! A client of the HTTP API of a worker, and the means to call other HTTP servers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use reqwest::header::ACCEPT;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
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
    /// The token is missing or wrong, or lacks the permission. This and the next two hold the
    /// detail that the worker gave.
    #[error(
        "{0}; set MISSION_API_TOKEN to a token with this permission, or --data-dir to the data \
            directory of a worker on this machine"
    )]
    Forbidden(String),
    /// The worker cannot answer at the moment; a retry can help.
    #[error("{0}")]
    Unavailable(String),
    /// The worker refused the request.
    #[error("{0}")]
    Refused(String),
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
    http: reqwest::Client,
    base: Url,
    /// The token that is sent with each request.
    pub token: Option<SecretString>,
}

/// The body of an answer to a refused request.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Client {
    /// Checks the URL of the API, without sending anything.
    pub fn new(api: &str) -> anyhow::Result<Self> {
        let base = http_url(api).ok_or_else(|| {
            anyhow!("--api: `{api}` is not a URL; use one such as http://127.0.0.1:8787")
        })?;
        Ok(Self { http: http_client(&base)?, base, token: None })
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

    /// Sends events to `sender` until the connection ends.
    pub async fn send_events(&self, sender: &mpsc::Sender<Value>) -> Result<(), ClientError> {
        let mut answer = self.send(Method::GET, self.url(&["events"], &[]), None).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.problem(answer).await);
        }
        let mut rest = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            rest.extend_from_slice(&piece);
            for event in take_events(&mut rest) {
                let _ = sender.try_send(event);
            }
        }
        Ok(())
    }

    /// Returns the URL of a path below `/api/v1`.
    pub fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
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

    /// Sends a request and parses the answer.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Value>,
    ) -> Result<T, ClientError> {
        let answer = async {
            let answer = self.send(method, url, body).await?;
            if !answer.status().is_success() {
                return Err(self.problem(answer).await);
            }
            let text = read(answer).await.map_err(|error| self.away(&error))?;
            serde_json::from_slice(&text).map_err(|error| self.strange(error.to_string()))
        };
        timeout(ANSWER_WITHIN, answer)
            .await
            .unwrap_or_else(|_| Err(self.away(&"the answer takes too long")))
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<Value>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, url);
        request = request.header(ACCEPT, "application/json, application/problem+json");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = timeout(ANSWER_WITHIN, send(request)).await;
        answer.unwrap_or_else(|_| Err(anyhow!("no answer"))).map_err(|error| self.away(&error))
    }

    async fn problem(&self, answer: Response) -> ClientError {
        let status = answer.status();
        let text = read(answer).await.unwrap_or_default();
        let Ok(Problem { detail: said }) = serde_json::from_slice(&text) else {
            return self.strange(format!("it answers {status}"));
        };
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ClientError::Forbidden(said),
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::GATEWAY_TIMEOUT => ClientError::Unavailable(said),
            _ => ClientError::Refused(said),
        }
    }

    fn away(&self, reason: &dyn ToString) -> ClientError {
        ClientError::Unreachable { place: place(&self.base), reason: reason.to_string() }
    }

    fn strange(&self, reason: String) -> ClientError {
        ClientError::Strange { place: place(&self.base), reason }
    }
}

/// Parses the URL of an HTTP server. A user or a password in it is removed.
pub fn http_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    (is_http && url.set_username("").is_ok() && url.set_password(None).is_ok()).then_some(url)
}

/// Returns scheme, host and port, without anything secret.
pub fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Creates a client for the server of a URL. It opens a connection for each request, and follows
/// neither redirects nor the proxies of the environment.
pub fn http_client(url: &Url) -> anyhow::Result<reqwest::Client> {
    let mut authorities = RootCertStore::empty();
    if url.scheme() == "https" {
        authorities.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.with_root_certificates(authorities).with_no_client_auth())
        .http1_only()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    Ok(client.build()?)
}

/// Sends a request and waits for the head of the answer.
pub async fn send(request: RequestBuilder) -> anyhow::Result<Response> {
    request.send().await.map_err(cause)
}

/// Reads the body of an answer of at most [`MAX_ANSWER`] bytes.
pub async fn read(mut answer: Response) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(cause)? {
        ensure!(text.len() + piece.len() <= MAX_ANSWER, "length limit exceeded");
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

/// Returns the cause of an error alone, because the others contain the URL.
fn cause(error: reqwest::Error) -> anyhow::Error {
    anyhow!("{}", anyhow::Error::from(error).root_cause())
}

/// Removes the complete lines from a buffer of server-sent events, and returns their events.
fn take_events(rest: &mut Vec<u8>) -> Vec<Value> {
    let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return Vec::new() };
    let whole: Vec<u8> = rest.drain(..=end).collect();
    let lines = whole.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data:")?).ok()).collect()
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
        assert_eq!(place(&client.base), "https://ops.example");
        assert_eq!(place(&Client::new("http://[::1]:8787").unwrap().base), "http://[::1]:8787");
        for wrong in ["127.0.0.1:8787", "ftp://host", "worker"] {
            assert!(Client::new(wrong).is_err(), "{wrong}");
        }
    }
}

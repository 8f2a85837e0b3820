//! Sends spans to a collector in batches.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use url::Url;

use super::attributes;
use crate::client::{self, http_client, http_url};
use crate::environment::{
    OTEL_DISABLED, OTEL_RESOURCE, OTEL_SERVICE, OTLP_ENDPOINT, OTLP_HEADERS, OTLP_TRACES_ENDPOINT,
    OTLP_TRACES_HEADERS,
};

/// Limit of spans in one request.
const BATCH: usize = 512;
/// Time for which spans are collected before they are sent.
const GATHER: Duration = Duration::from_secs(2);
/// Time limit of a request to the collector, which is the default of OpenTelemetry.
const WITHIN: Duration = Duration::from_secs(10);
/// Time limit for the last spans when the worker stops.
const AT_THE_END: Duration = Duration::from_secs(3);

/// The destination of spans, as given by the standard variables.
pub struct Target {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    resource: Vec<(String, String)>,
}

impl Target {
    /// Reads the variables through `variable`. Returns `None` if traces are disabled.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Self>> {
        let set = |name: &str| {
            variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        if set(OTEL_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let of_traces = set(OTLP_TRACES_ENDPOINT);
        let of_all =
            set(OTLP_ENDPOINT).map(|url| format!("{}/v1/traces", url.trim_end_matches('/')));
        let Some(url) = of_traces.or(of_all) else { return Ok(None) };
        let url = http_url(&url).context(
            "OTEL_EXPORTER_OTLP_ENDPOINT is not a URL; use one such as http://127.0.0.1:4318",
        )?;
        let headers = set(OTLP_TRACES_HEADERS).or_else(|| set(OTLP_HEADERS)).unwrap_or_default();
        let headers = pairs(&headers).map(|(name, value)| {
            let name = name
                .parse::<HeaderName>()
                .context("OTEL_EXPORTER_OTLP_HEADERS contains an invalid header name")?;
            let mut value = HeaderValue::from_str(&value)
                .context("OTEL_EXPORTER_OTLP_HEADERS contains an invalid header value")?;
            value.set_sensitive(true);
            Ok((name, value))
        });
        let headers = headers.collect::<anyhow::Result<_>>()?;
        let service = set(OTEL_SERVICE).unwrap_or_else(|| "mission-worker".to_owned());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let own = [("service.name".to_owned(), service), ("service.version".to_owned(), version)];
        let more = set(OTEL_RESOURCE).unwrap_or_default();
        let resource = own.into_iter().chain(pairs(&more)).collect();
        Ok(Some(Self { http: http_client(&url)?, url, headers, resource }))
    }
}

/// Parses `name=value,name=value` with percent-encoded values.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let plain = |text: &str| {
        // The query parser decodes a plus as a space, but here it is a plus.
        let query = format!("x={}", text.trim().replace('+', "%2B"));
        url::form_urlencoded::parse(query.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(move |(name, value)| (name.trim().to_owned(), plain(value)))
}

/// The handle of the task that sends spans.
pub struct Exporter {
    ending: watch::Sender<bool>,
    sending: JoinHandle<()>,
}

impl Exporter {
    pub(super) fn start(target: Target, spans: mpsc::Receiver<Value>) -> Self {
        let (ending, end) = watch::channel(false);
        Self { ending, sending: tokio::spawn(send(target, spans, end)) }
    }

    /// Sends the remaining spans and ends the task.
    pub async fn close(self) {
        self.ending.send_replace(true);
        // Spans that are not sent in time are lost; jobs are not affected.
        let _ = timeout(AT_THE_END, self.sending).await;
    }
}

async fn send(target: Target, mut spans: mpsc::Receiver<Value>, mut end: watch::Receiver<bool>) {
    let mut some = Vec::new();
    let mut failing = false;
    loop {
        let is_end = tokio::select! {
            count = spans.recv_many(&mut some, BATCH) => count == 0,
            _ = end.wait_for(|end| *end) => true,
        };
        if !is_end && some.len() < BATCH {
            tokio::select! {
                () = sleep(GATHER) => {}
                _ = end.wait_for(|end| *end) => {}
            }
        }
        while some.len() < BATCH
            && let Ok(span) = spans.try_recv()
        {
            some.push(span);
        }
        if !some.is_empty() {
            let sent = timeout(WITHIN, post(&target, std::mem::take(&mut some))).await;
            let error = sent.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer"))).err();
            match &error {
                Some(error) if !failing => {
                    tracing::warn!(%error, "trace export failed, spans are lost");
                }
                Some(error) => tracing::debug!(%error, "trace export failed"),
                None if failing => tracing::info!("trace export recovered"),
                None => {}
            }
            failing = error.is_some();
        } else if is_end {
            return;
        }
    }
}

async fn post(target: &Target, spans: Vec<Value>) -> anyhow::Result<()> {
    let resource = target.resource.iter().map(|(name, value)| (name.as_str(), json!(value)));
    let resource: Vec<_> = resource.collect();
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(&resource) },
        "scopeSpans": [{
            "scope": { "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
        }],
    }] });
    let request = target.http.post(target.url.clone()).json(&body).headers(target.headers.clone());
    let status = client::send(request).await?.status();
    ensure!(
        status.is_success(),
        "the collector at {} answered {status}",
        client::place(&target.url)
    );
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Option<Target>> {
        let value = |name: &str| {
            variables.iter().find(|(is, _)| *is == name).map(|(_, value)| (*value).to_owned())
        };
        Target::read(value)
    }

    #[test]
    fn the_standard_variables_select_the_target() {
        assert!(read(&[]).unwrap().is_none());
        assert!(
            read(&[(OTLP_ENDPOINT, "http://a:4318"), (OTEL_DISABLED, "TRUE")]).unwrap().is_none()
        );
        let given = [
            (OTLP_ENDPOINT, "http://a:4318/"),
            (OTLP_HEADERS, "api-key=a%20b+c, x=y"),
            (OTEL_RESOURCE, "env=lab"),
        ];
        let target = read(&given).unwrap().unwrap();
        assert_eq!(target.url.as_str(), "http://a:4318/v1/traces");
        let headers: Vec<_> = target
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(headers, [("api-key", "a b+c"), ("x", "y")]);
        assert!(target.resource.contains(&("service.name".to_owned(), "mission-worker".into())));
        assert!(target.resource.contains(&("env".to_owned(), "lab".into())));
        let own = read(&[(OTLP_ENDPOINT, "http://a"), (OTLP_TRACES_ENDPOINT, "https://b/in")])
            .unwrap()
            .unwrap();
        assert_eq!(own.url.as_str(), "https://b/in");
        for wrong in [
            &[(OTLP_ENDPOINT, "collector:4317")][..],
            &[(OTLP_ENDPOINT, "http://a"), (OTLP_HEADERS, "a b=c")],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}

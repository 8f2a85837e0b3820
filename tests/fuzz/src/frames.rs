//! Answers of a gateway: whole runs of jobs, plans and probes against a gateway that answers as the
//! input dictates.
//!
//! The first byte selects what runs. The lines after it have the form `METHOD MEMBERS`: the members
//! of the next answer to that method, such as `"ok":true,"payload":{}`. The last answer to a method
//! is repeated. `! TEXT` is a frame that is sent before the next answer, and `close CODE` closes
//! the connection instead of answering.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mission_core::apply::Applier;
use mission_core::gateway::{Clients, Connector, DeviceIdentity, Limits};
use mission_core::mirror::Mirror;
use mission_core::outcome::Outcome;
use mission_core::render::{Renderer, TemplatesConfig};
use mission_core::seeds::Seeds;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{job, plain};

/// The upper bound of requests per run. No run makes this many, however often it retries.
const MOST_REQUESTS: u32 = 5_000;

/// Keeps waits and retries short: repeated attempts cost time and reveal nothing new.
const LIMITS: Limits = Limits {
    call: Duration::from_secs(10),
    patience: Duration::from_millis(500),
    idle: Duration::from_secs(5),
};

static IDENTITY: LazyLock<Arc<DeviceIdentity>> =
    LazyLock::new(|| Arc::new(DeviceIdentity::ephemeral()));

#[derive(Default)]
struct Script {
    answers: HashMap<String, VecDeque<String>>,
    before: VecDeque<String>,
    closes: VecDeque<u16>,
    requests: u32,
}

impl Script {
    fn read(text: &str) -> Self {
        let mut script = Self::default();
        for (key, rest) in text.split('\n').filter_map(|line| line.split_once(' ')) {
            match key {
                "!" => script.before.push_back(rest.to_owned()),
                "close" => script.closes.extend(rest.parse::<u16>()),
                _ => script.answers.entry(key.to_owned()).or_default().push_back(rest.to_owned()),
            }
        }
        script
    }

    fn answer(&mut self, method: &str) -> Option<String> {
        let answers = self.answers.get_mut(method)?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

/// Runs the target on one input.
pub fn run(input: &[u8]) {
    let Some((choice, script)) = input.split_first() else { return };
    let script = Arc::new(Mutex::new(Script::read(&String::from_utf8_lossy(script))));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        // Longer than any job may take. The clock is simulated, so nobody really waits.
        let run = tokio::time::timeout(Duration::from_secs(3600), play(*choice, script));
        run.await.expect("the run ends");
    });
}

async fn play(choice: u8, script: Arc<Mutex<Script>>) {
    let dial = Connector::from_fn(move |_, _| {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(serve(theirs, Arc::clone(&script)));
        async move { Ok(ours) }
    });
    let applier = Applier {
        clients: Clients::new(Arc::clone(&IDENTITY), LIMITS).with_connector(dial),
        renderer: Renderer::new(TemplatesConfig::default()),
        mirror: Mirror::new("").expect("mirroring is off"),
        seeds: Seeds::default(),
        base_url: None,
    };
    let job = job(choice);
    match choice / 6 % 4 {
        0 | 1 => {
            let run = applier.apply("1", &job, &Arc::default()).await;
            run.steps
                .iter()
                .filter_map(|step| step.note.as_deref())
                .for_each(|error| plain(error, 2048));
            match &run.outcome {
                Outcome::Done(report) => {
                    sound(&serde_json::to_value(report).expect("plain data"), 512 * 1024);
                }
                outcome => failed(outcome),
            }
        }
        2 => match applier.plan(&job).await {
            Ok(plan) => sound(&serde_json::to_value(plan).expect("plain data"), 4 * 1024 * 1024),
            Err(outcome) => failed(&outcome),
        },
        _ => match applier.inspect(job.gateway().expect("every document names a gateway")).await {
            Ok(inspection) => {
                sound(&serde_json::to_value(inspection).expect("plain data"), 64 * 1024);
            }
            Err(outcome) => failed(&outcome),
        },
    }
}

fn failed(outcome: &Outcome) {
    let failure = outcome.failure().expect("the job is not done");
    plain(&failure.message, 4096);
    plain(&failure.remedy.text, 4096);
}

/// Checks that a report is bounded and that its short texts are plain. Diffs may have line breaks.
fn sound(report: &Value, limit: usize) {
    assert!(report.to_string().len() <= limit, "{} bytes", report.to_string().len());
    let mut values = vec![report];
    while let Some(value) = values.pop() {
        match value {
            Value::String(text) => plain(text, 4096),
            Value::Array(items) => values.extend(items),
            Value::Object(members) => {
                values.extend(
                    members.iter().filter(|(name, _)| *name != "diff").map(|(_, value)| value),
                );
            }
            _ => {}
        }
    }
}

async fn serve(stream: DuplexStream, script: Arc<Mutex<Script>>) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let challenge = script.lock().expect("no panic").answer("connect.challenge");
    if let Some(challenge) = challenge {
        let _ = socket.send(Message::text(challenge)).await;
    }
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let request: Value = serde_json::from_str(&text).expect("the worker sends JSON");
        let method = request["method"].as_str().expect("a method");
        let (before, close, answer) = {
            let mut script = script.lock().expect("no panic");
            script.requests += 1;
            assert!(script.requests < MOST_REQUESTS, "the run does not stop sending requests");
            let close = if method == "connect" { None } else { script.closes.pop_front() };
            (script.before.pop_front(), close, script.answer(method))
        };
        if let Some(text) = before {
            let _ = socket.send(Message::text(text)).await;
        }
        if let Some(code) = close {
            let frame = CloseFrame { code: code.into(), reason: "".into() };
            let _ = socket.close(Some(frame)).await;
            return;
        }
        let members = answer.unwrap_or_else(|| r#""ok":true,"payload":{}"#.to_owned());
        let frame = format!(r#"{{"type":"res","id":{},{members}}}"#, request["id"]);
        let _ = socket.send(Message::text(frame)).await;
    }
}

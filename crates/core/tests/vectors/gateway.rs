//! Cases of the config that a gateway returns, the patch that is sent, and answers among other
//! frames.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mission_core::gateway::agents_config::{self, Config, DesiredAgent, Shape};
use mission_core::gateway::{Call, Clients, DeviceIdentity, Endpoint, Limits, Method};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::{Case, Verdict};
use crate::scripted::Scripted;

/// The errors of Python that mean that an answer cannot be used.
const UNUSABLE: [&str; 4] = ["gateway", "python_type_crash", "value", "os"];

fn entries(case: &Case) -> Vec<DesiredAgent> {
    let read = |entry: &Value| DesiredAgent {
        id: entry[0].as_str().expect("an id").to_owned(),
        name: None,
        workspace: entry[1].as_str().expect("a path").to_owned(),
        heartbeat: entry[2].as_object().expect("a heartbeat").clone(),
        set_before: Map::new(),
        takes_over: None,
    };
    agents_config::latest(
        case.input("entries").as_array().expect("a list").iter().map(read).collect(),
    )
}

pub(super) fn latest_entries(case: &Case) -> Verdict {
    let shown = |entry: DesiredAgent| json!([entry.id, entry.workspace, entry.heartbeat]);
    case.returns(entries(case).into_iter().map(shown).collect::<Vec<_>>())
}

pub(super) fn updated_list(case: &Case) -> Verdict {
    case.returns(agents_config::updated_list(
        case.input("raw_list").as_array().expect("a list"),
        &entries(case),
    ))
}

pub(super) fn config(case: &Case) -> Verdict {
    match Config::read(case.input("payload").clone()) {
        Ok(config) => case.returns(json!([config.hash, config.list(), config.data])),
        Err(error) => case.fails(&error, &UNUSABLE),
    }
}

pub(super) fn patch(case: &Case) -> Verdict {
    let config = match Config::read(case.input("config_get").clone()) {
        Ok(config) => config,
        Err(error) => return case.fails(&error, &UNUSABLE),
    };
    let change = config.change(Shape::List, &entries(case), &BTreeSet::new(), "main");
    let sent = change.map(|change| change.patch);
    let expected = case.expected();
    if expected.get("baseHash") != config.hash.as_ref() {
        return Err(format!("sends the hash {:?}, Python {expected}", config.hash));
    }
    // Both are merge patches, so the order of members does not matter. The order of the list does,
    // and it is compared.
    match sent {
        Some(sent) if sent == expected["raw_parsed"] => Ok(()),
        sent => Err(format!("sends {sent:?}, Python {}", expected["raw_parsed"])),
    }
}

/// Sends a request to a gateway that answers with the frames of the case.
pub(super) fn answer(case: &Case) -> Verdict {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url =
            format!("ws://{}", listener.local_addr().expect("an address")).parse().expect("a url");
        let frames = case.input("frames").as_array().expect("a list").clone();
        let gateway = tokio::spawn(serve(listener, frames));
        let limits = Limits {
            call: Duration::from_secs(20),
            patience: Duration::ZERO,
            idle: Duration::from_secs(60),
        };
        let endpoint =
            Endpoint { url, token: None, allow_insecure_tls: false, tls_fingerprint: None };
        let clients = Clients::new(Arc::new(DeviceIdentity::ephemeral()), limits);
        // This method reads the whole answer.
        let answer = Call::new(clients.get(&endpoint)).read(Method::AgentsList, json!({})).await;
        gateway.await.expect("the scripted gateway does not fail");
        match answer {
            Ok(answer) => case.returns(answer.into_value()),
            Err(error) => case.fails(&error, &UNUSABLE),
        }
    })
}

/// Sends a hello, answers the first request with the frames, and closes the connection.
async fn serve(listener: TcpListener, frames: Vec<Value>) {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut gateway = Scripted::open(stream, json!({})).await;
    let question = gateway.request().await.expect("a request");
    for frame in frames {
        // The cases use R as the id of the request.
        let text = frame.as_str().map_or_else(|| frame.to_string(), str::to_owned);
        gateway.send(text.replace("\"R\"", &question["id"].to_string())).await;
    }
    gateway.close().await;
}

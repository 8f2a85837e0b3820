//! Implements the commands, one file each, and holds what several of them share.

pub mod apply;
pub mod audit;
pub mod bench;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod enqueue;
pub mod explain;
pub mod gateways;
pub mod health;
pub mod jobs;
pub mod key;
pub mod migrate;
pub mod pause;
pub mod plan;
pub mod render;
pub mod run;
pub mod token;
pub mod top;
pub mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use mission_core::Job;
use mission_core::apply::{Applier, Desired};
use mission_core::documents::{self, Document};
use mission_core::gateway::{Clients, Connector, DeviceIdentity, Limits, Trust};
use mission_core::json::without_mark;
use mission_core::mirror::Mirror;
use mission_core::model::padded_tokens;
use mission_core::outcome::Failure;
use mission_core::render::{Reader, Renderer, TemplatesConfig};
use mission_jobs::State;
use mission_jobs::queue::Counts;

use crate::exit::{Exit, OrExit};
use crate::output::say;
use crate::settings::Settings;

/// Limit in bytes of a file or of standard input: enough for many documents, but an endless pipe is
/// refused.
const MAX_INPUT: u64 = 256 * 1024 * 1024;

/// The remedy for a Redis that deletes jobs when its memory is full.
const NO_EVICTION_REMEDY: &str = "on that Redis, run CONFIG SET maxmemory-policy noeviction and put \
    `maxmemory-policy noeviction` into its configuration file";

/// Reads a file, or standard input for `-`, without the byte order mark that it may begin with.
pub fn read_input(path: &Path) -> Result<Vec<u8>, Exit> {
    let text = if path == Path::new("-") {
        read_within(std::io::stdin(), MAX_INPUT).context("standard input")
    } else {
        let file = std::fs::File::open(path).map_err(Into::into);
        let text = file.and_then(|file| read_within(file, MAX_INPUT));
        text.with_context(|| path.display().to_string())
    };
    text.map(|text| without_mark(&text).to_vec()).or_usage()
}

fn read_within(input: impl Read, most: u64) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = input.take(most + 1).read_to_end(&mut text)?;
    anyhow::ensure!(
        read as u64 <= most,
        "more than {most} bytes; give the documents in several files"
    );
    Ok(text)
}

/// Reads one job document. An error names the path and the field.
pub fn read_job(path: &Path) -> Result<Job, Exit> {
    parse_job(path, &read_input(path)?)
}

/// Parses the job document in the text of a file, and reports trimmed tokens on standard error.
pub fn parse_job(path: &Path, text: &[u8]) -> Result<Job, Exit> {
    let job = Job::parse(text).with_context(|| path.display().to_string()).or_usage()?;
    report_padded(&path.display().to_string(), text);
    Ok(job)
}

/// Reports tokens with white space around them on standard error: the program that wrote the
/// document may not expect the white space to be removed.
pub fn report_padded(place: &str, document: &[u8]) {
    for path in padded_tokens(document) {
        say(&format!(
            "worker: {place}: {path}: removed the spaces or line breaks around the token"
        ));
    }
}

/// Returns the exit of a command that called a gateway: status 3 if it was unreachable, else 1.
pub fn gateway_exit(failure: Option<&Failure>) -> Result<(), Exit> {
    match failure {
        None => Ok(()),
        Some(failure) if failure.code == "unreachable" => Err(Exit::UNREACHABLE),
        Some(_) => Err(Exit::FAILED),
    }
}

/// Returns a line with the remedy of a failure, if it has one, to follow the message.
pub fn next(failure: &Failure) -> String {
    failure.remedy.text().map_or_else(String::new, |remedy| format!("\n  next: {remedy}"))
}

/// Returns the numbers of jobs in each state that has some, or `none`.
pub fn by_state(counts: &Counts, none: &str) -> String {
    let some = State::ALL.into_iter().filter(|state| counts.of(*state) > 0);
    let numbers: Vec<_> = some.map(|state| format!("{} {state}", counts.of(state))).collect();
    if numbers.is_empty() { none.to_owned() } else { numbers.join(", ") }
}

/// Creates the renderer from the settings.
fn renderer(settings: &Settings) -> Renderer {
    Renderer::new(TemplatesConfig {
        dir: settings.templates_dir.clone(),
        shipped: settings.templates_shipped,
    })
}

/// Renders all documents of a workspace by file name, as a first provisioning writes them.
pub fn render_all(settings: &Settings, of: &Desired) -> Result<BTreeMap<String, String>, Exit> {
    let names = Document::ALL.map(|document| document.file_name().to_owned()).into();
    let refused = BTreeSet::new();
    let reader = Reader { agent: &of.agent, context: &of.context, refused: &refused };
    renderer(settings).render_all(&names, reader, true).or_failed()
}

/// Returns warnings about texts that are too long for a gateway to show to an agent in full.
pub fn long_files(texts: &BTreeMap<String, String>) -> Vec<String> {
    let of = |(name, text): (&String, &String)| {
        let why = documents::too_long(Document::from_file_name(name)?, text, None)?;
        Some(format!("{name}: {why}"))
    };
    texts.iter().filter_map(of).collect()
}

/// Creates the shared state of all runs from the settings. Creates the device key on first use.
pub fn applier(settings: &Settings) -> Result<Applier, Exit> {
    let limits =
        Limits { call: settings.call_timeout, patience: settings.patience, idle: settings.idle };
    applier_within(settings, limits)
}

/// Does the same as [`applier`], with other limits.
pub fn applier_within(settings: &Settings, limits: Limits) -> Result<Applier, Exit> {
    let identity =
        DeviceIdentity::load_or_create(&settings.data_dir.join("device.key")).or_usage()?;
    let trust = settings.gateway_ca_file.as_deref().map(Trust::with_file).transpose();
    let trust = trust.context("gateway.ca_file").or_usage()?.unwrap_or_default();
    Ok(Applier {
        clients: Clients::new(Arc::new(identity), limits)
            .with_trust(trust)
            .with_connector(Connector::within(settings.allowlist.clone())),
        renderer: renderer(settings),
        mirror: Mirror::new(&settings.local_workspace_root).or_usage()?,
        seeds: settings.seeds.clone(),
        base_url: settings.base_url.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_without_end_is_not_read_to_its_end() {
        assert_eq!(read_within(&b"12345"[..], 5).expect("exactly the limit"), b"12345");
        let error = read_within(std::io::repeat(b'x'), 5).expect_err("too long");
        assert_eq!(error.to_string(), "more than 5 bytes; give the documents in several files");
    }
}

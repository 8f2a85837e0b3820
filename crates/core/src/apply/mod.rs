//! Makes a gateway as a job wants it: read first, write only what differs, read back.
//!
//! Each stage of a flow is a loop of reading, comparing and writing that ends when nothing differs
//! any more. So a lost connection, a stale hash, a silently lost write and a job that was killed
//! half-way are all dealt with by the same thing: the next reading.

mod agent_files;
mod change;
mod cleanup;
mod config;
mod config_writer;
mod connect_errors;
mod desired;
mod effective_config;
mod endpoint;
mod escapes;
mod existing_token;
mod failure;
mod heartbeats;
mod mask;
mod ownership;
mod plan;
mod probe;
mod provision;
mod recreate;
mod redact;
mod session;
mod wake;
mod workspace;

use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::gateway::{Call, Clients, Endpoint, GatewayError, Step};
use crate::journal::Journal;
use crate::mirror::Mirror;
use crate::model::Job;
use crate::outcome::{Change, Failure, GatewayFacts, MAX_MESSAGE, Outcome, Report, Skipped};
use crate::overrides::TemplateError;
use crate::render::Renderer;
use crate::sanitize::one_line;
use crate::seeds::Seeds;

pub use desired::Desired;
use existing_token::NoToken;
pub use plan::Plan;
pub use probe::Inspection;
use redact::Secrets;

/// Everything that runs of jobs share: connections, templates, settings.
#[derive(Debug)]
pub struct Applier {
    /// Connections to gateways.
    pub clients: Clients,
    /// Texts of the documents.
    pub renderer: Renderer,
    /// Local copies of the agents' own files.
    pub mirror: Mirror,
    /// What gateways themselves write into new workspaces.
    pub seeds: Seeds,
    /// Address of the main backend's API, shown to agents; none shows a placeholder.
    pub base_url: Option<String>,
}

/// How a run ended, and its first requests.
#[derive(Debug, Clone)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// Its first requests, for the record; empty if no gateway was asked.
    pub steps: Vec<Step>,
}

/// Why a flow stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowError {
    /// The gateway, see [`GatewayError`].
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A template of an operator or of the agent.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The agent's token is neither in the job nor in the agent's files.
    #[error(transparent)]
    NoToken(#[from] NoToken),
}

impl From<FlowError> for Outcome {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Gateway(error) => error.into(),
            FlowError::Template(error @ TemplateError::Unreadable { .. }) => {
                let action = "let the worker's user read templates.dir, or correct the setting";
                Self::Blocked(
                    Failure::new("templates_unreadable", error.to_string()).with_action(action),
                )
            }
            FlowError::Template(error) => {
                let action =
                    "correct the template in the main backend or in templates.dir, then retry";
                Self::Permanent(Failure::new("template", error.to_string()).with_action(action))
            }
            FlowError::NoToken(error) => Self::Blocked(error.into()),
        }
    }
}

impl Applier {
    /// Carries out one job. Always returns; running it again, or after it was killed anywhere, ends
    /// the same. `id` tells the job from others, and is the same in each of its runs. So is the
    /// journal: it says what earlier runs did.
    pub async fn apply(&self, id: &str, job: &Job, journal: &Arc<Journal>) -> Run {
        debug!(id, kind = %job.kind(), "a run begins");
        let Some(gateway) = job.gateway() else {
            let summary = "nothing to do: the gateway has no url".to_owned();
            return Run {
                outcome: Outcome::Done(Box::new(Report { summary, ..Report::default() })),
                steps: Vec::new(),
            };
        };
        let call = Call::of_job(self.clients.get(&Endpoint::from(gateway)), Arc::clone(journal));
        let mut report = Report::default();
        let flow = match job {
            Job::Provision(_) | Job::ProvisionMain(_) => {
                let wanted = Desired::of(job, self.base_url.as_deref())
                    .expect("both kinds of provisioning want an agent");
                // On the heap: it is by far the largest.
                Box::pin(provision::run(self, &call, id, &wanted, &mut report)).await
            }
            Job::Cleanup(job) => cleanup::run(&call, job, &mut report).await,
            Job::HeartbeatSync(job) => heartbeats::run(&call, job, &mut report).await,
            Job::Nothing(_) => unreachable!("a job without a gateway was answered above"),
        };
        // If this fails, the job is another worker's, and what it has done counts there.
        let _ = journal.flush().await;
        let mut steps = call.steps();
        let mut outcome = match flow {
            Ok(roster) => {
                report.changed = !report.written.is_empty();
                change::shorten(&mut report.changes);
                report.account(&call, roster);
                Outcome::Done(Box::new(report))
            }
            Err(error) => error.into(),
        };
        let secrets = Secrets::of(job);
        secrets.hide_in(&mut outcome);
        secrets.hide_in_steps(&mut steps);
        Run { outcome, steps }
    }
}

impl Report {
    /// Fills in the cost of the run, and the gateway as it presented itself.
    fn account(&mut self, call: &Call, roster: Option<&'static str>) {
        let cost = call.cost();
        self.rpc_count = cost.rpcs;
        self.round_trips = cost.round_trips;
        self.connections = cost.connections;
        self.config_writes = cost.config_writes;
        let known = call.client().capabilities();
        self.gateway = call.met().map(|met| GatewayFacts {
            version: met.version.clone(),
            protocol: met.protocol,
            scopes: met.scopes.clone(),
            roster,
            write_limit: known.write_limit,
            restarts_on_write: known.restarts_on_write,
            heartbeat_turns_per_day: known.heartbeat_turns,
        });
    }

    /// Notes something that was written; what is written again counts as it was before the first
    /// time.
    fn note(&mut self, change: Change) {
        if !self.written.contains(&change.what) {
            self.written.push(change.what.clone());
            self.changes.push(change);
        }
    }

    fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let (what, why) = (one_line(&what.into(), MAX_MESSAGE), one_line(&why.into(), MAX_MESSAGE));
        let skipped = Skipped { what, why };
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}

/// How often a stage may write before it gives up: then something else undoes what it writes.
const MAX_WRITES: u32 = 4;

/// Waits between readings while a gateway takes in what was written: 50 ms, doubled up to 1 s.
fn settling(reading: u32) -> Duration {
    Duration::from_millis(50 << reading.min(5)).min(Duration::from_secs(1))
}

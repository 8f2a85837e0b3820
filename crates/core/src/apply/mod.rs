//! Brings a gateway into the state that a job wants: reads first, writes only the difference, and
//! reads back.
//!
//! Each stage of a flow is a loop of reading, comparing and writing that ends when nothing differs.
//! So one mechanism handles a lost connection, a stale hash, a silently lost write and a job that
//! was killed half-way: the next reading.

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

use tokio::time::Instant;
use tracing::debug;

use crate::applied::Applied;
use crate::backoff::Backoff;
use crate::gateway::agents_config::Shape;
use crate::gateway::{Call, Clients, Endpoint, GatewayError, Step};
use crate::journal::Journal;
use crate::mirror::Mirror;
use crate::model::Job;
use crate::outcome::{
    Change, Failure, GatewayFacts, MAX_MESSAGE, Outcome, Remedy, Report, Skipped,
};
use crate::overrides::TemplateError;
use crate::render::Renderer;
use crate::sanitize::one_line;
use crate::seeds::Seeds;

pub use desired::Desired;
use existing_token::NoToken;
pub use plan::Plan;
pub use probe::Inspection;
use redact::Secrets;

/// The resources that all runs share: connections, templates, settings.
#[derive(Debug)]
pub struct Applier {
    /// The connections to gateways.
    pub clients: Clients,
    /// The renderer of the documents.
    pub renderer: Renderer,
    /// The local copies of the agents' own files.
    pub mirror: Mirror,
    /// The texts that gateways themselves write into new workspaces.
    pub seeds: Seeds,
    /// The address of the main backend's API, shown to agents; `None` shows a placeholder.
    pub base_url: Option<String>,
}

/// The outcome of a run, and its first requests.
#[derive(Debug, Clone)]
pub struct Run {
    /// The outcome of the run.
    pub outcome: Outcome,
    /// The first requests, for the record; empty if no gateway was asked.
    pub steps: Vec<Step>,
    /// The keys and files that a provisioning has applied, if it is done.
    pub applied: Option<Applied>,
}

/// The reason why a flow stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FlowError {
    /// An error of the gateway, see [`GatewayError`].
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// An error in a template of an operator or of the agent.
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
                let remedy = Remedy::worker(
                    "let the worker's user read templates.dir, or correct the setting",
                );
                Self::Blocked(
                    Failure::new("templates_unreadable", error.to_string()).with_remedy(remedy),
                )
            }
            FlowError::Template(error) => {
                let remedy =
                    Remedy::backend("correct the template in the main backend or in templates.dir");
                Self::Permanent(Failure::new("template", error.to_string()).with_remedy(remedy))
            }
            FlowError::NoToken(error) => Self::Blocked(error.into()),
        }
    }
}

impl Applier {
    /// Carries out one job and always returns. Running it again, or after it was killed at any
    /// point, has the same result. `id` identifies the job and is the same in each of its runs;
    /// `journal` contains what earlier runs did.
    pub async fn apply(&self, id: &str, job: &Job, journal: &Arc<Journal>) -> Run {
        debug!(id, kind = %job.kind(), "run started");
        let Some(gateway) = job.gateway() else {
            let report = Report { summary: NO_URL.to_owned(), ..Report::default() };
            let outcome = Outcome::Done(Box::new(report));
            return Run { outcome, steps: Vec::new(), applied: None };
        };
        let call = Call::of_job(self.clients.get(&Endpoint::from(gateway)), Arc::clone(journal));
        let mut flow = Flow::new(self, &call);
        let result = match job {
            Job::Provision(_) | Job::ProvisionMain(_) => {
                // This future is by far the largest, so it is on the heap.
                Box::pin(provision::run(&mut flow, id, &self.desired(job))).await
            }
            Job::Cleanup(job) => cleanup::run(&mut flow, job).await,
            Job::HeartbeatSync(job) => heartbeats::run(&mut flow, job).await,
            Job::Nothing(_) => unreachable!("a job without a gateway was answered above"),
        };
        // If this fails, the job belongs to another worker, and the steps count there.
        let _ = journal.flush().await;
        let is_provisioned =
            result.is_ok() && matches!(job, Job::Provision(_) | Job::ProvisionMain(_));
        let applied = is_provisioned.then(|| std::mem::take(&mut flow.applied));
        let mut outcome = match result {
            Ok(()) => Outcome::Done(Box::new(flow.finish())),
            Err(error) => error.into(),
        };
        let mut steps = call.steps();
        let secrets = Secrets::of(job);
        secrets.hide_in(&mut outcome);
        secrets.hide_in_steps(&mut steps);
        Run { outcome, steps, applied }
    }

    fn desired(&self, job: &Job) -> Desired {
        Desired::of(job, self.base_url.as_deref())
            .expect("both kinds of provisioning want an agent")
    }
}

/// The summary of a job without a gateway. A queue fills in the connection that is stored for it.
const NO_URL: &str =
    "nothing to do: the document has no url, and no stored connection of its gateway is used";

/// A flow that is being carried out or planned.
struct Flow<'a> {
    applier: &'a Applier,
    call: &'a Call,
    /// The time when the run began.
    begun: Instant,
    /// The shape of the gateway's config, once a stage has converged it.
    shape: Option<Shape>,
    /// The keys and files that this run and those before it have applied.
    applied: Applied,
    report: Report,
}

impl<'a> Flow<'a> {
    fn new(applier: &'a Applier, call: &'a Call) -> Self {
        Self {
            applier,
            call,
            begun: Instant::now(),
            shape: None,
            applied: Applied::default(),
            report: Report::default(),
        }
    }

    /// Returns the report, with the cost of the run, and the gateway as it presented itself.
    fn finish(self) -> Report {
        let Self { call, shape, mut report, .. } = self;
        change::shorten(&mut report.changes);
        let (cost, known) = (call.cost(), call.client().capabilities());
        Report {
            changed: !report.written.is_empty(),
            rpc_count: cost.rpcs,
            round_trips: cost.round_trips,
            connections: cost.connections,
            config_writes: cost.config_writes,
            gateway: call.server_info().map(|met| GatewayFacts {
                version: met.version.clone(),
                protocol: met.protocol,
                scopes: met.scopes.clone(),
                roster: shape.map(|shape| shape.as_str().to_owned()),
                write_limit: known.write_limit,
                restarts_on_write: known.restarts_on_write,
                heartbeat_turns_per_day: known.heartbeat_turns,
            }),
            ..report
        }
    }

    /// Notes a written change. If the same thing is written again, its first change remains.
    fn note(&mut self, change: Change) {
        if !self.report.written.contains(&change.what) {
            self.report.written.push(change.what.clone());
            self.report.changes.push(change);
        }
    }

    /// Notes something that was left out, with the reason.
    fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let skipped = Skipped {
            what: one_line(&what.into(), MAX_MESSAGE),
            why: one_line(&why.into(), MAX_MESSAGE),
        };
        if !self.report.skipped.contains(&skipped) {
            self.report.skipped.push(skipped);
        }
    }
}

/// The most agents that are named in one line of a report.
const MAX_NAMED: usize = 5;

/// The number of writes after which a stage gives up, because something else undoes them.
const MAX_WRITES: u32 = 4;

/// Returns the wait before the next reading while a gateway applies a write: 50 ms, doubled up to 1
/// s.
fn settling(reading: u32) -> Duration {
    const SETTLING: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    SETTLING.delay(reading + 1)
}

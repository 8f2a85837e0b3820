//! The plan of a job: reads and compares as the job would when it is carried out, and writes
//! nothing.

use serde::Serialize;

use super::mask::mask;
use super::redact::Secrets;
use super::{
    Applier, Desired, Flow, FlowError, NO_URL, agent_files, cleanup, config, heartbeats, provision,
    session, wake,
};
use crate::gateway::{Call, Endpoint};
use crate::model::Job;
use crate::outcome::{Change, Outcome, Report, Skipped};

/// The changes that a job would make. Contains no secret.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Plan {
    /// A sentence for people.
    pub summary: String,
    /// The changes that would be written, in order; empty if the gateway is as it should be.
    pub changes: Vec<Change>,
    /// The things that would be left out, as far as the gateway has refused them before.
    pub skipped: Vec<Skipped>,
}

impl Applier {
    /// Returns what [`Applier::apply`] would write now. The error is the outcome, other than
    /// `Done`, with which the job would end.
    ///
    /// A plan does not foresee what a gateway refuses only during a write (an unknown key, a label
    /// in use), nor files that already exist in a new agent's folder.
    pub async fn plan(&self, job: &Job) -> Result<Plan, Outcome> {
        let secrets = Secrets::of(job);
        let mut report = self.look(job).await.map_err(|error| {
            let mut outcome = Outcome::from(error);
            secrets.hide_in(&mut outcome);
            outcome
        })?;
        secrets.hide_in_report(&mut report);
        let Report { summary, changes, skipped, .. } = report;
        Ok(Plan { summary, changes, skipped })
    }

    async fn look(&self, job: &Job) -> Result<Report, FlowError> {
        let Some(gateway) = job.gateway() else {
            return Ok(Report { summary: NO_URL.to_owned(), ..Report::default() });
        };
        let call = Call::new(self.clients.get(&Endpoint::from(gateway)));
        let mut flow = Flow::new(self, &call);
        let changes = match job {
            Job::Provision(_) | Job::ProvisionMain(_) => {
                plan_provision(&mut flow, &self.desired(job)).await?
            }
            Job::Cleanup(job) => cleanup::plan(&mut flow, job).await?,
            Job::HeartbeatSync(job) if job.agents.is_empty() => Vec::new(),
            Job::HeartbeatSync(job) => {
                let (desired, foreign) = heartbeats::desired(&call, job).await?;
                foreign.map_or(Ok(()), Err)?;
                config::plan(&mut flow, &desired).await?.0
            }
            Job::Nothing(_) => unreachable!("a job without a gateway was answered above"),
        };
        let summary = match changes.len() {
            0 => "nothing to do: the gateway is as it should be".to_owned(),
            1 => "one thing to write".to_owned(),
            count => format!("{count} things to write"),
        };
        Ok(Report { summary, changes, ..flow.report })
    }
}

async fn plan_provision(flow: &mut Flow<'_>, wanted: &Desired) -> Result<Vec<Change>, FlowError> {
    let prepared = provision::prepare(flow, wanted).await?;
    let wanted = prepared.wanted;
    provision::warn_of_shadowed_heartbeats(flow, &prepared.config, &wanted);
    let (mut changes, is_known) = config::plan(flow, std::slice::from_ref(&prepared.entry)).await?;
    changes.extend(agent_files::plan(flow, &wanted, is_known).await?);
    changes.extend(session::plan(flow.call, &wanted).await?);
    if wanted.options.reset_session {
        changes.push(Change::plain(format!("session {} reset", wanted.keys.session_key)));
    }
    changes.extend(wake::plan(&wanted));
    mask(&mut changes, flow.applier, flow.call, &wanted);
    Ok(changes)
}

//! The plan of a job: reads and compares as the job would when it is carried out, and writes
//! nothing.

use serde::Serialize;

use super::mask::mask;
use super::redact::Secrets;
use super::{
    Applier, Desired, FlowError, agent_files, cleanup, config, heartbeats, provision, session, wake,
};
use crate::gateway::agents_config::DesiredAgent;
use crate::gateway::{Call, Endpoint};
use crate::model::{Cleanup, Job};
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
        match self.look(job).await {
            Ok(Plan { summary, changes, skipped }) => {
                let mut report = Report { summary, changes, skipped, ..Report::default() };
                secrets.hide_in_report(&mut report);
                Ok(Plan {
                    summary: report.summary,
                    changes: report.changes,
                    skipped: report.skipped,
                })
            }
            Err(mut outcome) => {
                secrets.hide_in(&mut outcome);
                Err(outcome)
            }
        }
    }

    async fn look(&self, job: &Job) -> Result<Plan, Outcome> {
        let Some(gateway) = job.gateway() else {
            return Ok(Plan {
                summary: "nothing to do: the gateway has no url".to_owned(),
                ..Plan::default()
            });
        };
        let call = Call::new(self.clients.get(&Endpoint::from(gateway)));
        let mut report = Report::default();
        let changes = match job {
            Job::Provision(_) | Job::ProvisionMain(_) => {
                let wanted = Desired::of(job, self.base_url.as_deref())
                    .expect("both kinds of provisioning want an agent");
                self.plan_provision(&call, &wanted, &mut report).await?
            }
            Job::Cleanup(job) => plan_cleanup(&call, job, &mut report).await?,
            Job::HeartbeatSync(job) if job.agents.is_empty() => Vec::new(),
            Job::HeartbeatSync(job) => {
                let (desired, foreign) = heartbeats::desired(&call, job).await?;
                if let Some(error) = foreign {
                    return Err(error.into());
                }
                plan_config(&call, &desired, &mut report).await?.0
            }
            Job::Nothing(_) => unreachable!("a job without a gateway was answered above"),
        };
        let summary = match changes.len() {
            0 => "nothing to do: the gateway is as it should be".to_owned(),
            1 => "one thing to write".to_owned(),
            count => format!("{count} things to write"),
        };
        Ok(Plan { summary, changes, skipped: report.skipped })
    }

    async fn plan_provision(
        &self,
        call: &Call,
        wanted: &Desired,
        report: &mut Report,
    ) -> Result<Vec<Change>, FlowError> {
        let prepared = provision::prepare(self, call, wanted, report).await?;
        let wanted = prepared.wanted;
        provision::warn_of_shadowed_heartbeats(call, &prepared.config, &wanted, report);
        let (mut changes, is_known) =
            plan_config(call, std::slice::from_ref(&prepared.entry), report).await?;
        for (document, present, text) in
            agent_files::plan(self, call, &wanted, is_known, report).await?
        {
            changes.push(Change::of_file(document, present.as_deref(), &text));
        }
        let key = &wanted.keys.session_key;
        if let Some((present, label)) = session::plan(call, &wanted).await? {
            changes.push(Change::of_session(key, present, label));
        }
        if wanted.options.reset_session {
            changes.push(Change::new(format!("session {key} reset"), ""));
        }
        changes.extend(wake::plan(&wanted).map(|what| Change::new(what, "")));
        mask(&mut changes, self, call, &wanted);
        Ok(changes)
    }
}

/// Returns the changes of the config, and whether it has all these agents.
async fn plan_config(
    call: &Call,
    desired: &[DesiredAgent],
    report: &mut Report,
) -> Result<(Vec<Change>, bool), FlowError> {
    let (config, change) = config::plan(call, desired, report).await?;
    let are_known = desired.iter().all(|agent| config.agent(&agent.id).is_some());
    let changes = change
        .into_iter()
        .flat_map(|change| change.parts)
        .map(|part| Change::of_config(&part))
        .collect();
    Ok((changes, are_known))
}

async fn plan_cleanup(
    call: &Call,
    job: &Cleanup,
    report: &mut Report,
) -> Result<Vec<Change>, FlowError> {
    let found = cleanup::inspect(call, job).await?;
    let keys = &found.keys;
    let mut changes = Vec::new();
    if found.is_there {
        if let Some(why) = &found.files_stay {
            report.skip(format!("files of {}", keys.agent_id), why);
        }
        let folder = found.workspace.as_deref().filter(|_| found.files_stay.is_none());
        changes.push(Change::of_deletion(&keys.agent_id, folder));
    }
    // Gateways that keep agents as entries delete an agent's sessions with it.
    let goes_along =
        found.is_there && call.has_ownership() && session::is_of(&keys.session_key, &keys.agent_id);
    if !goes_along && session::exists(call, &keys.session_key).await? {
        changes.push(Change::new(format!("session {} deleted", keys.session_key), ""));
    }
    Ok(changes)
}

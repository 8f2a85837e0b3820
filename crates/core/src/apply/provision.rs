//! Provisioning: the agent registered in the gateway's config, its files, its session; then everything read back. On
//! the newest gateways a new agent's session comes first.

use std::collections::BTreeSet;

use super::change::mask;
use super::{Applier, FlowError, MAX_WRITES, Wanted, agent_files, by_call, config, kept_token, session, wake};
use crate::documents::Document;
use crate::gateway::roster::DesiredAgent;
use crate::gateway::{Call, GatewayError};
use crate::outcome::Report;
use crate::render::Reader;

/// Makes an agent as wanted. `id` is the job's. The name of the roster's shape, for the report.
pub(super) async fn run(
    applier: &Applier,
    call: &Call,
    id: &str,
    wanted: &Wanted,
    report: &mut Report,
) -> Result<Option<&'static str>, FlowError> {
    let mut coming = Some(call.client().desk.announce());
    let (wanted, entry) = &prepare(applier, call, wanted).await?;
    let desired = std::slice::from_ref(entry);
    let (mut label, mut created) = session_of_a_new_agent(call, wanted, report).await?;
    let mut renewed = false;
    for _ in 0..MAX_WRITES {
        let (shape, is_new) = config::settle(call, desired, coming.take(), report).await?;
        agent_files::settle(applier, call, wanted, (is_new, created), report).await?;
        let label = match label.take() {
            Some(label) => label,
            None => match session::settle(call, wanted, is_new, report).await {
                Err(error) if !renewed && is_held_deleted(call, wanted, &error).await? => {
                    renewed = true;
                    let _writer = call.client().desk.pen.lock().await;
                    created = by_call::renew(call, wanted, report).await?;
                    continue;
                }
                label => label?,
            },
        };
        // Another writer may have undone the entry meanwhile; some gateways lose a write seconds after it.
        if report.written.is_empty() || is_kept(call, wanted, desired, label.as_deref()).await? {
            if wanted.options.reset_session {
                session::reset(call, wanted, report).await?;
            }
            wake::send(call, id, wanted, report).await?;
            mask(&mut report.changes, &wanted.context.auth_token);
            report.summary = summary(wanted, report);
            return Ok(Some(shape.as_str()));
        }
    }
    Err(GatewayError::NotKept { what: format!("config of {}", wanted.keys.agent_id), rounds: MAX_WRITES }.into())
}

/// What is wanted on this gateway, and the entry in its config. Nothing is written.
pub(super) async fn prepare(
    applier: &Applier,
    call: &Call,
    wanted: &Wanted,
) -> Result<(Wanted, DesiredAgent), FlowError> {
    // A template that cannot be rendered fails before anything is written.
    agent_files::render(applier, wanted, &BTreeSet::new(), true)?;
    call.open().await?;
    let wanted = kept_token::find(call, wanted).await?;
    let refused = agent_files::refused(call).await?;
    let prompt = if refused.contains(&Document::Heartbeat) {
        let reader = Reader { agent: &wanted.agent, context: &wanted.context, refused: &refused };
        applier.renderer.heartbeat_prompt(reader)?
    } else {
        None
    };
    let entry = wanted.entry(prompt);
    Ok((wanted, entry))
}

/// On the newest gateways, makes the session of an agent that is not in the config before anything else. The session's
/// label if so; and, if the agent was created by call, when, see [`by_call::create`].
///
/// They keep a record of deleted agents and refuse them their sessions until an agent of that id is created by call. An
/// entry in the config does not count; it makes the gateway restart as a whole. Nothing but asking for the session
/// tells whether there is such a record.
async fn session_of_a_new_agent(
    call: &Call,
    wanted: &Wanted,
    report: &mut Report,
) -> Result<(Option<Option<String>>, Option<u64>), GatewayError> {
    if !call.has_ownership() || config::read(call).await?.agent(&wanted.keys.agent_id).is_some() {
        return Ok((None, None));
    }
    match session::settle(call, wanted, true, report).await {
        Err(error) if is_held_deleted(call, wanted, &error).await? => {
            let _writer = call.client().desk.pen.lock().await;
            Ok((None, by_call::create(call, wanted, report).await?))
        }
        label => Ok((Some(label?), None)),
    }
}

/// Whether a session was refused because the gateway keeps a record of its agent's deletion. It does not say so; but then
/// it has no session either.
async fn is_held_deleted(call: &Call, wanted: &Wanted, error: &GatewayError) -> Result<bool, GatewayError> {
    let says_so =
        call.has_ownership() && error.rpc().is_some_and(|rpc| rpc.is_form(&["session patch failed unexpectedly*"]));
    Ok(says_so && !session::exists(call, &wanted.keys.session_key).await?)
}

/// Reads config and session once more, at the same time.
async fn is_kept(
    call: &Call,
    wanted: &Wanted,
    desired: &[DesiredAgent],
    label: Option<&str>,
) -> Result<bool, GatewayError> {
    let (config, session) = tokio::try_join!(config::read(call), session::is_kept(call, wanted, label))?;
    Ok(config::is_settled(call, &config, desired) && session)
}

fn summary(wanted: &Wanted, report: &Report) -> String {
    let agent = &wanted.keys.agent_id;
    match report.written.len() {
        0 => format!("agent {agent} was as it should be; nothing was written"),
        1 => format!("agent {agent} is as it should be; one thing was written"),
        count => format!("agent {agent} is as it should be; {count} things were written"),
    }
}

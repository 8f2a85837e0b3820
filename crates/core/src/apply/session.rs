//! The session stage: creates the agent's session with its label, and resets it on request.

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::label::cut;
use super::{Desired, MAX_WRITES, settling};
use crate::gateway::{Call, GatewayError, Method, Sessions};
use crate::journal::{Reset, SessionState};
use crate::keys;
use crate::outcome::{Change, Report};

/// The most sessions requested; an agent's main session is among its most recent ones.
const LIST_LIMIT: u32 = 1000;

/// The number of times that a reset is sent over all attempts, if the gateway refuses it or does
/// not answer.
const RESETS: u32 = 2;
/// The number of readings before an unanswered reset is sent again; the waits in between add up to
/// about five seconds.
const LATE_READINGS: u32 = 9;

/// A session as the gateway shows it.
#[derive(Debug, PartialEq)]
enum Session {
    /// The session is in the gateway's list.
    Listed { label: Option<String>, id: Option<String>, updated_at: Option<u64> },
    /// The session exists, but the gateway shows nothing else of it.
    Unlisted,
}

impl Session {
    /// Returns whether the session has the label, as far as can be determined. No wanted label
    /// always matches.
    fn carries(&self, wanted: Option<&str>) -> bool {
        match self {
            Self::Listed { label, .. } => wanted.is_none() || label.as_deref() == wanted,
            Self::Unlisted => true,
        }
    }

    /// Returns the state that shows whether the session was reset.
    fn state(&self) -> SessionState {
        match self {
            Self::Listed { id, updated_at, .. } => {
                SessionState { id: id.clone(), updated_at: *updated_at }
            }
            Self::Unlisted => SessionState::default(),
        }
    }

    fn label(self) -> Option<String> {
        match self {
            Self::Listed { label, .. } => label,
            Self::Unlisted => None,
        }
    }
}

/// Creates the session and sets its label. Returns the label that it has now. The session of a new
/// agent is not read first.
pub(super) async fn converge(
    call: &Call,
    wanted: &Desired,
    is_new: bool,
    report: &mut Report,
) -> Result<Option<String>, GatewayError> {
    let key = &wanted.keys.session_key;
    let limit = call.client().capabilities().label_limit;
    let mut label = wanted.label.as_deref().map(|label| cut(label, limit));
    for round in 0..=MAX_WRITES {
        let present = if is_new && round == 0 { None } else { find(call, key).await? };
        if present.as_ref().is_some_and(|session| session.carries(label.as_deref())) {
            return Ok(label);
        }
        let written = Change::of_session(key, present.and_then(Session::label), label.clone());
        let mut params = json!({ "key": key });
        if let Some(label) = &label {
            params["label"] = json!(label);
        }
        match write(call, Method::SessionsPatch, params).await {
            Ok(_) => {
                report.note(written);
                return Ok(label);
            }
            // The next reading shows what was done.
            Err(error) if error.is_connection_lost() => {
                debug!(method = ?error.method(), "reading back after an unanswered call");
                report.note(written);
            }
            Err(error) => match error.rpc() {
                // The store of a recently deleted agent needs a while to open again.
                Some(rpc)
                    if rpc.code == "UNAVAILABLE"
                        && rpc.retry_after_ms.is_none()
                        && round < MAX_WRITES =>
                {
                    sleep(settling(round + 2)).await;
                }
                Some(rpc) if rpc.is_label_taken() && label.is_some() => {
                    report.skip("session label", rpc.quote());
                    label = None;
                }
                Some(rpc) if rpc.label_limit().is_some() && label.is_some() => {
                    let limit = rpc.label_limit();
                    call.client().learn(|known| known.label_limit = limit);
                    label = label.map(|label| cut(&label, limit));
                    report.skip("end of the session label", rpc.quote());
                }
                _ => return Err(error),
            },
        }
    }
    Err(GatewayError::NotKept { what: format!("session {key}"), rounds: MAX_WRITES })
}

/// Returns what [`converge`] would do: the present label, if the session exists, and the new label;
/// `None` if nothing differs.
pub(super) async fn plan(
    call: &Call,
    wanted: &Desired,
) -> Result<Option<(Option<String>, Option<String>)>, GatewayError> {
    let label =
        wanted.label.as_deref().map(|label| cut(label, call.client().capabilities().label_limit));
    let present = match find(call, &wanted.keys.session_key).await {
        // A gateway may refuse to list the sessions of an agent that it does not have.
        Err(error) if error.rpc().is_some() && !error.is_connection_lost() => None,
        present => present?,
    };
    Ok(match present {
        Some(session) if session.carries(label.as_deref()) => None,
        Some(Session::Listed { label: present, .. }) => Some((present, label)),
        _ => Some((None, label)),
    })
}

/// Returns whether a session key names that agent. The key of a main agent names another agent than
/// the one it was created for.
pub(super) fn is_of(key: &str, agent: &str) -> bool {
    agent_of(key).as_deref() == Some(agent)
}

pub(super) fn agent_of(key: &str) -> Option<String> {
    key.strip_prefix("agent:").and_then(|rest| rest.split(':').next()).map(keys::normalise_agent_id)
}

/// Returns whether the session exists.
pub(super) async fn exists(call: &Call, key: &str) -> Result<bool, GatewayError> {
    Ok(find(call, key).await?.is_some())
}

/// The state of a session that was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// The session exists, with its label as far as can be determined.
    Whole,
    /// The session exists, but has another label or none.
    WithoutLabel,
    /// The session does not exist.
    Missing,
}

/// Reads whether the session exists with that label.
pub(super) async fn look(
    call: &Call,
    wanted: &Desired,
    label: Option<&str>,
) -> Result<Presence, GatewayError> {
    Ok(match find(call, &wanted.keys.session_key).await? {
        Some(session) if session.carries(label) => Presence::Whole,
        Some(_) => Presence::WithoutLabel,
        None => Presence::Missing,
    })
}

/// Returns whether the gateway accepts sessions of an agent. A gateway that has a record of the
/// agent's deletion answers the deletion of a nonexistent session with an error; the request leaves
/// nothing behind.
pub(super) async fn may_be_created(call: &Call, agent: &str) -> Result<bool, GatewayError> {
    let params = json!({ "key": format!("agent:{agent}:mission-worker-probe") });
    for round in 0..=MAX_WRITES {
        match write(call, Method::SessionsDelete, params.clone()).await {
            Err(error) if error.is_connection_lost() && round < MAX_WRITES => {
                sleep(settling(round)).await;
            }
            Err(error)
                if error.rpc().is_some_and(|rpc| {
                    rpc.code == "UNAVAILABLE" && rpc.retry_after_ms.is_none()
                }) =>
            {
                return Ok(false);
            }
            // A gateway that does not know the method cannot answer.
            Err(error) if error.rpc().is_some_and(|rpc| rpc.code == "INVALID_REQUEST") => {
                return Ok(true);
            }
            answer => return answer.map(|_| true),
        }
    }
    unreachable!("the last round returns")
}

/// Resets the session, once. A reset changes the session's id on older gateways, and its time on
/// all. It is recorded in the journal before it is sent, together with the state of the session. It
/// is sent again only if no answer came and the session is visibly unchanged; a reset that cannot
/// be seen is assumed to have happened, and reported.
pub(super) async fn reset(
    call: &Call,
    wanted: &Desired,
    report: &mut Report,
) -> Result<(), GatewayError> {
    let key = &wanted.keys.session_key;
    let now = state_of(call, key).await?;
    let earlier = call.journal().reset();
    let is_sent = earlier
        .as_ref()
        .is_some_and(|reset| reset.is_acknowledged || !is_unchanged(&reset.before, &now));
    let sent = earlier.as_ref().map_or(0, |reset| reset.sent);
    let before = earlier.map_or_else(|| now.clone(), |reset| reset.before);
    if !is_sent && sent < RESETS {
        send_reset(call, key, &before, sent + 1).await?;
    }
    let mut after = state_of(call, key).await?;
    for reading in 0..MAX_WRITES {
        if !is_unchanged(&before, &after) {
            break;
        }
        sleep(settling(reading)).await;
        after = state_of(call, key).await?;
    }
    if is_unchanged(&before, &after) {
        let what = format!("the reset of session {key}");
        return Err(GatewayError::Undone { what, times: "once", shows: String::new() });
    }
    if !after.is_visible() {
        report.skip(
            format!("proof of the reset of {key}"),
            "the gateway shows neither id nor time of that session",
        );
    }
    report.note(Change::new(format!("session {key} reset"), ""));
    Ok(())
}

/// Sends the reset until it is answered, or until the session has changed.
async fn send_reset(
    call: &Call,
    key: &str,
    before: &SessionState,
    sent: u32,
) -> Result<(), GatewayError> {
    let note = async |is_acknowledged| {
        let reset = Reset { before: before.clone(), is_acknowledged, sent };
        call.journal().note_reset(reset).await.map_err(GatewayError::NotSaved)
    };
    note(false).await?;
    for round in 0..=MAX_WRITES {
        match write(call, Method::SessionsReset, json!({ "key": key })).await {
            Ok(_) => return note(true).await,
            Err(error) if error.is_connection_lost() && round < MAX_WRITES => {
                debug!(method = ?error.method(), "reading back after an unanswered reset");
                // A gateway may carry it out seconds later.
                for reading in 0..LATE_READINGS {
                    if !is_unchanged(before, &state_of(call, key).await?) {
                        return Ok(());
                    }
                    sleep(settling(reading)).await;
                }
            }
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last round returns")
}

async fn state_of(call: &Call, key: &str) -> Result<SessionState, GatewayError> {
    Ok(find(call, key).await?.as_ref().map(Session::state).unwrap_or_default())
}

/// Returns whether a session is visible and unchanged.
fn is_unchanged(before: &SessionState, now: &SessionState) -> bool {
    before == now && now.is_visible()
}

/// Deletes a session. A refusal is reported and is not an error: on some gateways the session is
/// deleted with the agent, on others an agent's main session cannot be deleted.
pub(super) async fn delete(
    call: &Call,
    key: &str,
    report: &mut Report,
) -> Result<(), GatewayError> {
    for _ in 0..MAX_WRITES {
        match find(call, key).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            // A gateway that has just deleted the agent may be unable to read its sessions.
            Err(error) if error.rpc().is_some() => {}
            Err(error) => return Err(error),
        }
        match write(call, Method::SessionsDelete, json!({ "key": key })).await {
            Ok(_) => report.note(Change::new(format!("session {key} deleted"), "")),
            Err(error) if error.is_connection_lost() => {}
            Err(error) => match error.rpc() {
                Some(rpc) => {
                    report.skip(format!("session {key}"), rpc.quote());
                    return Ok(());
                }
                None => return Err(error),
            },
        }
    }
    report
        .skip(format!("session {key}"), "the gateway acknowledges the deletion but still lists it");
    Ok(())
}

async fn write(call: &Call, method: Method, params: Value) -> Result<Value, GatewayError> {
    let _writes = call.client().group_commit.announce_session_write();
    call.write(method, params).await
}

/// Finds a session by its key. The key names the agent that it belongs to, which for a main agent
/// is not the one it was created for; a key that names none belongs to the default agent, under a
/// longer name.
///
/// Old gateways list only sessions of agents that are in their config. Another request shows
/// whether an unlisted session exists.
async fn find(call: &Call, key: &str) -> Result<Option<Session>, GatewayError> {
    let agent = agent_of(key).filter(|agent| !agent.is_empty());
    // For many runs, one list of all sessions costs less than a list for each.
    let read = async |many: bool| list(call, agent.as_deref().filter(|_| !many)).await;
    let listed = call.client().group_commit.sessions(read).await?;
    if let Some(session) = among(&listed.list, key) {
        return Ok(Some(session));
    }
    let resolve = call.read(Method::SessionsResolve, json!({ "key": key }));
    let (resolved, listed) = if listed.of == agent {
        (resolve.await, None)
    } else {
        let (resolved, listed) = tokio::join!(resolve, list(call, agent.as_deref()));
        (resolved, Some(listed?))
    };
    if let Some(session) = listed.and_then(|listed| among(&listed.list, key)) {
        return Ok(Some(session));
    }
    match resolved {
        Ok(answer) => Ok(answer.get("key").map(|_| Session::Unlisted)),
        // A gateway that does not know the method or the session answers so. A missing answer
        // proves nothing.
        Err(error) if error.rpc().is_some() && !error.is_connection_lost() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists the sessions of an agent, or of all agents.
async fn list(call: &Call, agent: Option<&str>) -> Result<Sessions, GatewayError> {
    let mut params = json!({ "limit": LIST_LIMIT });
    if let Some(agent) = agent {
        params["agentId"] = json!(agent);
    }
    let garbage = || GatewayError::Garbage {
        method: Method::SessionsList,
        reason: "it has no sessions".into(),
    };
    let mut answer = call.read(Method::SessionsList, params).await?;
    let list = answer
        .get_mut("sessions")
        .and_then(Value::as_array_mut)
        .map(std::mem::take)
        .ok_or_else(garbage)?;
    Ok(Sessions { of: agent.map(str::to_owned), list, _reserved: answer.reserved() })
}

fn among(sessions: &[Value], key: &str) -> Option<Session> {
    let wanted = key.to_lowercase();
    let is_wanted = |listed: &str| {
        listed == wanted
            || (!wanted.starts_with("agent:")
                && listed.starts_with("agent:")
                && listed.ends_with(&format!(":{wanted}")))
    };
    let key_of = |session: &Value| {
        session.get("key").and_then(Value::as_str).unwrap_or_default().to_lowercase()
    };
    let text = |session: &Value, name| session.get(name).and_then(Value::as_str).map(str::to_owned);
    sessions.iter().find(|session| is_wanted(&key_of(session))).map(|session| Session::Listed {
        label: text(session, "label"),
        id: text(session, "sessionId"),
        updated_at: session.get("updatedAt").and_then(Value::as_u64),
    })
}

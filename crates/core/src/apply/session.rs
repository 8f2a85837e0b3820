//! The session stage: creates the agent's session with its label, and resets it on request.

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::{Desired, Flow, MAX_WRITES, settling};
use crate::gateway::{Call, GatewayError, Method, RpcError, Sessions};
use crate::journal::{Reset, SessionState};
use crate::keys;
use crate::outcome::Change;

/// The most sessions requested; an agent's main session is among its most recent ones.
const LIST_LIMIT: u32 = 1000;

/// The number of times that a reset is sent over all attempts, if the gateway refuses it or does
/// not answer.
const RESETS: u32 = 2;
/// The number of readings before an unanswered reset is sent again; the waits in between add up to
/// about five seconds.
const LATE_READINGS: u32 = 9;

/// A session as the gateway shows it. Of a session that is not in its list, a gateway shows nothing
/// but that it exists.
#[derive(Debug, Default)]
pub(super) struct Session {
    is_listed: bool,
    label: Option<String>,
    /// The state that shows whether the session was reset.
    state: SessionState,
}

impl Session {
    /// Returns whether the session has the label, as far as can be determined. No wanted label
    /// always matches.
    pub(super) fn carries(&self, wanted: Option<&str>) -> bool {
        !self.is_listed || wanted.is_none() || self.label.as_deref() == wanted
    }
}

/// Creates the session and sets its label. Returns the label that it has now. The session of a new
/// agent is not read first.
pub(super) async fn converge(
    flow: &mut Flow<'_>,
    wanted: &Desired,
    is_new: bool,
) -> Result<Option<String>, GatewayError> {
    let (call, key) = (flow.call, &wanted.keys.session_key);
    let mut label = label(call, wanted);
    for round in 0..=MAX_WRITES {
        let present = if is_new && round == 0 { None } else { find(call, key).await? };
        if present.as_ref().is_some_and(|session| session.carries(label.as_deref())) {
            return Ok(label);
        }
        let before = present.and_then(|session| session.label);
        let written = Change::of_session(key, before, label.clone());
        let mut params = json!({ "key": key });
        if let Some(label) = &label {
            params["label"] = json!(label);
        }
        match write(call, Method::SessionsPatch, params).await {
            Ok(_) => {
                flow.note(written);
                return Ok(label);
            }
            // The next reading shows what was done.
            Err(error) if error.is_connection_lost() => {
                debug!(method = ?error.method(), "reading back after an unanswered call");
                flow.note(written);
            }
            Err(error) => match error.rpc() {
                // The store of a recently deleted agent needs a while to open again.
                Some(rpc) if is_store_closed(rpc) && round < MAX_WRITES => {
                    sleep(settling(round + 2)).await;
                }
                Some(rpc) if rpc.is_label_taken() && label.is_some() => {
                    flow.skip("session label", rpc.quote());
                    label = None;
                }
                Some(rpc) if rpc.label_limit().is_some() && label.is_some() => {
                    let limit = rpc.label_limit();
                    call.client().learn(|known| known.label_limit = limit);
                    label = label.map(|label| cut(&label, limit));
                    flow.skip("end of the session label", rpc.quote());
                }
                _ => return Err(error),
            },
        }
    }
    Err(GatewayError::NotKept { what: format!("session {key}"), rounds: MAX_WRITES })
}

/// Returns what [`converge`] would do; `None` if nothing differs.
pub(super) async fn plan(call: &Call, wanted: &Desired) -> Result<Option<Change>, GatewayError> {
    let (key, label) = (&wanted.keys.session_key, label(call, wanted));
    let present = match find(call, key).await {
        // A gateway may refuse to list the sessions of an agent that it does not have.
        Err(error) if is_answer(&error) => None,
        present => present?,
    };
    Ok(match present {
        Some(session) if session.carries(label.as_deref()) => None,
        present => Some(Change::of_session(key, present.and_then(|session| session.label), label)),
    })
}

/// Returns the wanted label, within the limit of the gateway as far as it is known.
fn label(call: &Call, wanted: &Desired) -> Option<String> {
    let limit = call.client().capabilities().label_limit;
    wanted.label.as_deref().map(|label| cut(label, limit))
}

/// Cuts a label to the most characters that the gateway accepts. Gateways count in UTF-16 units, as
/// JavaScript does.
fn cut(label: &str, limit: Option<usize>) -> String {
    let Some(limit) = limit else { return label.to_owned() };
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units <= limit
    };
    label.chars().take_while(fits).collect::<String>().trim_end().to_owned()
}

/// Returns whether a gateway could not open the store of an agent's sessions.
fn is_store_closed(error: &RpcError) -> bool {
    error.code == "UNAVAILABLE" && error.retry_after_ms.is_none()
}

/// Returns whether the gateway has answered with an error, so that it is not about to restart.
fn is_answer(error: &GatewayError) -> bool {
    error.rpc().is_some() && !error.is_connection_lost()
}

/// Returns whether a session key names that agent. The key of a main agent names another agent than
/// the one it was created for.
pub(super) fn is_of(key: &str, agent: &str) -> bool {
    agent_of(key).as_deref() == Some(agent)
}

pub(super) fn agent_of(key: &str) -> Option<String> {
    key.strip_prefix("agent:").and_then(|rest| rest.split(':').next()).map(keys::normalise_agent_id)
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
            Err(error) if error.rpc().is_some_and(is_store_closed) => return Ok(false),
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
pub(super) async fn reset(flow: &mut Flow<'_>, wanted: &Desired) -> Result<(), GatewayError> {
    let (call, key) = (flow.call, &wanted.keys.session_key);
    let now = state_of(call, key).await?;
    let earlier = call.journal().reset();
    let is_sent = earlier
        .as_ref()
        .is_some_and(|reset| reset.is_acknowledged || !is_unchanged(&reset.before, &now));
    let Reset { before, sent, .. } =
        earlier.unwrap_or_else(|| Reset { before: now, ..Reset::default() });
    if !is_sent && sent < RESETS {
        send_reset(call, key, &before, sent + 1).await?;
    }
    let Some(after) = changed_state(call, key, &before, MAX_WRITES + 1).await? else {
        let what = format!("the reset of session {key}");
        return Err(GatewayError::Undone { what, times: "once", shows: String::new() });
    };
    if !after.is_visible() {
        flow.skip(
            format!("proof of the reset of {key}"),
            "the gateway shows neither id nor time of that session",
        );
    }
    flow.note(Change::plain(format!("session {key} reset")));
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
                if changed_state(call, key, before, LATE_READINGS).await?.is_some() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last round returns")
}

/// Reads the state of a session until it has changed or is not visible; `None` if it is unchanged
/// in this number of readings.
async fn changed_state(
    call: &Call,
    key: &str,
    before: &SessionState,
    readings: u32,
) -> Result<Option<SessionState>, GatewayError> {
    for reading in 0..readings {
        let now = state_of(call, key).await?;
        if !is_unchanged(before, &now) {
            return Ok(Some(now));
        }
        sleep(settling(reading)).await;
    }
    Ok(None)
}

async fn state_of(call: &Call, key: &str) -> Result<SessionState, GatewayError> {
    Ok(find(call, key).await?.unwrap_or_default().state)
}

/// Returns whether a session is visible and unchanged.
fn is_unchanged(before: &SessionState, now: &SessionState) -> bool {
    before == now && now.is_visible()
}

/// Deletes a session. A refusal is reported and is not an error: on some gateways the session is
/// deleted with the agent, on others an agent's main session cannot be deleted.
pub(super) async fn delete(flow: &mut Flow<'_>, key: &str) -> Result<(), GatewayError> {
    for _ in 0..MAX_WRITES {
        match find(flow.call, key).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            // A gateway that has just deleted the agent may be unable to read its sessions.
            Err(error) if error.rpc().is_some() => {}
            Err(error) => return Err(error),
        }
        match write(flow.call, Method::SessionsDelete, json!({ "key": key })).await {
            Ok(_) => flow.note(Change::plain(format!("session {key} deleted"))),
            Err(error) if error.is_connection_lost() => {}
            Err(error) => {
                let Some(rpc) = error.rpc() else { return Err(error) };
                flow.skip(format!("session {key}"), rpc.quote());
                return Ok(());
            }
        }
    }
    flow.skip(format!("session {key}"), "the gateway acknowledges the deletion but still lists it");
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
pub(super) async fn find(call: &Call, key: &str) -> Result<Option<Session>, GatewayError> {
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
        Ok(answer) => Ok(answer.get("key").map(|_| Session::default())),
        // A gateway that does not know the method or the session answers so. A missing answer
        // proves nothing.
        Err(error) if is_answer(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lists the sessions of an agent, or of all agents.
async fn list(call: &Call, agent: Option<&str>) -> Result<Sessions, GatewayError> {
    let mut params = json!({ "limit": LIST_LIMIT });
    if let Some(agent) = agent {
        params["agentId"] = json!(agent);
    }
    let mut answer = call.read(Method::SessionsList, params).await?;
    let list = answer.get_mut("sessions").and_then(Value::as_array_mut).map(std::mem::take);
    let list = list.ok_or_else(|| GatewayError::Garbage {
        method: Method::SessionsList,
        reason: "it has no sessions".into(),
    })?;
    Ok(Sessions { of: agent.map(str::to_owned), list, _reserved: answer.reserved() })
}

fn among(sessions: &[Value], key: &str) -> Option<Session> {
    let wanted = key.to_lowercase();
    let text = |session: &Value, name| session.get(name).and_then(Value::as_str).map(str::to_owned);
    let is_wanted = |session: &&Value| {
        let listed = text(session, "key").unwrap_or_default().to_lowercase();
        listed == wanted
            || (!wanted.starts_with("agent:")
                && listed.starts_with("agent:")
                && listed.ends_with(&format!(":{wanted}")))
    };
    sessions.iter().find(is_wanted).map(|session| Session {
        is_listed: true,
        label: text(session, "label"),
        state: SessionState {
            id: text(session, "sessionId"),
            updated_at: session.get("updatedAt").and_then(Value::as_u64),
        },
    })
}

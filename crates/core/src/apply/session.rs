//! The session stage: the agent's session with its label, and starting it afresh when asked.

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::debug;

use super::{MAX_WRITES, Wanted, settling};
use crate::gateway::{Call, GatewayError, Method};
use crate::keys;
use crate::outcome::{Change, Report};

/// Most sessions asked for; an agent's main session is among its most recent ones.
const LIST_LIMIT: u32 = 1000;

/// A session as the gateway shows it.
#[derive(Debug, PartialEq)]
enum Session {
    /// In its list.
    Listed { label: Option<String>, id: Option<String>, updated_at: Option<u64> },
    /// It exists, and nothing else can be read of it.
    Unlisted,
}

impl Session {
    /// Whether it carries the label, as far as can be told. No label wanted is always so.
    fn carries(&self, wanted: Option<&str>) -> bool {
        match self {
            Self::Listed { label, .. } => wanted.is_none() || label.as_deref() == wanted,
            Self::Unlisted => true,
        }
    }

    fn label(self) -> Option<String> {
        match self {
            Self::Listed { label, .. } => label,
            Self::Unlisted => None,
        }
    }
}

type Answer = Result<Value, GatewayError>;

/// Makes the session exist and carry its label. The label that it carries now, for [`is_kept`].
/// That of a new agent is not looked for first.
pub(super) async fn settle(
    call: &Call,
    wanted: &Wanted,
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
        match call.write(Method::SessionsPatch, params).await {
            Ok(_) => {
                report.note(written);
                return Ok(label);
            }
            // The next reading tells.
            Err(error) if error.is_connection_lost() => {
                debug!(method = ?error.method(), "reading back after an unanswered call");
                report.note(written);
            }
            Err(error) => match error.rpc() {
                // The store of an agent that was deleted a moment ago takes a while to open again.
                Some(rpc) if rpc.code == "UNAVAILABLE" && rpc.retry_after_ms.is_none() && round < MAX_WRITES => {
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

/// What [`settle`] would do: the label there is now, if the session is there, and the label there will be; none if
/// nothing.
pub(super) async fn plan(
    call: &Call,
    wanted: &Wanted,
) -> Result<Option<(Option<String>, Option<String>)>, GatewayError> {
    let label = wanted.label.as_deref().map(|label| cut(label, call.client().capabilities().label_limit));
    let present = match find(call, &wanted.keys.session_key).await {
        // A gateway may refuse to speak of the sessions of an agent that it has not or had.
        Err(error) if error.rpc().is_some() && !error.is_connection_lost() => None,
        present => present?,
    };
    Ok(match present {
        Some(session) if session.carries(label.as_deref()) => None,
        Some(Session::Listed { label: present, .. }) => Some((present, label)),
        _ => Some((None, label)),
    })
}

/// Whether a session's key names that agent. A main agent's key names another than the one that it is made for.
pub(super) fn is_of(key: &str, agent: &str) -> bool {
    agent_of(key).as_deref() == Some(agent)
}

fn agent_of(key: &str) -> Option<String> {
    key.strip_prefix("agent:").and_then(|rest| rest.split(':').next()).map(keys::normalise_agent_id)
}

/// Whether the session is there.
pub(super) async fn exists(call: &Call, key: &str) -> Result<bool, GatewayError> {
    Ok(find(call, key).await?.is_some())
}

/// Whether the answers to [`questions`] show the session with that label.
pub(super) fn is_kept(answers: &[Answer], wanted: &Wanted, label: Option<&str>) -> Result<bool, GatewayError> {
    Ok(found(answers, &wanted.keys.session_key)?.is_some_and(|session| session.carries(label)))
}

/// What to ask to find a session. Its key names the agent that it belongs to, which for a main agent is not the one
/// that it is made for; a key that names none belongs to the default agent, under a longer name.
///
/// Old gateways list only sessions of agents that are in their config. The second question tells whether a session
/// that is not listed exists all the same.
pub(super) fn questions(key: &str) -> Vec<(Method, Value)> {
    let mut params = json!({ "limit": LIST_LIMIT });
    if let Some(agent) = agent_of(key).filter(|agent| !agent.is_empty()) {
        params["agentId"] = json!(agent);
    }
    vec![(Method::SessionsList, params), (Method::SessionsResolve, json!({ "key": key }))]
}

/// Starts the session afresh, once. Without an answer the session itself tells whether it happened.
pub(super) async fn reset(call: &Call, wanted: &Wanted, report: &mut Report) -> Result<(), GatewayError> {
    let key = &wanted.keys.session_key;
    let before = find(call, key).await?;
    for _ in 0..MAX_WRITES {
        match call.write(Method::SessionsReset, json!({ "key": key })).await {
            Ok(_) => break,
            Err(error) if error.is_connection_lost() => {
                debug!(method = ?error.method(), "reading back after an unanswered reset");
                if find(call, key).await? != before {
                    break;
                }
            }
            Err(error) => return Err(error),
        }
    }
    report.note(Change::new(format!("session {key} reset"), ""));
    Ok(())
}

/// Deletes a session. A gateway that will not is reported, not an error: on some the session goes with the agent, on
/// others an agent's main session cannot be deleted.
pub(super) async fn delete(call: &Call, key: &str, report: &mut Report) -> Result<(), GatewayError> {
    for _ in 0..MAX_WRITES {
        match find(call, key).await {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {}
            // A gateway that has just deleted the agent may be unable to read its sessions.
            Err(error) if error.rpc().is_some() => {}
            Err(error) => return Err(error),
        }
        match call.write(Method::SessionsDelete, json!({ "key": key })).await {
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
    report.skip(format!("session {key}"), "the gateway deletes it and goes on listing it");
    Ok(())
}

async fn find(call: &Call, key: &str) -> Result<Option<Session>, GatewayError> {
    found(&call.read_all(questions(key)).await?, key)
}

fn found(answers: &[Answer], key: &str) -> Result<Option<Session>, GatewayError> {
    let garbage = || GatewayError::Garbage { method: Method::SessionsList, reason: "no sessions in it".into() };
    let [listed, resolved] = answers else { return Err(garbage()) };
    let listed = listed.as_ref().map_err(Clone::clone)?;
    let sessions = listed.get("sessions").and_then(Value::as_array).ok_or_else(garbage)?;
    let wanted = key.to_lowercase();
    let is_wanted = |listed: &str| {
        listed == wanted
            || (!wanted.starts_with("agent:")
                && listed.starts_with("agent:")
                && listed.ends_with(&format!(":{wanted}")))
    };
    let key_of = |session: &Value| session.get("key").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let text = |session: &Value, name| session.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(session) = sessions.iter().find(|session| is_wanted(&key_of(session))) {
        return Ok(Some(Session::Listed {
            label: text(session, "label"),
            id: text(session, "sessionId"),
            updated_at: session.get("updatedAt").and_then(Value::as_u64),
        }));
    }
    let exists = match resolved {
        Ok(answer) => answer.get("key").is_some(),
        // A gateway that does not know the question, or the session, says so. No answer says nothing.
        Err(error) if error.rpc().is_some() && !error.is_connection_lost() => false,
        Err(error) => return Err(error.clone()),
    };
    Ok(exists.then_some(Session::Unlisted))
}

fn cut(label: &str, limit: Option<usize>) -> String {
    match limit {
        // Gateways count as JavaScript does, in UTF-16 units.
        Some(limit) => {
            let mut units = 0;
            let fits = |c: &char| {
                units += c.len_utf16();
                units <= limit
            };
            label.chars().take_while(fits).collect::<String>().trim_end().to_owned()
        }
        None => label.to_owned(),
    }
}

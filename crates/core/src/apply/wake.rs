//! The wake stage: sends one message to the agent's session after everything else, which makes it
//! start.
//!
//! A message cannot be read back. So it carries a key derived from the job: a gateway answers the
//! same key with the same turn, and the message is sent again only if no answer came.

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant, sleep};
use tracing::debug;
use uuid::Uuid;

use super::{Desired, Flow, MAX_WRITES, agent_files, session as sessions, settling};
use crate::documents::start_message;
use crate::gateway::{GatewayError, Method, RpcError};
use crate::model::Action;
use crate::outcome::Change;

/// The time for which a gateway may not know an agent that is in its config. Reloads took up to 5
/// s.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);

/// Sends the message if the job wants it. `id` is the job's.
///
/// A refusal is reported and is not an error: the agent is as it should be, and its heartbeat
/// starts it as well. What the agent does with the message, or that it has no model, shows only in
/// its session.
pub(super) async fn send(
    flow: &mut Flow<'_>,
    id: &str,
    wanted: &Desired,
) -> Result<(), GatewayError> {
    let Some(wake) = &wanted.options.wake else { return Ok(()) };
    let session = session(wanted);
    let verb = wake.verb.as_deref().unwrap_or(match wanted.options.action {
        Action::Provision => "provisioned",
        Action::Update => "updated",
    });
    let refused = agent_files::known_refused(flow.call).unwrap_or_default();
    let is_lead = wanted.agent.is_board_lead;
    let message = start_message(&wanted.context, is_lead, verb.trim(), &refused);
    let params = json!({
        "sessionKey": session,
        "message": message,
        "deliver": wake.deliver,
        "idempotencyKey": key(id),
    });
    let began = Instant::now();
    let mut lost = 0;
    for round in 0_u32.. {
        match flow.call.write(Method::ChatSend, params.clone()).await {
            Ok(_) => {
                flow.note(Change::plain(format!("wake sent to {session}")));
                break;
            }
            Err(error) if error.is_connection_lost() && lost < MAX_WRITES => {
                debug!(method = ?error.method(), "sending the same message again");
                sleep(settling(lost)).await;
                lost += 1;
            }
            Err(error) => match error.rpc() {
                Some(rpc) if rpc.is_agent_unknown() && began.elapsed() < KNOWN_WITHIN => {
                    sleep(settling(round)).await;
                }
                Some(rpc) if is_refusal(rpc) => {
                    flow.skip(format!("wake of {session}"), rpc.quote());
                    break;
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// Returns the change that [`send`] makes, if the job wants a wake.
pub(super) fn plan(wanted: &Desired) -> Option<Change> {
    let wants_wake = wanted.options.wake.is_some();
    wants_wake.then(|| Change::plain(format!("wake sent to {}", session(wanted))))
}

/// Returns the session that reaches the agent: its own, unless the given key belongs to another
/// agent. The key of a gateway's main agent usually does, and nobody would read the agent's files
/// there.
fn session(wanted: &Desired) -> String {
    let (agent, key) = (&wanted.keys.agent_id, &wanted.keys.session_key);
    if sessions::is_of(key, agent) { key.clone() } else { format!("agent:{agent}:main") }
}

/// Returns the key of a job's message: the same in each run of the job, and different for every
/// other message.
fn key(id: &str) -> Uuid {
    let hash = Sha256::new().chain_update(id).chain_update(b"/wake").finalize();
    Uuid::from_slice(&hash[..16]).expect("a hash has more bytes")
}

/// Returns whether the gateway understood the request and refuses it, rather than being busy or
/// refusing every request.
fn is_refusal(error: &RpcError) -> bool {
    error.code == "INVALID_REQUEST" && !error.is_agent_unknown() && !error.is_scope_missing()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Job;

    fn wanted(kind: &str, session: &Value) -> Desired {
        let id = Uuid::from_u128(7);
        let document = json!({
            "version": 1, "kind": kind,
            "gateway": { "id": id, "url": "ws://localhost", "workspace_root": "/w" },
            "agent": { "id": id, "name": "Ada", "openclaw_session_id": session }, "auth_token": "t",
            "board": { "id": id, "name": "Launch" },
        });
        Desired::of(&Job::from_value(document).expect("a valid document"), None)
            .expect("it provisions")
    }

    #[test]
    fn the_message_goes_where_the_agent_reads_it() {
        let main = "agent:mc-gateway-00000000-0000-0000-0000-000000000007:main";
        let cases = [
            ("provision", json!(null), "agent:ada:main"),
            ("provision", json!("agent:Lead 7:dashboard"), "agent:Lead 7:dashboard"),
            ("provision", json!("a-room"), "agent:ada:main"),
            ("provision-main", json!(null), main),
        ];
        for (kind, given, expected) in cases {
            assert_eq!(session(&wanted(kind, &given)), expected, "{kind} {given}");
        }
    }

    #[test]
    fn the_key_is_the_jobs() {
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
    }
}

//! Waking the agent: one message to its session after everything else, which makes it begin.
//!
//! A message cannot be read back. So it carries a key that is the job's: a gateway answers the same
//! key with the same turn, and it is sent again only where no answer came.

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant, sleep};
use tracing::debug;
use uuid::Uuid;

use super::{Desired, MAX_WRITES, agent_files, session as sessions, settling};
use crate::documents::start_message;
use crate::gateway::{Call, GatewayError, Method, RpcError};
use crate::model::Action;
use crate::outcome::{Change, Report};

/// How long a gateway may say that it does not know an agent which is in its config. Reloads took
/// up to 5 s.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);

/// Sends the message if the job wants it. `id` is the job's.
///
/// A gateway that will not take it is reported, not an error: the agent is as it should be, and its
/// heartbeat starts it as well. What the agent makes of it, or that it has no model to think with,
/// shows in its session only.
pub(super) async fn send(
    call: &Call,
    id: &str,
    wanted: &Desired,
    report: &mut Report,
) -> Result<(), GatewayError> {
    let Some(wake) = &wanted.options.wake else { return Ok(()) };
    let session = session(wanted);
    let verb = wake.verb.as_deref().unwrap_or(match wanted.options.action {
        Action::Provision => "provisioned",
        Action::Update => "updated",
    });
    let refused = agent_files::known_refused(call).unwrap_or_default();
    let params = json!({
        "sessionKey": session,
        "message": start_message(&wanted.context, wanted.agent.is_board_lead, verb.trim(), &refused),
        "deliver": wake.deliver,
        "idempotencyKey": key(id),
    });
    let began = Instant::now();
    let mut lost = 0;
    for round in 0_u32.. {
        match call.write(Method::ChatSend, params.clone()).await {
            Ok(_) => {
                report.note(Change::new(format!("wake sent to {session}"), ""));
                break;
            }
            Err(error) if error.is_connection_lost() && lost < MAX_WRITES => {
                debug!(method = ?error.method(), "sending the same message again");
                sleep(settling(lost)).await;
                lost += 1;
            }
            Err(error) => match error.rpc() {
                Some(rpc) if rpc.is_agent_unknown() && began.elapsed() < KNOWN_WITHIN => {
                    sleep(settling(round)).await
                }
                Some(rpc) if is_refusal(rpc) => {
                    report.skip(format!("wake of {session}"), rpc.quote());
                    break;
                }
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// What [`send`] would report, if the job wants it.
pub(super) fn plan(wanted: &Desired) -> Option<String> {
    wanted.options.wake.as_ref().map(|_| format!("wake sent to {}", session(wanted)))
}

/// The session that reaches the agent: its own, unless the key that it was given belongs to another
/// agent. That of a gateway's main agent usually does, and nobody would read the agent's files
/// there.
fn session(wanted: &Desired) -> String {
    let (agent, key) = (&wanted.keys.agent_id, &wanted.keys.session_key);
    if sessions::is_of(key, agent) { key.clone() } else { format!("agent:{agent}:main") }
}

/// The same for each run of a job, and for no other message.
fn key(id: &str) -> Uuid {
    let hash = Sha256::new().chain_update(id).chain_update(b"/wake").finalize();
    Uuid::from_slice(&hash[..16]).expect("a hash has more bytes")
}

/// The gateway understood and will not, as opposed to being busy or letting nobody.
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
            "version": 1, "kind": kind, "gateway": { "id": id, "url": "ws://localhost", "workspace_root": "/w" },
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

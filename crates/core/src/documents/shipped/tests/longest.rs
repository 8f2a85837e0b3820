//! Tests of the shipped texts with the longest inputs that a job may have.

use super::*;
use crate::model::{MAX_NAME, MAX_TEXT};

/// Gateways show an agent only the start and the end of a file that exceeds their limit. The start
/// of AGENTS is 9,000 characters of 20,000 on the newest version, and three quarters of 12,000 less
/// a note on 2026.4. This test uses slightly less.
#[test]
fn the_longest_inputs_leave_token_and_duties_in_what_gateways_show() {
    const SHOWN: usize = 8_800;
    let long = |length: usize| "w".repeat(length);
    for role in Role::ALL {
        let context = Context {
            agent_name: long(MAX_NAME),
            base_url: format!("https://{}", long(1_000)),
            // The longest token that an update can keep.
            auth_token: long(512),
            user_name: long(MAX_NAME),
            user_preferred_name: long(MAX_NAME),
            user_notes: long(MAX_TEXT),
            user_context: long(MAX_TEXT),
            identity_autonomy_level: long(MAX_TEXT),
            identity_update_cadence: long(MAX_TEXT),
            identity_verbosity: long(MAX_TEXT),
            identity_output_format: long(MAX_TEXT),
            identity_purpose: long(MAX_TEXT),
            identity_personality: long(MAX_TEXT),
            identity_custom_instructions: long(MAX_TEXT),
            board: role.context().board.map(|board| BoardContext {
                board_name: long(MAX_NAME),
                board_type: "goal".to_owned(),
                board_objective: long(MAX_TEXT),
                board_success_metrics: long(MAX_TEXT),
                ..board
            }),
            ..main_context()
        };
        for refused in refusals() {
            let text = render_shipped(Agents, &context, role == Role::Lead, &refused);
            let shown: String = text.chars().take(SHOWN).collect();
            let duty = match role {
                Role::Lead => "Settling it is your first duty",
                Role::Agent => "It is done when the review says so.",
                Role::Main => "do not go past the lead to its agents",
            };
            let place = format!("AGENTS for {role:?} with {refused:?} refused");
            assert!(shown.contains(duty) && shown.contains("## Your files"), "{place}");
            if refused.contains(&Heartbeat) {
                assert!(
                    shown.contains("Check in as") && shown.contains("`HEARTBEAT_OK`"),
                    "{place}"
                );
            }
            if refused.contains(&Tools) {
                let token =
                    shown.lines().any(|line| line == format!("AUTH_TOKEN={}", context.auth_token));
                assert!(token && shown.contains("-H \"X-Agent-Token: $AUTH_TOKEN\""), "{place}");
            }
        }
    }
}

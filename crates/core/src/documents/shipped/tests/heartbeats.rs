//! Tests of the heartbeat duties, as a document and as a prompt.

use super::super::heartbeat_prompt;
use super::*;

#[test]
fn heartbeats_differ_by_kind_of_agent() {
    let duties = [
        (Role::Lead, "you do not take tasks"),
        (Role::Agent, "Read your tasks"),
        (Role::Main, "Pass on what waits"),
    ];
    for (role, duty) in duties {
        for other in Role::ALL {
            let document = other.render(Heartbeat, &set(&[]));
            let section = other.render(Agents, &set(&REFUSED_LATELY));
            let prompt = heartbeat_prompt(&other.context(), other == Role::Lead);
            for text in [document, section, prompt] {
                assert_eq!(text.contains(duty), role == other, "{other:?}:\n{text}");
            }
        }
    }
}

#[test]
fn a_heartbeat_prompt_is_short_and_independent_of_the_agent() {
    for role in Role::ALL {
        let lead = role == Role::Lead;
        let prompt = heartbeat_prompt(&role.context(), lead);
        assert!(prompt.chars().count() <= 1500, "{} characters", prompt.chars().count());
        assert!(prompt.contains("Check in as AGENTS.md says"));
        assert!(prompt.ends_with("and leave that word out."), "{prompt}");
        assert!(!prompt.contains('<'), "a value of the context in:\n{prompt}");
        assert_eq!(prompt, heartbeat_prompt(&bare(role), lead));
    }
}

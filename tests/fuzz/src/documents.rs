//! Job documents: parsing them, the values derived from them, and the texts rendered from them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use mission_core::apply::Desired;
use mission_core::documents::{Document, start_message};
use mission_core::gateway::Endpoint;
use mission_core::keys::AgentKeys;
use mission_core::render::{Reader, Renderer, TemplatesConfig};
use mission_core::{Job, heartbeat};
use mission_jobs::Envelope;

use super::plain;

static RENDERER: LazyLock<Renderer> = LazyLock::new(|| Renderer::new(TemplatesConfig::default()));

/// Runs the target on one input.
pub fn run(text: &[u8]) {
    let job = match Job::parse(text) {
        Ok(job) => job,
        Err(error) => return plain(&error.to_string().replace('\n', " "), 64 * 1024),
    };
    let envelope = Envelope::new(text).expect("it was parsed above");
    assert_eq!((envelope.kind, envelope.lane), (job.kind(), job.gateway_id()));
    assert!(envelope.subject.len() < 100);
    let Some(gateway) = job.gateway() else { return };
    let _ = format!("{job:?} {:?}", Endpoint::from(gateway));
    match &job {
        Job::Cleanup(cleanup) => drop(AgentKeys::of_board_agent(&cleanup.agent, gateway)),
        Job::HeartbeatSync(sync) => {
            for agent in &sync.agents {
                let _ = (AgentKeys::of_board_agent(agent, gateway), heartbeat::config(agent));
            }
        }
        _ => render(&job),
    }
}

fn render(job: &Job) {
    let wanted = Desired::of(job, None).expect("both kinds of provisioning define an agent");
    assert!(wanted.keys.agent_id.len() <= 64 && !wanted.keys.agent_id.is_empty());
    for refused in
        [BTreeSet::new(), BTreeSet::from([Document::Tools, Document::Heartbeat, Document::Memory])]
    {
        let reader = Reader { agent: &wanted.agent, context: &wanted.context, refused: &refused };
        for document in Document::ALL {
            if let Err(error) = RENDERER.render(document, reader) {
                plain(&error.to_string(), 2048);
            }
        }
        let _ = wanted
            .entry(RENDERER.heartbeat_prompt(reader).expect("it is a shipped template").text, None);
        let _ = start_message(&wanted.context, wanted.agent.is_board_lead, "provisioned", &refused);
    }
}

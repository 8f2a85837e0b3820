//! The producers and people of a history: each agent has one of both, and all of them work at once,
//! through the library, the API and the command line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mission_gateway_sim::Gateway;
use mission_jobs::queue::Author;
use mission_jobs::{Envelope, QueueError, State};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::sleep;
use uuid::Uuid;

use super::plan::{Address, Parcel, Plan, Step, Way, document};
use super::story::{Agent, Kind, Story};
use crate::api::server::Server;
use crate::processes::Worker;

/// Everything that producers share.
pub struct Scene {
    pub server: Server,
    pub gateways: Vec<Gateway>,
    pub addresses: Vec<Address>,
    pub stories: BTreeMap<Agent, Arc<Mutex<Story>>>,
    pub folder: TempDir,
}

/// Returns a person.
pub fn person() -> Author {
    Author::new("ada", "test")
}

/// Sends everything of one agent, in order.
pub async fn produce(scene: Arc<Scene>, mut plan: Plan) {
    while let Some(step) = plan.next() {
        let agent = plan.agent;
        match step {
            Step::Send(parcel) => send(&scene, agent, parcel).await,
            Step::Cancel => cancel(&scene, &mut plan).await,
            Step::Retry => retry(&scene, agent).await,
        }
        sleep(plan.pause()).await;
    }
}

/// Sends a document, again until it is acknowledged, and notes it for each of its agents. Meanwhile
/// nothing else is sent of these, so that their order is known.
async fn send(scene: &Scene, agent: Agent, mut parcel: Parcel) {
    let address = &scene.addresses[agent.gateway];
    let document = document(&parcel, agent, address).to_string();
    let mut numbers: Vec<usize> = parcel.others.iter().copied().chain([agent.number]).collect();
    numbers.sort_unstable();
    let mut stories = Vec::new();
    for number in numbers {
        stories.push(scene.stories[&Agent { number, ..agent }].lock().await);
    }
    if parcel.sent.kind == Kind::Provision && parcel.sent.force_bootstrap {
        // The agent has read it, so that only another provisioning brings it back.
        scene.gateways[agent.gateway].remove_file(&agent.id(), "BOOTSTRAP.md");
    }
    parcel.sent.job = match parcel.way {
        Way::Library => by_library(scene, &parcel, &document).await,
        Way::Api => by_api(scene, &parcel, &document).await,
        Way::Command => by_command(scene, &parcel, &document).await,
    };
    for mut story in stories {
        story.sent.push(parcel.sent.clone());
    }
}

async fn by_library(scene: &Scene, parcel: &Parcel, document: &str) -> Uuid {
    let mut envelope = Envelope::new(document.as_bytes()).unwrap().with_delay(parcel.delay);
    if let Some(expiry) = parcel.expiry {
        envelope = envelope.with_expiry(expiry);
    }
    let (queue, batch) = (&scene.server.queue, [envelope]);
    again(|| queue.enqueue(&batch)).await.unwrap()[0].id
}

async fn by_api(scene: &Scene, parcel: &Parcel, document: &str) -> Uuid {
    let key = format!("idempotency-key: {}", parcel.sent.job);
    let headers = [&scene.server.bearer(), key.as_str(), "content-type: application/json"];
    loop {
        let answer = scene.server.send("POST /api/v1/jobs", &headers, document).await;
        match answer.status {
            202 => return answer.json()["id"].as_str().unwrap().parse().unwrap(),
            503 => sleep(Duration::from_millis(20)).await,
            _ => panic!("{answer:?} to {document}"),
        }
    }
}

async fn by_command(scene: &Scene, parcel: &Parcel, document: &str) -> Uuid {
    let file = scene.folder.path().join(format!("{}.json", parcel.sent.job));
    std::fs::write(&file, document).unwrap();
    let key = parcel.sent.job.to_string();
    for _ in 0..20 {
        let worker = Worker::new(scene.folder.path());
        let worker = worker.env("MISSION_REDIS_URL", scene.server.redis.url());
        let arguments = ["enqueue", "--idempotency-key", &key, file.to_str().unwrap()];
        let ended = worker.env("MISSION_QUEUE", "test").run(&arguments).await;
        match ended.answer["id"].as_str() {
            Some(id) => return id.parse().unwrap(),
            None => assert!(ended.said.contains("Redis"), "{}", ended.said),
        }
    }
    panic!("Redis does not answer");
}

/// Repeats a call until Redis answers it.
pub async fn again<T, F: Future<Output = Result<T, QueueError>>>(
    call: impl Fn() -> F,
) -> Result<T, QueueError> {
    loop {
        match call().await {
            Err(error) if error.is_unavailable() => sleep(Duration::from_millis(10)).await,
            other => return other,
        }
    }
}

async fn cancel(scene: &Scene, plan: &mut Plan) {
    let mut story = scene.stories[&plan.agent].lock().await;
    let back = rand::Rng::random_range(&mut plan.random, 1..4);
    let Some(job) = story.sent.len().checked_sub(back).map(|place| story.sent[place].job) else {
        return;
    };
    // A refusal means that the job has ended.
    let (queue, by) = (&scene.server.queue, person());
    let _refused = again(|| queue.cancel(job, &by, "")).await;
    story.cancels.push(job);
}

async fn retry(scene: &Scene, agent: Agent) {
    let story = scene.stories[&agent].lock().await;
    let (queue, by) = (&scene.server.queue, person());
    for sent in story.sent.iter().rev() {
        let job = again(|| queue.get(sent.job)).await.unwrap();
        if job.is_some_and(|job| job.state == State::Dead) {
            let path = format!("/api/v1/jobs/{}/retry", sent.job);
            if sent.mark.is_multiple_of(2) {
                let body = json!({ "force": true, "reason": "try" });
                scene.server.post(&path, &[&scene.server.bearer()], &body).await;
            } else {
                let _refused = again(|| queue.retry(sent.job, true, &by, "try")).await;
            }
            return;
        }
    }
}

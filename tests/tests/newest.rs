//! Random histories: several producers and people act on the agents of some gateways, while workers
//! are killed, connections are cut and gateways fail. When everything is quiet, each gateway must be
//! as the newest generation of each agent says, and each job must have ended as the documentation
//! says.
//!
//! The expected end is computed by `checker` from what was sent and what people did, and by nothing
//! that the queue or its model use. The seeds are printed when a history fails; the same seed gives
//! the same steps, at slightly different moments. `MISSION_NEWEST_SEED` sets the first seed, and
//! `MISSION_NEWEST_HISTORIES` the number of histories; without them the same six are played.
//!
//! | File | Contents |
//! |---|---|
//! | `story` | what was sent, and what the API shows of each job |
//! | `plan` | the random steps, and the documents |
//! | `producers` | the ways into the queue, and the people |
//! | `trouble` | everything that goes wrong meanwhile |
//! | `checker` | the expected end of an agent |
//! | `sights` | the end of an agent on its gateway |
//! | `compare` | the differences between both |

mod checker;
mod compare;
mod plan;
mod producers;
mod sights;
mod story;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mission_gateway_sim::{Gateway, Profile};
use mission_jobs::queue::GatewayConnection;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::compare::Case;
use self::plan::{Address, FIRST_REVISION, Plan};
use self::producers::{Scene, again, person, produce};
use self::sights::Sight;
use self::story::{Agent, Fate, Story};
use self::trouble::{SETTINGS, Trouble};
use crate::api::server::Server;
use crate::documents::GATEWAY_TOKEN;
use crate::simulated;

const GATEWAYS: usize = 2;
/// The number of agents of each gateway.
const AGENTS: usize = 6;
/// The agent that a person has placed on each gateway.
const FOREIGN: &str = "gardener";
/// The maximum time until everything is quiet.
const PATIENCE: Duration = Duration::from_secs(90);
const HISTORIES: u64 = 6;
const AT_ONCE: usize = 3;

#[derive(Default)]
struct Count {
    agents: usize,
    settled: usize,
    unclear: usize,
    jobs: usize,
    faults: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_ends_as_the_newest_generation_says() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = number("MISSION_NEWEST_SEED").unwrap_or(100);
    let histories = number("MISSION_NEWEST_HISTORIES").unwrap_or(HISTORIES);
    let (began, turns) = (Instant::now(), Arc::new(Semaphore::new(AT_ONCE)));
    let mut running = JoinSet::new();
    for seed in first..first + histories {
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            play(seed).await
        });
    }
    let mut all = Count::default();
    for count in running.join_all().await {
        all.agents += count.agents;
        all.settled += count.settled;
        all.unclear += count.unclear;
        all.jobs += count.jobs;
        all.faults.extend(count.faults);
    }
    println!(
        "{histories} histories from seed {first}: {} jobs of {} agents, {} of them compared, {} \
         unclear, {:.1} s",
        all.jobs,
        all.agents,
        all.settled,
        all.unclear,
        began.elapsed().as_secs_f64()
    );
    assert!(all.faults.is_empty(), "{} faults:\n{}", all.faults.len(), all.faults.join("\n"));
}

async fn gateway(random: &mut StdRng) -> Gateway {
    let profiles = [Profile::V2026_2_9, Profile::V2026_3_13, Profile::V2026_9_6];
    let profile = profiles[random.random_range(0..profiles.len())];
    let restarts = random.random_bool(0.2);
    let gateway = simulated::start(profile, |setup| {
        setup.options.latency_ms = random.random_range(0..15);
        setup.options.patches_per_minute = Some(u32::MAX);
        setup.options.restarts = restarts;
        setup.files = BTreeMap::from([(
            "/srv/garden".to_owned(),
            BTreeMap::from([("SOUL.md".to_owned(), "I water the plants.".to_owned())]),
        )]);
    })
    .await;
    let entry = json!({ "id": FOREIGN, "name": "Gardener", "workspace": "/srv/garden" });
    let agents = if profile == Profile::V2026_9_6 {
        json!({ "entries": { FOREIGN: { "name": "Gardener", "workspace": "/srv/garden" } } })
    } else {
        json!({ "list": [entry] })
    };
    gateway.edit_config(&json!({ "agents": agents }));
    gateway
}

/// Returns everything of the foreign agent.
fn foreign(state: &Value) -> Value {
    let agents = &state["config"]["agents"];
    let listed = agents["list"].as_array().into_iter().flatten();
    let entry = listed.into_iter().find(|entry| entry["id"] == FOREIGN);
    json!([entry.unwrap_or(&agents["entries"][FOREIGN]), state["files"][FOREIGN]])
}

/// Plays one history and returns what was found.
async fn play(seed: u64) -> Count {
    let mut random = StdRng::seed_from_u64(seed);
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("worker.toml");
    std::fs::write(&config, SETTINGS).unwrap();
    let server = Server::start(&[("MISSION_CONFIG", config.to_str().unwrap())]).await;
    let (mut gateways, mut addresses) = (Vec::new(), Vec::new());
    for _ in 0..GATEWAYS {
        let gateway = gateway(&mut random).await;
        addresses.push(Address { id: Uuid::new_v4(), url: gateway.url() });
        gateways.push(gateway);
    }
    for address in &addresses {
        let member = address.member(GATEWAY_TOKEN, Some(FIRST_REVISION));
        let connection = GatewayConnection::new(&member).unwrap();
        server.queue.put_gateway(&connection, &person(), "").await.unwrap();
    }
    let agents: Vec<Agent> = (0..GATEWAYS)
        .flat_map(|gateway| (0..AGENTS).map(move |number| Agent { gateway, number }))
        .collect();
    let stories = agents.iter().map(|agent| (*agent, Arc::default())).collect();
    let before: Vec<Value> = gateways.iter().map(|gateway| foreign(&gateway.state())).collect();
    let scene = Arc::new(Scene { server, gateways, addresses, stories, folder });

    let mut producers = JoinSet::new();
    for (number, agent) in agents.iter().enumerate() {
        let steps = random.random_range(3..12);
        let own = StdRng::seed_from_u64(random.random());
        let first = u32::try_from(number * 1000).unwrap();
        producers.spawn(produce(Arc::clone(&scene), Plan::new(own, *agent, steps, first)));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let trouble = Trouble::new(Arc::clone(&scene), random.random(), config);
    let trouble = tokio::spawn(trouble.make(Arc::clone(&stop)));
    producers.join_all().await;
    stop.store(true, Ordering::Relaxed);
    let _victim = trouble.await.unwrap();

    let mut count = Count { agents: agents.len(), ..Count::default() };
    if !becomes_quiet(&scene).await {
        count.faults.push(format!("seed {seed}: not quiet after {} s", PATIENCE.as_secs()));
    }
    check(&scene, seed, &before, &mut count).await;
    if !count.faults.is_empty() && std::env::var("MISSION_NEWEST_KEEP").is_ok() {
        println!("{}", scene.server.log());
        for gateway in &scene.gateways {
            for call in gateway.calls().iter().filter(|call| call.method == "config.patch") {
                println!("{} {} {:?} {}", call.at_ms, call.ok, call.error, call.params);
            }
        }
    }
    count
}

/// Waits until no job runs or will run soon.
async fn becomes_quiet(scene: &Scene) -> bool {
    let (began, queue) = (Instant::now(), &scene.server.queue);
    while began.elapsed() < PATIENCE {
        if again(|| queue.is_idle()).await.unwrap() {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn check(scene: &Scene, seed: u64, before: &[Value], count: &mut Count) {
    let states: Vec<Value> = scene.gateways.iter().map(Gateway::state).collect();
    let calls: Vec<_> = scene.gateways.iter().map(Gateway::mutating_calls).collect();
    for (state, before) in states.iter().zip(before) {
        if foreign(state) != *before {
            count.faults.push(format!("seed {seed}: the foreign agent is {}", foreign(state)));
        }
    }
    let mut fates = BTreeMap::new();
    let mut cancels = BTreeSet::new();
    for story in scene.stories.values() {
        cancels.extend(&story.lock().await.cancels);
    }
    for (agent, story) in &scene.stories {
        let story: &Story = &*story.lock().await;
        for sent in &story.sent {
            if let std::collections::btree_map::Entry::Vacant(place) = fates.entry(sent.job) {
                let path = format!("/api/v1/jobs/{}", sent.job);
                let answer = scene.server.get(&path, &[]).await;
                assert_eq!(answer.status, 200, "seed {seed}: a job is lost: {answer:?}");
                place.insert(Fate::read(&answer.json()));
                count.jobs += 1;
            }
        }
        let sight = Sight::of(&states[agent.gateway], &calls[agent.gateway], &agent.id());
        let case = Case::new(story, &fates, &cancels, &sight);
        if !case.is_clear() {
            count.unclear += 1;
            continue;
        }
        count.settled += usize::from(case.is_settled());
        let faults = case.faults();
        if !faults.is_empty() {
            let profile = scene.gateways[agent.gateway].profile();
            count.faults.push(format!(
                "seed {seed}, {agent:?} on {profile:?}: {}\n{sight:?}\n{}",
                faults.join("; "),
                tell(story, &fates)
            ));
        }
    }
}

/// Returns a story as text, one line for each document.
fn tell(story: &Story, fates: &BTreeMap<Uuid, Fate>) -> String {
    let place_of = |id| story.sent.iter().position(|sent| Some(sent.job) == id);
    let lines = story.sent.iter().enumerate().map(|(place, sent)| {
        let Fate { state, reason, code, superseded_by, runs, timeline, started_at, .. } =
            &fates[&sent.job];
        let by = superseded_by.map(|_| format!(" by {:?}", place_of(*superseded_by)));
        let times = timeline.iter().fold(String::new(), |text, (state, at)| {
            format!("{text} {state} {},", at % 1_000_000)
        });
        format!(
            "  {place} {sent}: {state}{} {reason} {code} after {runs} runs, the last at {};{times}\n",
            by.unwrap_or_default(),
            started_at % 1_000_000,
        )
    });
    lines.collect()
}

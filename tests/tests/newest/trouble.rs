//! Everything that goes wrong during a history: workers are killed, connections to Redis are cut,
//! gateways fail or are away, wrong tokens are stored, and people pause the work.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mission_gateway_sim::{Action, Fault};
use mission_jobs::queue::{GatewayConnection, PauseScope};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use super::plan::FIRST_REVISION;
use super::producers::{Scene, again, person};
use crate::documents::GATEWAY_TOKEN;
use crate::processes::{Started, Worker};

/// The methods at which gateways fail.
const METHODS: [&str; 7] = [
    "config.get",
    "config.patch",
    "agents.files.set",
    "agents.files.list",
    "sessions.patch",
    "agents.delete",
    "chat.send",
];

/// Makes trouble until it is told to stop, and then repairs everything.
pub struct Trouble {
    scene: Arc<Scene>,
    random: StdRng,
    config: PathBuf,
    victim: Started,
    victims: u32,
    /// The revision of the newest connection of each gateway, and whether its token is wrong.
    revisions: Vec<(u64, bool)>,
    paused: Option<PauseScope>,
}

impl Trouble {
    pub fn new(scene: Arc<Scene>, seed: u64, config: PathBuf) -> Self {
        let victim = worker(&scene, &config, 0);
        let revisions = vec![(FIRST_REVISION, false); scene.gateways.len()];
        let random = StdRng::seed_from_u64(seed);
        Self { scene, random, config, victim, victims: 1, revisions, paused: None }
    }

    pub async fn make(mut self, stop: Arc<AtomicBool>) -> Started {
        while !stop.load(Ordering::Relaxed) {
            let wait = self.random.random_range(50..350);
            sleep(Duration::from_millis(wait)).await;
            let gateway = self.random.random_range(0..self.scene.gateways.len());
            match self.random.random_range(0..100) {
                0..18 => self.replace_victim().await,
                18..30 => self.cut_redis().await,
                30..62 => self.disturb(gateway),
                62..70 => self.restart(gateway),
                70..90 => self.change_connection(gateway).await,
                _ => self.pause().await,
            }
        }
        self.repair().await;
        self.victim
    }

    async fn replace_victim(&mut self) {
        self.victim.kill().await.unwrap();
        self.victim = worker(&self.scene, &self.config, self.victims);
        self.victims += 1;
    }

    async fn cut_redis(&self) {
        let _cut: i64 = self.scene.server.redis.tell("CLIENT KILL TYPE normal SKIPME yes").await;
    }

    fn disturb(&mut self, gateway: usize) {
        let random = &mut self.random;
        let action = match random.random_range(0..8) {
            0 => Action::DropBefore,
            1 => Action::DropAfter,
            2 => Action::Late(random.random_range(0..300)),
            3 => Action::Delay(random.random_range(0..800)),
            4 => Action::Silence,
            5 => Action::RateLimit(200),
            6 => Action::Starting(200),
            _ => Action::Garbage,
        };
        let method = METHODS.choose(random).expect("there are some");
        self.scene.gateways[gateway].inject(Fault::on(method, action));
    }

    fn restart(&mut self, gateway: usize) {
        let outage = Duration::from_millis(self.random.random_range(0..700));
        self.scene.gateways[gateway].restart(outage);
    }

    /// Stores a wrong token, or the right one again.
    async fn change_connection(&mut self, gateway: usize) {
        let (revision, is_wrong) = self.revisions[gateway];
        self.revisions[gateway] = (revision + 1, !is_wrong);
        let token = if is_wrong { GATEWAY_TOKEN.to_owned() } else { format!("wrong-{revision}") };
        self.put(gateway, &token, revision + 1).await;
    }

    async fn put(&self, gateway: usize, token: &str, revision: u64) {
        let member = self.scene.addresses[gateway].member(token, Some(revision));
        let connection = GatewayConnection::new(&member).unwrap();
        let (queue, by) = (&self.scene.server.queue, person());
        again(|| queue.put_gateway(&connection, &by, "")).await.unwrap();
    }

    async fn pause(&mut self) {
        let queue = &self.scene.server.queue;
        let by = person();
        if let Some(scope) = self.paused.take() {
            again(|| queue.resume(&scope, &by, "")).await.unwrap();
            return;
        }
        let scope = if self.random.random_bool(0.5) {
            PauseScope::All
        } else {
            PauseScope::Gateway(self.scene.addresses[0].id)
        };
        again(|| queue.pause(&scope, &by, "")).await.unwrap();
        self.paused = Some(scope);
    }

    async fn repair(&mut self) {
        if self.paused.is_some() {
            self.pause().await;
        }
        for gateway in 0..self.revisions.len() {
            self.scene.gateways[gateway].clear_faults();
            let (revision, _) = self.revisions[gateway];
            self.put(gateway, GATEWAY_TOKEN, revision + 1).await;
        }
    }
}

/// Starts a worker with short leases.
fn worker(scene: &Scene, config: &PathBuf, number: u32) -> Started {
    let data = scene.folder.path().join(format!("worker-{number}"));
    std::fs::create_dir(&data).unwrap();
    let log = File::create(data.join("log")).unwrap();
    Worker::new(&data)
        .env("MISSION_CONFIG", config)
        .env("MISSION_REDIS_URL", scene.server.redis.url())
        .env("MISSION_QUEUE", "test")
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0")
        .spawn_into(&["run"], log)
}

/// The settings of all workers of a history.
pub const SETTINGS: &str = "[worker]\nlease_ms = 2400\nrenew_ms = 600\nsweep_ms = 300\n\
    [gateway]\ncall_timeout_ms = 2000\npatience_ms = 3000\n[http]\nrequests_per_second = 0\n";

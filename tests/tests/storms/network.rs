//! A worker and a gateway on a simulated network.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mission_core::apply::Applier;
use mission_core::gateway::{Clients, Connector, Limits};
use mission_core::journal::Journal;
use mission_core::{Job, Outcome};
use mission_gateway_sim::{Effects, Gateway, Profile, Setup};
use serde_json::Value;
use tokio::time::sleep;
use turmoil::net::{TcpListener, TcpStream};
use turmoil::{Builder, Sim};

use super::weather::{Disturbance, Weather};
use crate::in_memory::{Network, identity};
use crate::killmatrix::case::too_much;
use crate::killmatrix::flows::{HOST, jobs_of_all_kinds};
use crate::scenarios::differences::differences;
use crate::simulated::state;

pub const WORKER: &str = "worker";
pub const GATEWAY: &str = HOST;
const PORT: u16 = 18789;
/// The resolution of the simulated clock.
const TICK: Duration = Duration::from_millis(10);
/// The maximum time until all jobs are done, by that clock.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);

/// The queue of a worker, which outlives the worker.
#[derive(Default)]
struct Log {
    done: usize,
    /// The changes to the gateway up to the latest job that was done.
    effects: Effects,
    /// The journal of each job.
    journals: HashMap<usize, Arc<Journal>>,
    /// The outcome of each run.
    runs: Vec<&'static str>,
    /// The time at which the first run ended.
    first_run: Option<Duration>,
    /// The state of the gateway after each job that was done, with the number of the job.
    seen: Vec<(usize, Value)>,
    fault: Option<String>,
}

/// The result of all jobs.
pub struct End {
    pub took: Duration,
    pub runs: Vec<&'static str>,
    /// The time at which the first run ended.
    pub first_run: Option<Duration>,
    seen: Vec<(usize, Value)>,
    fault: Option<String>,
}

/// A simulated network with a worker and a gateway.
pub struct Storm {
    gateway: Arc<Gateway>,
    seed: u64,
}

impl Storm {
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self { gateway: Arc::new(Gateway::detached(Setup::new(profile))), seed }
    }

    /// Runs all jobs through that weather.
    pub fn run(&self, weather: &Weather) -> End {
        let log = Arc::new(Mutex::new(Log::default()));
        let mut builder = Builder::new();
        builder
            .rng_seed(self.seed)
            .tick_duration(TICK)
            .simulation_duration(PATIENCE * 2)
            .tcp_capacity(1 << 16);
        builder.min_message_latency(Duration::from_millis(1)).max_message_latency(weather.latency);
        let mut sim = builder.build();
        self.add_hosts(&mut sim, &log);
        let mut begin = weather.disturbances.iter().peekable();
        let mut over = None;
        let jobs = jobs_of_all_kinds().len();
        while sim.elapsed() < PATIENCE {
            let now = sim.elapsed();
            if let Some((disturbance, until)) = over
                && now >= until
            {
                Disturbance::end(disturbance, &mut sim);
                over = None;
            }
            if over.is_none()
                && let Some((_, disturbance, lasts)) = begin.next_if(|(at, ..)| *at <= now)
            {
                disturbance.begin(&mut sim);
                over = Some((*disturbance, now + *lasts));
            }
            sim.step().unwrap();
            let log = log.lock().unwrap();
            if log.done == jobs || log.fault.is_some() {
                break;
            }
        }
        let took = sim.elapsed();
        drop(sim);
        let log = std::mem::take(&mut *log.lock().unwrap());
        let late = (log.done < jobs).then(|| format!("{} of {jobs} jobs done", log.done));
        End {
            took,
            runs: log.runs,
            first_run: log.first_run,
            seen: log.seen,
            fault: log.fault.or(late),
        }
    }

    fn add_hosts(&self, sim: &mut Sim<'_>, log: &Arc<Mutex<Log>>) {
        let gateway = Arc::clone(&self.gateway);
        sim.host(GATEWAY, move || {
            let gateway = Arc::clone(&gateway);
            async move {
                let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::spawn(gateway.serve(stream));
                }
            }
        });
        let (gateway, log) = (Arc::clone(&self.gateway), Arc::clone(log));
        sim.host(WORKER, move || {
            let (gateway, log) = (Arc::clone(&gateway), Arc::clone(&log));
            async move {
                work(&gateway, &log).await;
                Ok(())
            }
        });
    }
}

/// Works as a worker process does: carries out the jobs in their order, each until it is done.
async fn work(gateway: &Gateway, log: &Mutex<Log>) {
    let worker = worker();
    let jobs = jobs_of_all_kinds();
    let mut failures = 0;
    loop {
        let at = log.lock().unwrap().done;
        let Some(job) = jobs.get(at) else { return };
        // Redis keeps the journal, which outlives the worker.
        let journal = Arc::clone(log.lock().unwrap().journals.entry(at).or_default());
        let run = worker
            .apply(&format!("job {at}"), &Job::from_value(job.clone()).unwrap(), &journal)
            .await;
        log.lock().unwrap().enter(at, &run.outcome, gateway);
        failures = if matches!(run.outcome, Outcome::Done(_)) { 0 } else { (failures + 1).min(6) };
        match run.outcome {
            Outcome::Done(_) => {}
            Outcome::Blocked(_) | Outcome::Permanent(_) => return,
            Outcome::Busy { retry_after: Some(wait), .. } => sleep(wait).await,
            _ => sleep(Duration::from_secs(1 << failures)).await,
        }
    }
}

impl Log {
    fn enter(&mut self, at: usize, outcome: &Outcome, gateway: &Gateway) {
        self.first_run.get_or_insert(turmoil::sim_elapsed().unwrap());
        self.runs.push(outcome.name());
        match outcome {
            Outcome::Done(_) => {
                let effects = gateway.effects();
                let often = too_much(&self.effects, &effects);
                if !often.is_empty() {
                    self.fault = Some(format!("job {at}: {}", often.join(", ")));
                }
                self.effects = effects;
                self.done += 1;
                self.seen.push((at, state(gateway)));
            }
            Outcome::Blocked(_) | Outcome::Permanent(_) => {
                self.fault = Some(format!("job {at}: {outcome:?}"));
            }
            _ => {}
        }
    }
}

fn worker() -> Applier {
    let dial =
        Connector::from_fn(|host, port| async move { TcpStream::connect((host, port)).await });
    Applier {
        clients: Clients::new(identity(), Limits::default()).with_connector(dial),
        ..Network::default().worker(Limits::default())
    }
}

impl End {
    /// Checks that each job left the gateway in the same state as in fair weather.
    pub fn check(&self, expected: &[Value], what: &str) {
        assert!(self.fault.is_none(), "{what}: {:?} after {:?}", self.fault, self.runs);
        for (job, seen) in &self.seen {
            let told = differences(&expected[*job], seen);
            assert!(told.is_empty(), "{what}: after job {job}: {}", told.join("\n"));
        }
    }
}

/// Returns the state of the gateway after each job in fair weather.
pub fn undisturbed(profile: Profile) -> Vec<Value> {
    let end = Storm::new(profile, 0).run(&Weather::fair());
    assert!(
        end.fault.is_none() && end.runs.iter().all(|run| *run == "done"),
        "{:?} {:?}",
        end.fault,
        end.runs
    );
    end.seen.into_iter().map(|(_, seen)| seen).collect()
}

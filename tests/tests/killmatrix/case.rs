//! One flow, disturbed in one way at one call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mission_core::apply::Applier;
use mission_core::{Job, Outcome};
use mission_gateway_sim::{Effects, Gateway, Profile, Setup};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::flows::{Flow, HOST};
use super::trouble::Trouble;
use crate::in_memory::{Network, play};
use crate::scenarios::differences::differences;
use crate::simulated::state;

/// The maximum time of a case, by the simulated clock.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The time after which nothing more happens on a gateway by itself.
const AFTERMATH: Duration = Duration::from_secs(60);
/// The id of the job, the same in all of its runs.
const ID: &str = "0192f0c1-0000-7000-8000-000000000001";
/// The maximum number of runs of one job.
const MAX_RUNS: usize = 8;

/// A flow on a gateway before it begins, with the state after an undisturbed run.
pub struct Stage {
    pub profile: Profile,
    pub flow: Flow,
    /// The methods that the undisturbed run calls, without the handshake.
    pub calls: Vec<String>,
    pub latency_ms: u64,
    gateway: Gateway,
    expected: Value,
}

impl Stage {
    /// Carries out the jobs before the flow, and the flow itself on a twin of the gateway.
    pub fn new(profile: Profile, flow: Flow, latency_ms: u64) -> Self {
        play(async {
            let mut setup = Setup::new(profile);
            setup.options.latency_ms = latency_ms;
            let gateway = Arc::new(Gateway::detached(setup));
            for document in (flow.before)() {
                done(&worker(&gateway, Trouble::CutAfter), document).await;
            }
            sleep(AFTERMATH).await;
            if let Some(edit) = flow.by_hand {
                gateway.edit_config(&edit());
                sleep(AFTERMATH).await;
            }
            let twin = Arc::new(gateway.twin());
            done(&worker(&twin, Trouble::CutAfter), (flow.job)()).await;
            let (expected, calls) =
                (state(&twin), twin.calls().into_iter().map(|call| call.method).collect());
            assert!(
                !differences(&expected, &state(&gateway)).is_empty(),
                "{} does something",
                flow.name
            );
            Self { profile, flow, calls, latency_ms, gateway: gateway.twin(), expected }
        })
    }
}

async fn done(worker: &Applier, document: Value) {
    let run = worker.apply(ID, &Job::from_value(document).unwrap(), &Arc::default()).await;
    assert_eq!(run.outcome.name(), "done", "{:?}", run.outcome);
}

fn worker(gateway: &Arc<Gateway>, trouble: Trouble) -> Applier {
    Network::of([(HOST.to_owned(), Arc::clone(gateway))]).worker(trouble.limits())
}

/// A flow with one trouble at one call.
pub struct Case {
    pub stage: Arc<Stage>,
    pub trouble: Trouble,
    /// The disturbed call, counted from 1; 0 is the handshake.
    pub at: usize,
}

/// The result of a case.
pub struct End {
    /// The outcome of each run, or `killed`.
    pub runs: Vec<&'static str>,
    /// The errors that were found; empty if the case is correct.
    pub faults: Vec<String>,
}

impl Case {
    /// Plays the case to its end.
    pub fn play(&self) -> End {
        play(async {
            let mut end = End { runs: Vec::new(), faults: Vec::new() };
            if timeout(PATIENCE, self.run(&mut end)).await.is_err() {
                end.faults.push("the case does not end".into());
            }
            end
        })
    }

    async fn run(&self, end: &mut End) {
        let gateway = Arc::new(self.stage.gateway.twin());
        if let Some(fault) = self.trouble.fault(self.at) {
            gateway.inject(fault);
        }
        let mut before = gateway.effects();
        let job = Job::from_value((self.stage.flow.job)()).unwrap();
        let mut process = worker(&gateway, self.trouble);
        // Redis keeps the journal across runs.
        let mut journal = Arc::default();
        let mut killed = !self.trouble.kills();
        loop {
            let run = if killed {
                Some(process.apply(ID, &job, &journal).await)
            } else {
                killed = true;
                tokio::select! {
                    biased;
                    () = called(&gateway, self.at) => None,
                    run = process.apply(ID, &job, &journal) => Some(run),
                }
            };
            let Some(run) = run else {
                end.runs.push("killed");
                process = worker(&gateway, self.trouble);
                continue;
            };
            end.runs.push(run.outcome.name());
            if matches!(run.outcome, Outcome::Done(_)) {
                break;
            }
            // A reset is made once. If the gateway then shows that it did not happen, a person
            // decides and retries the job.
            if self.loses_reset() && end.runs.len() == 1 {
                if run.outcome.failure().is_none_or(|failure| failure.code != "not_kept") {
                    end.faults.push(format!("a reset was lost: {:?}", run.outcome));
                }
                end.faults.extend(too_much(&before, &gateway.effects()));
                (journal, before) = (Arc::default(), gateway.effects());
                continue;
            }
            // A gateway that sends garbage from the first frame on blocks the job, which is retried
            // all the same.
            let is_no_gateway =
                self.at == 0 && self.trouble == Trouble::Garbage && end.runs.len() == 1;
            let is_given_up = matches!(run.outcome, Outcome::Blocked(_) | Outcome::Permanent(_))
                && !is_no_gateway;
            if is_given_up || end.runs.len() == MAX_RUNS {
                return end.faults.push(format!("{:?}", run.outcome));
            }
            sleep(wait(&run.outcome, end.runs.len())).await;
        }
        end.faults.extend(too_much(&before, &gateway.effects()));
        self.check("when it was done", &gateway, end);
        sleep(AFTERMATH).await;
        self.check("a minute later", &gateway, end);
        if !self.stage.flow.resets {
            self.repeat(&gateway, &job, end).await;
        }
    }

    /// Returns whether the gateway reports a reset of the session that it has not made.
    fn loses_reset(&self) -> bool {
        let method = self.at.checked_sub(1).and_then(|at| self.stage.calls.get(at));
        self.trouble == Trouble::Lie && method.is_some_and(|method| method == "sessions.reset")
    }

    /// Runs the job once more in a process without memory, which must write nothing.
    async fn repeat(&self, gateway: &Arc<Gateway>, job: &Job, end: &mut End) {
        let before = gateway.mutating_calls().len();
        let run = worker(gateway, self.trouble).apply(ID, job, &Arc::default()).await;
        if !matches!(run.outcome, Outcome::Done(_)) {
            end.faults.push(format!("once more: {:?}", run.outcome));
        }
        let written = gateway.mutating_calls();
        end.faults
            .extend(written[before..].iter().map(|call| format!("once more: {}", call.method)));
    }

    fn check(&self, when: &str, gateway: &Gateway, end: &mut End) {
        let (mut expected, mut found) = (self.stage.expected.clone(), state(gateway));
        if self.trouble.kills() || self.trouble == Trouble::CutThenExecuted || end.runs.len() > 1 {
            // The number of resets is unknown then; it is at least one if there was to be a reset.
            forget_resets(&mut expected);
            forget_resets(&mut found);
        }
        let lines = differences(&expected, &found);
        end.faults.extend(lines.into_iter().map(|difference| format!("{when}: {difference}")));
    }
}

fn forget_resets(state: &mut Value) {
    for session in state["sessions"].as_object_mut().unwrap().values_mut() {
        session["resets"] = (session["resets"].as_u64() > Some(0)).into();
    }
}

/// Lists what one job did to a gateway more often than it may, over all its runs.
pub fn too_much(before: &Effects, after: &Effects) -> Vec<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    let writes =
        after.writes[before.writes.len()..].iter().filter(|write| write.by == "config.patch");
    for path in writes.flat_map(|write| &write.paths) {
        *counts.entry(format!("config write of {path}")).or_default() += 1;
    }
    let mut often: Vec<String> =
        counts.into_iter().filter(|(_, count)| *count > 2).map(|(what, _)| what).collect();
    for (what, new) in [
        ("creation", after.creates.len() - before.creates.len()),
        ("reset", after.resets.len() - before.resets.len()),
    ] {
        often.extend((new > 1).then(|| format!("{what}, {new} times")));
    }
    often
}

/// Returns the time that the queue waits before the next run.
fn wait(outcome: &Outcome, run: usize) -> Duration {
    match outcome {
        Outcome::Busy { retry_after: Some(wait), .. } => *wait,
        _ => Duration::from_secs(1 << run),
    }
}

/// Waits until that many calls have been made.
async fn called(gateway: &Gateway, calls: usize) {
    while !gateway.wait_for(|seen| seen.len() >= calls).await {}
}

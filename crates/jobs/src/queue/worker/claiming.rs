//! Records whether the claims of this process succeed, by which it knows whether it is ready.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::queue::error::QueueError;

/// The number of failures in a row after which jobs count as not claimed. A single one may be a
/// connection that Redis has closed.
const MANY: u32 = 2;

/// The reasons why the consumers of this process claim no jobs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotClaiming {
    /// The first claim has not succeeded yet, or there is no consumer.
    #[error("no claim of jobs has succeeded since the start of this process")]
    NotBegun,
    /// Claims fail, a step between two claims, or the ends of runs cannot be written.
    #[error("claiming jobs{} has failed for {} s: {error}", of_shard(*shard), since.as_secs())]
    Failing {
        /// The number of the shard from 0, in a queue with several. Others may work.
        shard: Option<usize>,
        /// The time since the first failure in a row.
        since: Duration,
        /// The error of the last failure. It names the script or command and the code of Redis.
        error: QueueError,
    },
}

/// A step of the loop that claims jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Claiming jobs.
    Claim,
    /// Reading the records and documents of the claimed jobs.
    Records,
    /// Waiting for a reason to claim again.
    Wait,
    /// Writing the ends of runs, without which the jobs would run again.
    End,
}

/// The state of the loop that claims jobs. The fetcher writes it, `/readyz` and the metrics read
/// it.
#[derive(Debug, Default)]
pub(crate) struct ClaimLoop(watch::Sender<Progress>);

#[derive(Debug, Default)]
struct Progress {
    has_claimed: bool,
    fault: Option<Fault>,
}

/// The failures of one step since its last success.
#[derive(Debug)]
struct Fault {
    step: Step,
    error: QueueError,
    since: Instant,
    times: u32,
}

impl Progress {
    fn failing(&self) -> Option<&Fault> {
        self.fault.as_ref().filter(|fault| fault.times >= MANY)
    }
}

impl ClaimLoop {
    /// Records that this step has succeeded.
    pub(crate) fn succeeded(&self, step: Step) {
        self.0.send_if_modified(|now| {
            let begins = step == Step::Claim && !now.has_claimed;
            let heals = now.fault.as_ref().is_some_and(|fault| fault.step == step);
            now.has_claimed |= begins;
            if heals {
                now.fault = None;
            }
            begins || heals
        });
    }

    /// Records that this step has failed.
    pub(crate) fn failed(&self, step: Step, error: &QueueError) {
        self.0.send_modify(|now| {
            let before = now.fault.take().filter(|fault| fault.step == step);
            let (since, times) =
                before.map_or_else(|| (Instant::now(), 0), |fault| (fault.since, fault.times));
            now.fault = Some(Fault { step, error: error.clone(), since, times: times + 1 });
        });
    }

    /// Records that no jobs are to be claimed for now, so that old failures mean nothing.
    pub(crate) fn rests(&self) {
        self.0.send_modify(|now| *now = Progress { has_claimed: true, fault: None });
    }

    /// Returns whether jobs are claimed. Waits this long for the first claim.
    pub(crate) async fn read(&self, at_most: Duration) -> Result<(), NotClaiming> {
        let mut progress = self.0.subscribe();
        let decided =
            progress.wait_for(|now: &Progress| now.has_claimed || now.failing().is_some());
        // If the time is over, the state says so.
        let _ = timeout(at_most, decided).await;
        let now = self.0.borrow();
        match now.failing() {
            Some(Fault { error, since, .. }) => Err(NotClaiming::Failing {
                shard: None,
                since: since.elapsed(),
                error: error.clone(),
            }),
            None if now.has_claimed => Ok(()),
            None => Err(NotClaiming::NotBegun),
        }
    }
}

fn of_shard(shard: Option<usize>) -> String {
    shard.map(|shard| format!(" of shard {shard}")).unwrap_or_default()
}

/// Makes the states of the loops that claim jobs, one for each shard.
pub(crate) fn claim_loops(shards: usize) -> Arc<[ClaimLoop]> {
    (0..shards).map(|_| ClaimLoop::default()).collect()
}

/// Returns whether jobs of all shards are claimed. Waits this long for the first claims.
pub(crate) async fn read_all(shards: &[ClaimLoop], at_most: Duration) -> Result<(), NotClaiming> {
    let states = join_all(shards.iter().map(|shard| shard.read(at_most))).await;
    for (number, state) in states.into_iter().enumerate() {
        state.map_err(|error| match error {
            NotClaiming::Failing { since, error, .. } if shards.len() > 1 => {
                NotClaiming::Failing { shard: Some(number), since, error }
            }
            error => error,
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> QueueError {
        QueueError::Unavailable {
            command: "claim",
            reason: "MISCONF: no disk".to_owned(),
            remedy: "check its disk",
        }
    }

    #[tokio::test]
    async fn a_loop_that_fails_repeatedly_is_told_until_the_same_step_succeeds() {
        let (claims, at_once) = (ClaimLoop::default(), Duration::ZERO);
        assert_eq!(claims.read(at_once).await, Err(NotClaiming::NotBegun));
        claims.succeeded(Step::Claim);
        assert_eq!(claims.read(at_once).await, Ok(()));

        claims.failed(Step::Claim, &error());
        assert_eq!(claims.read(at_once).await, Ok(()));
        claims.failed(Step::Claim, &error());
        let failing = claims.read(at_once).await.expect_err("two claims have failed");
        assert!(failing.to_string().contains("MISCONF"), "{failing}");
        assert!(failing.to_string().contains("claim"), "{failing}");
        claims.succeeded(Step::Claim);
        assert_eq!(claims.read(at_once).await, Ok(()));

        // Claims that succeed do not hide that the worker is not woken.
        for _ in 0..MANY {
            claims.failed(Step::Wait, &error());
            claims.succeeded(Step::Claim);
        }
        assert!(claims.read(at_once).await.is_err());
        claims.succeeded(Step::Wait);
        assert_eq!(claims.read(at_once).await, Ok(()));
    }
}

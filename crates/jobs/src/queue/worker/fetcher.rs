//! The fetcher: claims jobs of a shard for free slots, and sleeps while there are none.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use mission_core::{Backoff, Failure, Outcome};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::claiming::Step;
use super::context::{ConsumerContext, Phase};
use crate::queue::error::QueueError;
use crate::queue::redis::claim::{Batch, RawClaim, Room};
use crate::queue::worker::completer;
use crate::queue::worker::journal::LeasedJournal;
use crate::queue::worker::leases::{LeasedJob, Slot, UsedRecord};
use crate::queue::worker::records::Loaded;
use crate::retry::{AttemptInfo, DeadReason, Disposition};
use crate::run::{Claimed, RunResult};
use crate::seal::Keyring;

/// The most jobs of one claim, whose script holds Redis for a few milliseconds.
const MAX_CLAIM: usize = 32;

/// The longest wait after a claim that found jobs, but no slots that they may have.
const LIMITED: Duration = Duration::from_secs(1);

/// The longest time that a claim keeps free slots from other shards.
const PATIENCE: Duration = Duration::from_millis(500);

/// The delays between calls while Redis is away: 100 ms, 200 ms, 400 ms, 800 ms, 1.6 s, and then 2
/// s each time, ±20 %. That is often enough to continue within seconds of its return.
pub(crate) const REDIS_AWAY: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(2)).with_jitter(0.2);

/// Claims jobs until the worker stops. A claim that is on its way is awaited until the grace time
/// is over; `close` hands back the jobs that it brings.
pub(crate) async fn fetch(shared: Arc<ConsumerContext>, out: mpsc::UnboundedSender<Task<Claimed>>) {
    let mut handing_out = JoinSet::new();
    claim_jobs(&shared, &out, &mut handing_out).await;
    until_handed_out(&mut handing_out).await;
}

/// Waits until the jobs of the last claim are handed out.
async fn until_handed_out(handing_out: &mut JoinSet<()>) {
    while let Some(ended) = handing_out.join_next().await {
        ended.expect("handing out does not panic");
    }
}

async fn claim_jobs(
    shared: &Arc<ConsumerContext>,
    out: &mpsc::UnboundedSender<Task<Claimed>>,
    handing_out: &mut JoinSet<()>,
) {
    let blocking = shared.scripts.blocking_connection();
    // Only work and a whole wait end a row of failures: claims may succeed while every wait fails.
    let (mut faults, mut alone) = (0, false);
    // A wait that was not over when a run of another shard ended. It goes on, because it could take
    // a wake-up with it.
    let mut waiting = None;
    loop {
        if alone {
            until_handed_out(handing_out).await;
        }
        let slots = select! {
            slots = free_slots(shared, alone) => slots,
            () = shared.reaches(Phase::Drain) => return,
        };
        if *shared.drained.borrow() {
            drop(slots);
            select! {
                () = rest(shared) => continue,
                () = shared.reaches(Phase::Drain) => return,
            }
        }
        let asked = Instant::now();
        let wanted = slots.num_permits();
        let slots_in_all = shared.settings.concurrency.max(1);
        let held = if alone {
            // Only the runs of this shard matter.
            shared.leases.runs()
        } else {
            // What the claims of other shards may bring at the moment counts as well.
            slots_in_all.saturating_sub(wanted + shared.slots.available_permits())
        };
        let unproven = Arc::strong_count(&shared.unproven) - shared.all_leases.len();
        let room = Room { wanted, held, slots: slots_in_all, unproven };
        let (batch, slots) = select! {
            claimed = claim(shared, room, slots) => claimed,
            () = shared.reaches(Phase::End) => return,
        };
        let (step, ended) = match batch {
            Ok(batch) => {
                shared.claims().succeeded(Step::Claim);
                alone = batch.alone;
                let empty = batch.jobs.is_empty();
                // Its jobs are read while the next claim is on its way.
                until_handed_out(handing_out).await;
                if empty {
                    drop(slots);
                } else {
                    let valid_until = asked + shared.settings.lease;
                    let (shared, out) = (Arc::clone(shared), out.clone());
                    handing_out.spawn(hand_out(shared, out, batch.jobs, slots, valid_until));
                }
                let wait = batch.next_due.unwrap_or(Duration::MAX).min(shared.settings.sweep);
                // A worker that runs nothing is given the job that is to run alone, unless Redis
                // believes in a run whose claim was lost on its way. That ends with its lease.
                if !empty || alone && room.held > 0 {
                    faults = 0;
                    continue;
                }
                // Slots that runs of other shards have may be all that is missing.
                let is_limited = shared.all_leases.len() > 1 && wait <= LIMITED && room.held > 0;
                let begin = || Box::pin(shared.scripts.wait(&blocking, &shared.worker, wait));
                let woken = select! {
                    () = sleep(shared.settings.sweep), if alone => continue,
                    woken = waiting.get_or_insert_with(begin), if !alone => woken,
                    () = shared.ended.notified(), if is_limited && !alone => continue,
                    () = shared.reaches(Phase::Drain) => return,
                };
                waiting = None;
                (Step::Wait, woken)
            }
            Err(error) => (Step::Claim, Err(error)),
        };
        let Err(error) = ended else {
            faults = 0;
            shared.claims().succeeded(step);
            continue;
        };
        faults += 1;
        shared.claims().failed(step, &error);
        if error.is_unavailable() {
            tracing::warn!(%error, faults, "claim failed, retrying");
        } else {
            tracing::error!(%error, faults, "claim failed, retrying");
        }
        select! {
            () = sleep(REDIS_AWAY.delay(faults)) => {}
            () = shared.reaches(Phase::Drain) => return,
        }
    }
}

/// Claims jobs for these slots. If Redis is slow, other shards may use the slots meanwhile.
async fn claim(
    shared: &ConsumerContext,
    room: Room,
    slots: OwnedSemaphorePermit,
) -> (Result<Batch, QueueError>, OwnedSemaphorePermit) {
    let mut claim = pin!(async {
        shared.shards.check(true).await?;
        shared.scripts.claim(&shared.worker, room, &shared.settings).await
    });
    if shared.all_leases.len() == 1 {
        return (claim.await, slots);
    }
    if let Ok(batch) = timeout(PATIENCE, &mut claim).await {
        return (batch, slots);
    }
    drop(slots);
    let batch = claim.await;
    let needed = batch.as_ref().map_or(0, |batch| batch.jobs.len().min(room.wanted));
    let needed = u32::try_from(needed).unwrap_or(u32::MAX);
    let slots = shared.slots.clone().acquire_many_owned(needed).await;
    (batch, slots.expect("nobody closes the semaphore"))
}

/// Waits until the worker may claim jobs again.
async fn rest(shared: &ConsumerContext) {
    // The worker may have been woken for a job that it does not take. This wakes another worker.
    if let Err(error) =
        shared.scripts.claim(&shared.worker, Room::default(), &shared.settings).await
    {
        tracing::warn!(%error, "waking another worker failed");
    }
    shared.claims().rests();
    // The sender lives in `shared`, so this cannot fail.
    let _ = shared.drained.subscribe().wait_for(|drained| !drained).await;
}

/// Waits for a free slot, then takes all that are free. A worker that is to run a job alone first
/// waits until it runs nothing of the shard, and looks again from time to time, which keeps its turn.
async fn free_slots(shared: &ConsumerContext, alone: bool) -> OwnedSemaphorePermit {
    if alone {
        // If that takes longer, the claim keeps the turn.
        let _ = timeout(shared.settings.sweep, shared.leases.until_empty()).await;
    }
    let mut slots =
        shared.slots.clone().acquire_owned().await.expect("nobody closes the semaphore");
    let more = shared.slots.available_permits().min(MAX_CLAIM - 1);
    if let Ok(more) = shared.slots.clone().try_acquire_many_owned(u32::try_from(more).unwrap_or(0))
    {
        slots.merge(more);
    }
    slots
}

/// Reads the jobs of a claim with the documents that they need, and gives them to the runs.
async fn hand_out(
    shared: Arc<ConsumerContext>,
    out: mpsc::UnboundedSender<Task<Claimed>>,
    jobs: Vec<RawClaim>,
    mut slots: OwnedSemaphorePermit,
    valid_until: Instant,
) {
    let loading = || async {
        let loaded = Loaded::load(&shared.scripts, &jobs).await;
        match &loaded {
            Ok(_) => shared.claims().succeeded(Step::Records),
            Err(error) => shared.claims().failed(Step::Records, error),
        }
        loaded
    };
    // If Redis does not answer, the leases end by themselves.
    let Some(loaded) = completer::retry_until_shutdown(&shared, "records", loading).await else {
        return;
    };
    let mut jobs = jobs.into_iter().peekable();
    while let Some(first) = jobs.next() {
        let permit = slots.split(1).expect("a claim brings no more runs than there are slots");
        let slot = Slot::new(permit, first.unproven.then(|| Arc::clone(&shared.unproven)));
        let leader = Some(first.token);
        let mut run = vec![first];
        run.extend(std::iter::from_fn(|| jobs.next_if(|job| job.leader == leader)));
        let (leases, readable, spoilt) = read(run, &loaded, &shared.keyring);
        if let Some(mut claimed) = readable {
            let held = leases.iter().map(|held| held.lease.clone()).collect();
            let journal = LeasedJournal { shared: Arc::clone(&shared), leases: held };
            claimed.keep_journal_in(Box::new(journal));
            claimed.shard = shared.shard;
            // The token makes the id unique: a job may be claimed again while its lost run is still
            // being stopped.
            let id = TaskId::from_string(format!("{}#{}", claimed.id, claimed.token));
            let before = usize::try_from(claimed.attempt.saturating_sub(1)).unwrap_or_default();
            shared.leases.insert(claimed.token, leases, valid_until, slot);
            // The receiver outlives this task. If it does not, the lease ends by itself.
            let _ = out.send(TaskBuilder::new(claimed).task_id(id).attempt(before).build());
        }
        for (job, outcome) in spoilt {
            put_aside(&shared, &job, outcome).await;
        }
    }
}

/// Reads the jobs that share a run as one. Returns their leases, the merged job, and the jobs that
/// cannot be read.
fn read(
    run: Vec<RawClaim>,
    loaded: &Loaded,
    keyring: &Keyring,
) -> (Vec<LeasedJob>, Option<Claimed>, Vec<(LeasedJob, Outcome)>) {
    let (mut leases, mut one, mut spoilt) = (Vec::new(), None::<Claimed>, Vec::new());
    for raw in run {
        let RawClaim { token, attempt, max_attempts, run, lane_failures, .. } = raw;
        let uncounted = run.saturating_sub(attempt);
        let attempt = AttemptInfo { attempt, max_attempts, lane_failures, uncounted };
        let claimed = Claimed::read(&raw, loaded, keyring);
        // A run that calls no gateway proves nothing of the agent.
        let proves = claimed.as_ref().is_ok_and(|claimed| claimed.job.gateway().is_some());
        let used = raw.record().filter(|_| proves);
        let used = used.map(|record| UsedRecord::new(&record, &raw.heartbeat));
        let job = LeasedJob { lease: (raw.id.clone(), token), attempt, used };
        match (claimed, &mut one) {
            (Ok(claimed), None) => one = Some(claimed),
            (Ok(claimed), Some(one)) => one.share_with(claimed),
            (Err(outcome), _) => {
                spoilt.push((job, *outcome));
                continue;
            }
        }
        leases.push(job);
    }
    (leases, one, spoilt)
}

/// Completes a job that cannot be read without running it: it is dead, or waits for the key that it
/// is sealed with.
async fn put_aside(shared: &ConsumerContext, job: &LeasedJob, outcome: Outcome) {
    if let Some(Failure { code, message, .. }) = outcome.failure() {
        tracing::error!(job = job.lease.0, code, reason = message, "job unreadable");
    }
    let mut end = shared.settings.retry.dispose(&outcome, job.attempt);
    if matches!(outcome, Outcome::Permanent(_)) {
        end.0 = Disposition::Dead(DeadReason::Invalid);
    }
    completer::complete(shared, job, &RunResult::from(outcome), end, "").await;
}

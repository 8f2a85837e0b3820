//! A case: operations on a queue in Redis and on the model, compared after each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Script, ToRedisArgs};
use serde_json::json;
use uuid::Uuid;

use super::compare::same;
use super::gateways::author;
use super::job::Job;
use super::machine::{Limits, Model};
use super::operations::{
    End, LEASE, New, Operation, SCOPES, WORKERS, Whose, agent, gateway, retry_policy,
};
use super::records::Used;
use super::sleepers::{Sleepers, name};
use super::{Checked, picked, raw};
use crate::envelope::Envelope;
use crate::queue::admin::repair::go_through;
use crate::queue::redis::bundle::Source;
use crate::queue::redis::claim::Room;
use crate::queue::redis::scripts::operators::ActionAnswer;
use crate::queue::redis::scripts::{Ack, Acked, Lease, Scripts, lua, millis};
use crate::queue::{Settings, State};
use crate::seal::Keyring;
use crate::{IdempotencyKey, kinds};
use mission_test_support::change;

/// The time at which every case begins.
const BEGIN: u64 = 1_763_859_600_000;
pub(super) const BY: &str = "somebody";
pub(super) const WHY: &str = "a test";

/// A Redis that is emptied for each case.
pub(super) struct Bench {
    pub(super) scripts: Scripts,
    pub(super) connection: MultiplexedConnection,
    pub(super) shown: Script,
    /// The envelope from which others are made.
    pub(super) envelope: Envelope,
}

/// A queue and its model.
pub(super) struct Case<'a> {
    pub(super) bench: &'a mut Bench,
    settings: Settings,
    pub(super) model: Model,
    pub(super) shown: BTreeMap<String, String>,
    enqueued: Vec<(Envelope, Job, New)>,
    pub(super) ids: Vec<Uuid>,
    /// The leases that each worker believes it holds, and others that it has held.
    held: Vec<Vec<(Uuid, u64)>>,
    former: Vec<Vec<(Uuid, u64)>>,
    pub(super) sleepers: Sleepers,
    /// The records that runs got, by the tokens of their leases.
    used: BTreeMap<u64, Used>,
    /// The tokens of runs whose gateways were unproven.
    unproven: BTreeSet<u64>,
    /// The latest time that the clock has ever shown.
    latest: u64,
}

impl<'a> Case<'a> {
    pub(super) async fn new(bench: &'a mut Bench, limits: Limits) -> Self {
        let settings = Settings {
            lane_concurrency: limits.lane_concurrency,
            lease: Duration::from_millis(LEASE),
            keep_ended: limits.keep,
            keep_dead: limits.keep,
            ..Settings::default()
        };
        let empty = vec![Vec::new(); usize::from(WORKERS)];
        let mut case = Self {
            bench,
            settings,
            model: Model { now: BEGIN, limits, ..Model::default() },
            shown: BTreeMap::new(),
            enqueued: Vec::new(),
            ids: Vec::new(),
            held: empty.clone(),
            former: empty,
            sleepers: Sleepers::default(),
            used: BTreeMap::new(),
            unproven: BTreeSet::new(),
            latest: BEGIN,
        };
        redis::cmd("FLUSHALL").exec_async(&mut case.bench.connection).await.unwrap();
        case.set_clock(BEGIN).await;
        case
    }

    /// Runs all operations, and then finishes everything that is left.
    pub(super) async fn run(mut self, operations: &[Operation]) -> Checked {
        for (i, operation) in operations.iter().enumerate() {
            let done = self.step(operation).await;
            done.map_err(|error| format!("operation {} ({operation:?}): {error}", i + 1))?;
        }
        // Nothing is to be healed of what only scripts have done.
        let mut found = go_through(&self.bench.scripts, &Keyring::default(), None).await?;
        // The documents of the model do not have the parts that it says.
        found.found.remove("records");
        if !found.is_empty() {
            return Err(format!("wounds: {found:?}").into());
        }
        Ok(self.finish().await.map_err(|error| format!("afterwards: {error}"))?)
    }

    async fn step(&mut self, operation: &Operation) -> Checked {
        match operation {
            Operation::Enqueue(jobs) => self.enqueue(jobs).await?,
            Operation::EnqueueAgain { pick } => {
                if let Some(again) = picked(&self.enqueued, *pick).cloned() {
                    self.send(vec![again]).await?;
                }
            }
            Operation::Claim { worker, wanted } => self.claim(*worker, (*wanted).into()).await?,
            Operation::Renew { worker, only, stale } => self.renew(*worker, *only, *stale).await?,
            Operation::Ack { worker, ends } => self.ack(*worker, ends).await?,
            Operation::Release { worker, only } => self.release(*worker, *only).await?,
            Operation::Crash { worker } => {
                let lost = std::mem::take(&mut self.held[usize::from(*worker)]);
                self.former[usize::from(*worker)].extend(lost);
                self.sleepers.rouse_all();
                return Ok(());
            }
            Operation::Cancel { pick, discard } => {
                if let Some(id) = picked(&self.ids, *pick).copied() {
                    let expected = self.model.cancel(id, *discard, BY, WHY);
                    self.act(lua::cancel, id, *discard, expected).await?;
                }
            }
            Operation::Snooze { pick, ms } => {
                if let Some(id) = picked(&self.ids, *pick).copied() {
                    let expected = self.model.snooze(id, *ms, BY, WHY);
                    self.act(lua::snooze, id, *ms, expected).await?;
                }
            }
            Operation::Retry { pick, force, fitting } => {
                self.retry(*pick, *force, *fitting).await?;
            }
            Operation::Put(put) => self.put_gateway(put).await?,
            Operation::Forget { gateway, force } => self.forget(*gateway, *force).await?,
            Operation::Pause { scope } => self.pause(true, *scope).await?,
            Operation::Resume { scope } => self.pause(false, *scope).await?,
            Operation::Advance { ms } => {
                self.advance(*ms).await;
                return Ok(());
            }
            Operation::Jump { ms } => {
                self.sleepers.rouse_all();
                self.set_clock(self.model.now.saturating_add_signed(*ms)).await;
                return Ok(());
            }
            Operation::Lapse => {
                for _ in 0..6 {
                    self.advance(LEASE / 4).await;
                    self.claim(0, 0).await?;
                }
            }
        }
        self.compare().await
    }

    async fn advance(&mut self, ms: u64) {
        self.sleepers.pass(ms);
        self.set_clock(self.model.now + ms).await;
    }

    async fn set_clock(&mut self, now: u64) {
        self.model.now = now;
        self.latest = self.latest.max(now);
        let key = format!("{}:test-clock", self.bench.scripts.keys.prefix());
        redis::cmd("SET").arg(key).arg(now).exec_async(&mut self.bench.connection).await.unwrap();
    }

    async fn enqueue(&mut self, jobs: &[New]) -> Checked {
        let jobs = jobs.iter().map(|new| {
            let (lane, agent) = (gateway(new.gateway), agent(new.agent));
            let merges = kinds::spec(new.kind).merges;
            let subject =
                if merges { format!("{lane}/heartbeats") } else { format!("{lane}/{agent}") };
            let id = self.new_id();
            let expires_in = (new.expires_in > 0).then(|| Duration::from_millis(new.expires_in));
            let key = new.key.map(|key| IdempotencyKey::new(format!("key-{key}")).unwrap());
            let heartbeats = new.heartbeats();
            let envelope = Envelope {
                id,
                kind: new.kind,
                lane,
                subject: subject.clone(),
                delay: Duration::from_millis(new.delay),
                priority: new.priority,
                expires_in,
                idempotency: key,
                parts: new.parts.to_owned(),
                generation: new.generation,
                revision: new.revision,
                fingerprint: new.fingerprint.as_bytes().to_vec().into(),
                heartbeats: (!heartbeats.is_empty()).then(|| json!(heartbeats).to_string()),
                ..self.bench.envelope.clone()
            };
            (envelope, Job::new(id, lane, subject, new), new.clone())
        });
        let jobs: Vec<_> = jobs.collect();
        self.enqueued.extend(jobs.iter().cloned());
        self.send(jobs).await
    }

    /// Returns a new id. Ids must not be in a meaningful order.
    pub(super) fn new_id(&mut self) -> Uuid {
        let number = self.ids.len() as u128 + 1;
        let id = Uuid::from_u128(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
        self.ids.push(id);
        id
    }

    async fn send(&mut self, jobs: Vec<(Envelope, Job, New)>) -> Checked {
        let before: Vec<Uuid> = self.model.jobs.keys().copied().collect();
        let envelopes: Vec<_> = jobs.iter().map(|(envelope, ..)| envelope.clone()).collect();
        let answer = self.bench.scripts.enqueue(&envelopes).await?;
        let models: Vec<_> = jobs.into_iter().map(|(_, job, new)| (job, new)).collect();
        let expected = self.model.enqueue(&models).into_iter().map(|(id, state, replaced)| {
            let state = state.map(State::as_str).unwrap_or_default().to_owned();
            (id.to_string(), state, replaced.iter().map(Uuid::to_string).collect())
        });
        same("enqueue", &answer, &expected.collect())?;
        // A case is too short for the attempts that the kinds allow.
        let is_new = |job: &Job| !before.contains(&job.id) && self.model.jobs.contains_key(&job.id);
        for (job, _) in models.iter().filter(|(job, new)| new.max_attempts != 12 && is_new(job)) {
            let prefix = self.bench.scripts.keys.prefix();
            let most = job.max_attempts.to_string();
            change(&mut self.bench.connection, prefix, job.id, "max_attempts", &most).await;
        }
        Ok(())
    }

    async fn claim(&mut self, worker: u8, wanted: usize) -> Checked {
        let name = name(worker);
        if wanted > 0 && self.sleepers.sleeps(worker) {
            // BLPOP would take the same token.
            let keys = &self.bench.scripts.keys;
            let mut pop = redis::cmd("LMPOP");
            pop.arg(2).arg(keys.wake_one(&name)).arg(keys.wake_any()).arg("LEFT");
            pop.exec_async(&mut self.bench.connection).await.unwrap();
        }
        let held = self.held[usize::from(worker)].len();
        let is_unproven = |(_, token): &&(Uuid, u64)| self.unproven.contains(token);
        let unproven = self.held[usize::from(worker)].iter().filter(is_unproven).count();
        let room = Room { wanted, held, slots: self.model.limits.slots, unproven };
        let batch = self.bench.scripts.claim(&name, room, &self.settings).await?;
        self.model.look_around();
        let runs = self.model.take(&name, wanted, (held, unproven), &batch)?;
        (self.model.unreserved, self.model.unproven) = (None, None);
        self.model.forget_groups();
        if runs < wanted && !batch.alone {
            self.sleepers.sleep(worker, batch.next_due.map(millis));
        } else if wanted > 0 {
            self.sleepers.rouse(worker);
        }
        for raw in &batch.jobs {
            self.used.insert(raw.token, Used::of(raw));
            if raw.unproven {
                self.unproven.insert(raw.token);
            }
        }
        let leases = batch.jobs.iter().map(|job| (job.id.parse().unwrap(), job.token));
        self.held[usize::from(worker)].extend(leases);
        Ok(())
    }

    async fn renew(&mut self, worker: u8, only: Option<u8>, stale: bool) -> Checked {
        let leases = self.some_leases(worker, only, stale);
        let lease = self.settings.lease;
        let renewed = self.bench.scripts.renew(&name(worker), lease, &raw(&leases)).await?;
        let expected = self.model.renew(&name(worker), &leases);
        same("renew", &(renewed.lost, renewed.cancelled), &expected)
    }

    fn some_leases(&self, worker: u8, only: Option<u8>, stale: bool) -> Vec<(Uuid, u64)> {
        let (held, former) = (&self.held[usize::from(worker)], &self.former[usize::from(worker)]);
        let all: Vec<_> =
            if stale { held.iter().chain(former).copied().collect() } else { held.clone() };
        only.map_or(all.clone(), |pick| picked(&all, pick).copied().into_iter().collect())
    }

    async fn ack(&mut self, worker: u8, ends: &[End]) -> Checked {
        let index = usize::from(worker);
        let mut acks = Vec::new();
        for end in ends {
            let leases = match end.whose {
                Whose::Own => &self.held[index],
                Whose::Stale => &self.former[index],
                Whose::Others => &self.held[(index + 1) % self.held.len()],
            };
            acks.extend(picked(leases, end.pick).map(|lease| (*lease, end)));
        }
        if acks.is_empty() {
            return Ok(());
        }
        let used = |token: &u64| self.used.get(token).cloned().unwrap_or_default();
        let sent: Vec<(Lease, Ack)> = acks
            .iter()
            .map(|((id, token), end)| ((id.to_string(), *token), end.ack(&used(token))))
            .collect();
        let answer = self.bench.scripts.ack(&name(worker), &retry_policy(), &sent).await?;
        let model = &mut self.model;
        let expected =
            acks.iter().map(|(lease, end)| model.ack(&name(worker), *lease, end, &used(&lease.1)));
        let expected = expected.map(|state| state.map_or(Acked::Lost, Acked::Completed));
        same("ack", &answer, &expected.collect())?;
        for (lease, end) in acks {
            if end.whose == Whose::Own {
                self.held[index].retain(|held| *held != lease);
                self.former[index].push(lease);
            }
        }
        Ok(())
    }

    async fn release(&mut self, worker: u8, only: Option<u8>) -> Checked {
        let leases = self.some_leases(worker, only, false);
        let released = self.bench.scripts.release(&name(worker), WHY, &raw(&leases)).await?;
        same("release", &released, &self.model.release(&name(worker), &leases))?;
        self.held[usize::from(worker)].retain(|held| !leases.contains(held));
        self.former[usize::from(worker)].extend(leases);
        Ok(())
    }

    async fn retry(&mut self, pick: u8, force: bool, fitting: bool) -> Checked {
        let jobs = &self.model.jobs;
        let fits =
            |id: &&Uuid| !fitting || jobs.get(*id).is_some_and(|job| job.state.is_retryable());
        let ids: Vec<Uuid> = self.ids.iter().filter(fits).copied().collect();
        let Some(id) = picked(&ids, pick).copied() else { return Ok(()) };
        let expected = self.model.retry(id, force, BY);
        self.act(lua::retry, id, force, expected).await
    }

    /// Carries out an action on a job, whose answer must be the one that the model gave.
    async fn act(
        &mut self,
        script: Source,
        id: Uuid,
        own: impl ToRedisArgs,
        (what, state): (&str, String),
    ) -> Checked {
        let answer: ActionAnswer =
            self.bench.scripts.act(script, &author(), WHY, (id.to_string(), own)).await?;
        same(script.name, &answer, &(what.to_owned(), state))
    }

    /// Finishes all jobs in bounded time, and checks that nothing remains but what is kept on
    /// purpose.
    async fn finish(&mut self) -> Checked {
        // A clock that was set back is corrected first, or everything would take longer by that
        // time.
        self.sleepers.rouse_all();
        self.set_clock(self.latest).await;
        for scope in 0..SCOPES {
            self.pause(false, scope).await?;
        }
        for _ in 0..200 {
            for worker in 0..WORKERS {
                self.claim(worker, 4).await?;
                let count = self.held[usize::from(worker)].len();
                let done = |pick| End {
                    pick: u8::try_from(pick).unwrap(),
                    state: State::Done,
                    delay: 0,
                    counts: true,
                    apart: false,
                    signal: "reached",
                    leave_alone: 0,
                    applied: 0,
                    whose: Whose::Own,
                };
                self.ack(worker, &(0..count).map(done).collect::<Vec<_>>()).await?;
            }
            self.compare().await?;
            if self.model.jobs.values().all(|job| job.state.is_terminal()) {
                // Time passes until no lane is left alone any more.
                self.advance(3_600_000).await;
                for worker in 0..WORKERS {
                    self.claim(worker, 1).await?;
                }
                self.model.touched.extend(&self.ids);
                self.compare().await?;
                return self.check_nothing_is_left().await;
            }
            // The steps are small while something runs, so that leases are taken back.
            let runs = self.model.jobs.values().any(|job| job.state == State::Running);
            let next = self.model.next().unwrap_or_default().max(self.model.now + 1);
            self.advance(if runs { LEASE / 4 } else { next - self.model.now }).await;
        }
        Err("it does not come to an end".into())
    }
}

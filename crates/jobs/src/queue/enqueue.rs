//! Enqueueing: jobs go to the shards of their gateways, and an idempotency key to its own.

use std::time::Duration;

use futures_util::future::try_join_all;
use mission_core::json;
use uuid::Uuid;

use super::error::QueueError;
use super::redis::scripts::{EnqueueAnswer, Scripts};
use super::states::State;
use super::{Enqueued, MAX_ENQUEUE, Queue};
use crate::envelope::{Envelope, IdempotencyKey};

/// The most replicas that an enqueuer can wait for.
pub const MAX_REPLICAS: u8 = 9;
/// The time that replicas get to confirm new jobs.
const REPLICATION: Duration = Duration::from_secs(1);

/// The holder of an idempotency key, when a request with it begins.
enum Holder {
    /// This request, or an earlier attempt of it.
    Own,
    /// The first request with the key. If its job exists nowhere, it may not have been stored yet,
    /// and then this request stores its own under that id.
    Earlier { id: Uuid, may_be_missing: bool },
}

impl Queue {
    /// Stores jobs, at most [`MAX_ENQUEUE`]; in a queue with one shard all or none, otherwise all or
    /// none of each shard, and those with idempotency keys one by one. After an error the same
    /// envelopes can be sent again, because a job that already exists is left as it is.
    pub async fn enqueue(&self, jobs: &[Envelope]) -> Result<Vec<Enqueued>, QueueError> {
        if jobs.len() > MAX_ENQUEUE {
            return Err(QueueError::TooMany { count: jobs.len(), max: MAX_ENQUEUE });
        }
        if let Some((job, expires_in)) = jobs
            .iter()
            .find(|job| job.expires_too_soon())
            .and_then(|job| Some((job, job.expires_in?)))
        {
            return Err(QueueError::ExpiresTooSoon { id: job.id, expires_in, delay: job.delay });
        }
        self.shards.check(true).await?;
        let sealed: Vec<Envelope>;
        let to_send = if self.keyring.is_empty() {
            jobs
        } else {
            sealed = jobs.iter().map(|job| job.sealed(&self.keyring)).collect();
            &sealed
        };
        let mut stored = if self.shards.all().len() == 1 {
            read_answers(self.shards.first().enqueue(to_send).await?, jobs)?
        } else {
            self.enqueue_in_shards(to_send).await?
        };
        self.compare_documents(jobs, &mut stored).await?;
        Ok(stored)
    }

    /// Stores jobs like [`Self::enqueue`], and waits up to 1 s until this number of replicas of
    /// Redis have them. Each answer says how many have confirmed: fewer mean that the job *is*
    /// stored, but that it can be lost if its master is. Sending the same envelopes again is safe.
    pub async fn enqueue_to_replicas(
        &self,
        jobs: &[Envelope],
        replicas: u8,
    ) -> Result<Vec<Enqueued>, QueueError> {
        let mut stored = self.enqueue(jobs).await?;
        if replicas == 0 {
            return Ok(stored);
        }
        // A job whose key was in use may be of another gateway.
        let mut shards = vec![Vec::new(); self.shards.all().len()];
        for (index, (sent, job)) in jobs.iter().zip(&stored).enumerate() {
            if job.duplicate {
                let home = self.shards.of_job(job.id).await?;
                let is_home = |shard: &std::sync::Arc<Scripts>| std::sync::Arc::ptr_eq(shard, home);
                shards[self.shards.all().iter().position(is_home).unwrap_or_default()].push(index);
            } else {
                shards[self.shards.number_of(sent.lane)].push(index);
            }
        }
        let used = || shards.iter().zip(self.shards.all()).filter(|(jobs, _)| !jobs.is_empty());
        let confirmed = try_join_all(used().map(|(indices, shard)| {
            let kept = indices.iter().filter(|index| stored[**index].state.is_some());
            let ids: Vec<Uuid> = kept.map(|index| stored[*index].id).collect();
            async move { shard.confirm(&ids, replicas, REPLICATION).await }
        }))
        .await?;
        let places: Vec<_> = used().map(|(indices, _)| indices).collect();
        for (indices, confirmed) in places.into_iter().zip(confirmed) {
            for index in indices {
                stored[*index].replicas = Some(confirmed);
            }
        }
        Ok(stored)
    }

    /// Stores jobs, those without a key up to the next one with a key at the same time.
    async fn enqueue_in_shards(&self, jobs: &[Envelope]) -> Result<Vec<Enqueued>, QueueError> {
        let mut stored = Vec::with_capacity(jobs.len());
        for some in
            jobs.chunk_by(|one, next| one.idempotency.is_none() && next.idempotency.is_none())
        {
            match &some[0].idempotency {
                Some(key) => stored.push(self.enqueue_once(&some[0], key).await?),
                None => stored.extend(self.spread(some).await?),
            }
        }
        Ok(stored)
    }

    /// Sends each job to its shard. Returns the answers in the order of the jobs.
    async fn spread(&self, jobs: &[Envelope]) -> Result<Vec<Enqueued>, QueueError> {
        let mut parts = vec![(Vec::new(), Vec::new()); self.shards.all().len()];
        for (index, job) in jobs.iter().enumerate() {
            let (indices, part) = &mut parts[self.shards.number_of(job.lane)];
            indices.push(index);
            part.push(job.clone());
        }
        let shards = self.shards.all().iter().zip(parts).filter(|(_, (jobs, _))| !jobs.is_empty());
        let answers = try_join_all(shards.map(|(shard, (indices, jobs))| async move {
            let answers = read_answers(shard.enqueue(&jobs).await?, &jobs)?;
            Ok::<_, QueueError>(indices.into_iter().zip(answers))
        }))
        .await?;
        let mut answers: Vec<_> = answers.into_iter().flatten().collect();
        answers.sort_unstable_by_key(|(index, _)| *index);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Stores a job with an idempotency key, which the shard of the key keeps. First the id of the
    /// job is put there with a mark; the mark goes when the job is stored. A request that finds
    /// the mark of another one, whose job is nowhere, finishes for it under the same id.
    async fn enqueue_once(
        &self,
        job: &Envelope,
        key: &IdempotencyKey,
    ) -> Result<Enqueued, QueueError> {
        let home = self.shards.of_key(key.key());
        let mut job = job.clone();
        match holder(home, job.id, key).await? {
            Holder::Own => {}
            Holder::Earlier { id, may_be_missing } => {
                let state = self.get(id).await?.map(|first| first.state);
                if state.is_some() || !may_be_missing {
                    if may_be_missing {
                        home.confirm_key(key.key(), id).await?;
                    }
                    return Ok(Enqueued { state, duplicate: true, ..Enqueued::new(id) });
                }
                job.id = id;
            }
        }
        let shard = &self.shards.all()[self.shards.number_of(job.lane)];
        let sent = std::slice::from_ref(&job);
        let mut answers = read_answers(shard.enqueue(sent).await?, sent)?;
        let answer = answers.pop().ok_or_else(|| strange("no job"))?;
        home.confirm_key(key.key(), answer.id).await?;
        Ok(answer)
    }

    /// Finds out which duplicates were sent with another document than the first job.
    async fn compare_documents(
        &self,
        sent: &[Envelope],
        stored: &mut [Enqueued],
    ) -> Result<(), QueueError> {
        for (sent, job) in sent.iter().zip(stored).filter(|(_, job)| job.duplicate) {
            let (mut first, _) = self.shards.of_job(job.id).await?.get(job.id).await?;
            let first = first.take("payload").and_then(|text| self.keyring.open(&text).ok());
            let first = first.and_then(|text| json::read(&text).ok());
            job.other_document =
                first.is_some_and(|first| json::read(sent.payload.expose()).ok() != Some(first));
        }
        Ok(())
    }
}

/// Takes an idempotency key for a job, or returns who has it.
async fn holder(home: &Scripts, id: Uuid, key: &IdempotencyKey) -> Result<Holder, QueueError> {
    let Some(found) = home.take_key(key.key(), id, key.life()).await? else {
        return Ok(Holder::Own);
    };
    let marked = found.strip_prefix('?');
    let first = marked.unwrap_or(&found).parse().map_err(|_| strange(&found))?;
    if first == id {
        return Ok(Holder::Own);
    }
    Ok(Holder::Earlier { id: first, may_be_missing: marked.is_some() })
}

/// Reads the answers of `enqueue.lua`, one for each job.
fn read_answers(
    answers: Vec<EnqueueAnswer>,
    jobs: &[Envelope],
) -> Result<Vec<Enqueued>, QueueError> {
    let answers = answers.into_iter().zip(jobs).map(|((id, state, superseded), job)| {
        let unknown = || strange(&format!("{id:?}, {state:?}"));
        let known = || State::from_name(&state).ok_or_else(unknown);
        let state = (!state.is_empty()).then(known).transpose()?;
        let superseded = superseded.iter().filter_map(|id| id.parse().ok()).collect();
        let id = id.parse().map_err(|_| unknown())?;
        Ok(Enqueued { state, superseded, duplicate: id != job.id, ..Enqueued::new(id) })
    });
    answers.collect()
}

fn strange(answer: &str) -> QueueError {
    QueueError::Script { script: "enqueue", reason: format!("it answered {answer}") }
}

impl Enqueued {
    const fn new(id: Uuid) -> Self {
        Self {
            id,
            state: None,
            superseded: Vec::new(),
            duplicate: false,
            other_document: false,
            replicas: None,
        }
    }
}

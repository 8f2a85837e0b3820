//! The journal of a job: the effects it has had on its gateway, counted over all of its attempts,
//! and the limits on them.
//!
//! Each flow repeats until the gateway is as desired, and so does the queue. If something undoes
//! the writes, or if a gateway does something other than it reports, both together would write
//! forever. So each step that can do harm is recorded before it is taken: if the worker dies right
//! after that, the step counts as taken, and the next worker knows about it.
//!
//! A recorded write that never happened is refunded: the gateway's config then has the same hash as
//! before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most config writes of one job for the same part of a gateway's config: the first, and one
/// more in case somebody else wrote at the same time.
pub const CONFIG_WRITES: u32 = 2;
/// The most times that one job deletes an agent.
pub const DELETIONS: u32 = 2;
/// The most refunds of one job for steps that never happened: requests are lost on a bad line, but
/// sending them again and again does harm too.
pub const REFUNDS: u32 = 40;
/// The most times that one job creates an agent by call, or deletes and creates it again.
pub const CREATIONS: u32 = 1;

/// The effects of a job on its gateway so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effects {
    /// The number of config writes by part: the id of an agent, or `channels`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<String, u32>,
    /// The number of deletions of the job's agent, except those that precede a creation.
    #[serde(skip_serializing_if = "is_zero")]
    deletions: u32,
    /// The number of creations of the job's agent by call.
    #[serde(skip_serializing_if = "is_zero")]
    creations: u32,
    /// The latest session reset, if one was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<Reset>,
    /// The number of refunds, at most [`REFUNDS`].
    #[serde(skip_serializing_if = "is_zero")]
    forgiven: u32,
    /// The digest of the list of agents whose texts were escaped for a deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    escaped: Option<String>,
    /// The latest steps that change the config, until they are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A session reset that was sent or is about to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The session before the reset.
    pub before: SessionState,
    /// Set if the gateway has acknowledged the reset.
    #[serde(default)]
    pub is_acknowledged: bool,
    /// The number of times it was sent.
    #[serde(default)]
    pub sent: u32,
}

/// The state of a session that shows whether it was reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The session's id, if the gateway returns one.
    pub id: Option<String>,
    /// The time of its last change in milliseconds, by the gateway's clock, if the gateway returns
    /// it.
    pub updated_at: Option<u64>,
}

impl SessionState {
    /// Returns whether the gateway returns any of it.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.id.is_some() || self.updated_at.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    /// The hash of the config before the steps, if the gateway returns one.
    hash: Option<Value>,
    steps: Vec<Step>,
}

/// A step that changes a gateway's config.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A part is written: the id of an agent, or `channels`.
    Write(String),
    /// The job's agent is deleted.
    Delete,
    /// The job's agent is created by call.
    Create,
}

impl Effects {
    /// Returns the effects for the next attempt, after an attempt that ended or whose worker died.
    /// If the worker died, steps without an answer are refunded: that they must be repeated does
    /// not show that something undoes them.
    #[must_use]
    pub fn before_next_attempt(mut self, has_died: bool) -> Self {
        if let Some(pending) = self.pending.take().filter(|_| has_died) {
            self.refund_pending(&pending.steps);
        }
        self
    }

    fn refund_pending(&mut self, steps: &[Step]) {
        if self.forgiven < REFUNDS {
            self.forgiven += 1;
            self.decrement(steps);
        }
    }

    /// Returns the number of times that the job has created its agent.
    #[must_use]
    pub const fn creations(&self) -> u32 {
        self.creations
    }

    /// Returns the joint effects of two jobs that share a run from now on: for each step, the
    /// higher count.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (part, count) in other.config {
            let own = self.config.entry(part).or_default();
            *own = count.max(*own);
        }
        self.deletions = self.deletions.max(other.deletions);
        self.creations = self.creations.max(other.creations);
        self.reset = self.reset.or(other.reset);
        self.escaped = self.escaped.or(other.escaped);
        self.pending = self.pending.or(other.pending);
        self
    }

    /// Counts steps that are about to be taken; none of them if one has reached its limit, which is
    /// the error.
    fn spend(&mut self, steps: Vec<Step>, hash: Option<&Value>) -> Result<(), Step> {
        let mut next = self.clone();
        for step in &steps {
            let (count, most) = next.count(step);
            if *count >= most {
                return Err(step.clone());
            }
            *count += 1;
        }
        next.pending = Some(Pending { hash: hash.cloned(), steps });
        *self = next;
        Ok(())
    }

    fn decrement(&mut self, steps: &[Step]) {
        for step in steps {
            let (count, _) = self.count(step);
            *count = count.saturating_sub(1);
        }
    }

    fn count(&mut self, step: &Step) -> (&mut u32, u32) {
        match step {
            Step::Write(part) => (self.config.entry(part.clone()).or_default(), CONFIG_WRITES),
            Step::Delete => (&mut self.deletions, DELETIONS),
            Step::Create => (&mut self.creations, CREATIONS),
        }
    }
}

/// Stores [`Effects`] beyond the life of a process.
pub trait Store: fmt::Debug + Send + Sync {
    /// Saves the effects of a job, as JSON. Returns once they are durable, or with an error if the
    /// job no longer belongs to this worker.
    fn save(&self, effects: String) -> BoxFuture<'_, Result<(), NotSaved>>;
}

/// The error for effects that could not be saved, so that the step must not be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the job no longer belongs to this worker: {0}")]
pub struct NotSaved(pub String);

/// The reason why a step must not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The job has taken this step as often as it may.
    Spent(Step),
    /// The step could not be saved; see [`NotSaved`].
    NotSaved(NotSaved),
}

/// The effects of one job, and the store that keeps them.
#[derive(Debug, Default)]
pub struct Journal {
    effects: Mutex<Effects>,
    /// Set if steps were refunded since the effects were saved.
    is_unsaved: AtomicBool,
    store: Option<Box<dyn Store>>,
}

impl Journal {
    /// Creates a journal without a store that continues from earlier effects.
    #[must_use]
    pub fn of(effects: Effects) -> Self {
        Self { effects: Mutex::new(effects), ..Self::default() }
    }

    /// Creates a journal with a store that continues from earlier effects.
    #[must_use]
    pub fn new(effects: Effects, store: Box<dyn Store>) -> Self {
        Self { store: Some(store), ..Self::of(effects) }
    }

    /// Returns the effects so far.
    #[must_use]
    pub fn effects(&self) -> Effects {
        self.lock().clone()
    }

    /// Records steps that are about to be taken together, with the hash of the config before them.
    /// Records none of them, and none may be taken, if one has reached its limit.
    pub(crate) async fn spend(
        &self,
        steps: Vec<Step>,
        hash: Option<&Value>,
    ) -> Result<(), Refused> {
        self.lock().spend(steps, hash).map_err(Refused::Spent)?;
        self.save().await.map_err(Refused::NotSaved)
    }

    /// Records that the latest steps were answered. Steps of a refused request are refunded.
    pub(crate) fn answered(&self, is_done: bool) {
        let mut effects = self.lock();
        if let Some(pending) = effects.pending.take()
            && !is_done
        {
            effects.decrement(&pending.steps);
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
    }

    /// Refunds steps that never happened: no answer came, and the config has the same hash as
    /// before.
    pub(crate) fn refund(&self, hash: Option<&Value>) {
        let mut effects = self.lock();
        let is_as_before = |pending: &mut Pending| hash.is_some() && pending.hash.as_ref() == hash;
        if let Some(pending) = effects.pending.take_if(is_as_before) {
            effects.refund_pending(&pending.steps);
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
    }

    /// Saves refunds that were made since the last step, when a run ends. Otherwise the next
    /// attempt would count those steps.
    ///
    /// # Errors
    ///
    /// The job no longer belongs to this worker.
    pub async fn flush(&self) -> Result<(), NotSaved> {
        if self.is_unsaved.load(Ordering::Relaxed) { self.save().await } else { Ok(()) }
    }

    /// Returns the latest session reset of this job; `None` if there was none.
    pub(crate) fn reset(&self) -> Option<Reset> {
        self.lock().reset.clone()
    }

    /// Records that a session is about to be reset, or that the gateway has acknowledged the reset.
    pub(crate) async fn note_reset(&self, reset: Reset) -> Result<(), NotSaved> {
        self.lock().reset = Some(reset);
        self.save().await
    }

    /// Returns the digest of the list of agents whose texts this job has escaped for a deletion.
    pub(crate) fn escaped(&self) -> Option<String> {
        self.lock().escaped.clone()
    }

    /// Records that the texts of a list of agents are about to be escaped.
    pub(crate) async fn note_escaped(&self, digest: String) -> Result<(), NotSaved> {
        self.lock().escaped = Some(digest);
        self.save().await
    }

    async fn save(&self) -> Result<(), NotSaved> {
        self.is_unsaved.store(false, Ordering::Relaxed);
        let Some(store) = &self.store else { return Ok(()) };
        let effects = serde_json::to_string(&*self.lock()).expect("numbers and texts are JSON");
        store.save(effects).await
    }

    fn lock(&self) -> MutexGuard<'_, Effects> {
        self.effects.lock().expect("no panic happens under this lock")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;

    fn write(part: &str) -> Step {
        Step::Write(part.to_owned())
    }

    fn spend(journal: &Journal, hash: &str) -> Result<(), Refused> {
        let recorded = journal.spend(vec![write("ada")], Some(&json!(hash))).now_or_never();
        recorded.expect("there is nothing to wait for")
    }

    #[test]
    fn the_same_part_is_written_at_most_twice() {
        let journal = Journal::default();
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.answered(true);
        journal.refund(Some(&json!("a")));
        assert_eq!(spend(&journal, "a"), Ok(()), "it was acknowledged, and counts");
        assert_eq!(spend(&journal, "a"), Err(Refused::Spent(write("ada"))));
        let other = journal.spend(vec![write("bob")], None).now_or_never();
        assert_eq!(other, Some(Ok(())));
    }

    #[test]
    fn steps_that_were_refused_or_never_happened_are_refunded() {
        let journal = Journal::default();
        for _ in 0..5 {
            assert_eq!(spend(&journal, "a"), Ok(()));
            journal.answered(false);
        }
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.refund(Some(&json!("a")));
        assert_eq!(journal.effects().config["ada"], 0, "the config is as before");
        for _ in 1..REFUNDS + CONFIG_WRITES {
            assert_eq!(spend(&journal, "a"), Ok(()));
            journal.refund(Some(&json!("a")));
        }
        assert!(spend(&journal, "a").is_err(), "refunds are limited");
    }

    /// Keeps the effects that were saved last.
    #[derive(Debug, Default, Clone)]
    struct Saved(Arc<Mutex<Effects>>);

    impl Store for Saved {
        fn save(&self, effects: String) -> BoxFuture<'_, Result<(), NotSaved>> {
            *self.0.lock().expect("no panic") = serde_json::from_str(&effects).expect("it is JSON");
            std::future::ready(Ok(())).boxed()
        }
    }

    #[test]
    fn the_next_attempt_does_not_count_refused_steps() {
        let saved = Saved::default();
        let journal = Journal::new(Effects::default(), Box::new(saved.clone()));
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.answered(false);
        assert_eq!(journal.flush().now_or_never(), Some(Ok(())));
        assert_eq!(saved.0.lock().expect("no panic").config["ada"], 0);
    }

    #[test]
    fn an_attempt_after_a_crash_continues_from_the_saved_effects() {
        let journal = Journal::default();
        let again = |journal: &Journal| {
            let saved = serde_json::to_value(journal.effects()).expect("it is JSON");
            let effects: Effects = serde_json::from_value(saved).expect("they were just written");
            effects.before_next_attempt(true)
        };
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.answered(true);
        assert_eq!(again(&journal).config["ada"], 1);
        assert_eq!(spend(&journal, "b"), Ok(()));
        assert_eq!(again(&journal).config["ada"], 1, "the worker died before the answer");
        let none: Effects = serde_json::from_str("{}").expect("all is optional");
        assert_eq!(none, Effects::default());
    }
}

//! The brake: what a job has done to its gateway, counted over all of its attempts.
//!
//! Each flow repeats until the gateway is as it should be, and so does the queue. Where something
//! undoes what is written, or where a gateway does something else than it says, both together would
//! write for ever. So each step that can hurt is written down before it is taken: a worker that
//! dies right after it has spent it, and whoever takes the job over knows.
//!
//! A write that was written down and never came to be is given back: the gateway's config has the
//! same hash as before it then.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most config writes of one job for the same part of a gateway's config: the first, and one more
/// for the case that somebody else wrote at the same time.
pub const CONFIG_WRITES: u32 = 2;
/// Most times that one job has an agent deleted.
pub const DELETIONS: u32 = 2;
/// Most times that one job is given a step back that never came to be: on a bad line requests are
/// lost, but what has to be sent again and again does harm too.
pub const FORGIVEN: u32 = 40;
/// Most times that one job creates an agent by call, or deletes and creates it anew.
pub const CREATIONS: u32 = 1;

/// What a job has done to its gateway so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effects {
    /// Config writes by what they wrote: the id of an agent, or `channels`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: BTreeMap<String, u32>,
    /// Deletions of the job's agent, but for those that go with a creation.
    #[serde(skip_serializing_if = "is_zero")]
    deletions: u32,
    /// Creations of the job's agent by call.
    #[serde(skip_serializing_if = "is_zero")]
    creations: u32,
    /// The session before it was started afresh, if that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<Reset>,
    /// How often a step that never came to be was given back, [`FORGIVEN`] times at most.
    #[serde(skip_serializing_if = "is_zero")]
    forgiven: u32,
    /// The latest step that changes the config, until its answer has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Pending>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A session that was to be started afresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The session before.
    pub before: SessionState,
    /// Whether the gateway has said that it did so.
    #[serde(default)]
    pub is_acknowledged: bool,
    /// How often it was sent.
    #[serde(default)]
    pub sent: u32,
}

/// What shows whether a session was started afresh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// Its id, where the gateway shows one.
    pub id: Option<String>,
    /// When it changed last, by the gateway's clock in ms, where the gateway shows it.
    pub updated_at: Option<u64>,
}

impl SessionState {
    /// Returns whether anything of it can be seen.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.id.is_some() || self.updated_at.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    /// The hash of the config before the step, if the gateway shows one.
    hash: Option<Value>,
    steps: Vec<Step>,
}

/// A step that changes a gateway's config.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A part of it is written: the id of an agent, or `channels`.
    Write(String),
    /// The job's agent is deleted.
    Delete,
    /// The job's agent is created by call.
    Create,
}

impl Effects {
    /// What was done so far, by an attempt that ended or by one whose worker died in the middle. A
    /// step whose answer nobody waited for is given back: that it has to be taken again does not
    /// show that something undoes it.
    #[must_use]
    pub fn before_next_attempt(mut self, has_died: bool) -> Self {
        match self.pending.take() {
            Some(pending) if has_died => self.forgive(&pending.steps),
            _ => {}
        }
        self
    }

    fn forgive(&mut self, steps: &[Step]) {
        if self.forgiven < FORGIVEN {
            self.forgiven += 1;
            self.take_back(steps);
        }
    }

    /// How often the job has had its agent created.
    #[must_use]
    pub const fn creations(&self) -> u32 {
        self.creations
    }

    /// How often the job has had its agent deleted.
    #[must_use]
    pub const fn deletions(&self) -> u32 {
        self.deletions
    }

    /// What two jobs have done that share a run from now on: of each step as often as the one that
    /// took it more often.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (part, count) in other.config {
            let own = self.config.entry(part).or_default();
            *own = count.max(*own);
        }
        self.deletions = self.deletions.max(other.deletions);
        self.creations = self.creations.max(other.creations);
        self.reset = self.reset.or(other.reset);
        self.pending = self.pending.or(other.pending);
        self
    }

    fn take_back(&mut self, steps: &[Step]) {
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

/// Keeps [`Effects`] beyond the life of a process.
pub trait Store: fmt::Debug + Send + Sync {
    /// Saves what a job has done, as JSON. Comes back when that is certain, or with an error when
    /// the job is not this worker's any more.
    fn save(&self, effects: String) -> BoxFuture<'_, Result<(), NotSaved>>;
}

/// What a job has done could not be written down, so it must not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the job is not this worker's any more: {0}")]
pub struct NotSaved(pub String);

/// Why a step must not be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The job has done this as often as it may.
    Spent(Step),
    /// See [`NotSaved`].
    NotSaved(NotSaved),
}

/// The effects of one job, and where they are kept.
#[derive(Debug, Default)]
pub struct Journal {
    effects: Mutex<Effects>,
    /// Whether steps were given back since the effects were saved.
    is_unsaved: AtomicBool,
    store: Option<Box<dyn Store>>,
}

impl Journal {
    /// A journal that is kept nowhere else and goes on from what was done before.
    #[must_use]
    pub fn of(effects: Effects) -> Self {
        Self { effects: Mutex::new(effects), ..Self::default() }
    }

    /// A journal that goes on from what earlier attempts did, see [`Self::of`].
    #[must_use]
    pub fn new(effects: Effects, store: Box<dyn Store>) -> Self {
        Self { store: Some(store), ..Self::of(effects) }
    }

    /// What was done so far.
    #[must_use]
    pub fn effects(&self) -> Effects {
        self.lock().clone()
    }

    /// Writes down steps that are about to be taken together, with the hash of the config before
    /// them. Nothing is written down, and nothing may be done, if one of them was done too often.
    pub(crate) async fn spend(
        &self,
        steps: Vec<Step>,
        hash: Option<&Value>,
    ) -> Result<(), Refused> {
        let saved = {
            let mut effects = self.lock();
            let mut next = effects.clone();
            for step in &steps {
                let (count, most) = next.count(step);
                if *count >= most {
                    return Err(Refused::Spent(step.clone()));
                }
                *count += 1;
            }
            next.pending = Some(Pending { hash: hash.cloned(), steps });
            effects.clone_from(&next);
            next
        };
        self.save(&saved).await.map_err(Refused::NotSaved)
    }

    /// Notes that the latest steps were answered. Those of a refused request are given back.
    pub(crate) fn answered(&self, is_done: bool, steps: &[Step]) {
        let mut effects = self.lock();
        effects.pending = None;
        if !is_done {
            effects.take_back(steps);
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
    }

    /// Gives steps back that never came to be: their answer did not come, and the config is as it
    /// was before them.
    pub(crate) fn give_back(&self, hash: Option<&Value>) {
        let mut effects = self.lock();
        if let Some(pending) =
            effects.pending.take_if(|pending| pending.hash.as_ref() == hash && hash.is_some())
        {
            effects.forgive(&pending.steps);
            self.is_unsaved.store(true, Ordering::Relaxed);
        }
    }

    /// Saves what was given back since the last step, when a run ends. The next attempt would count
    /// those steps otherwise.
    ///
    /// # Errors
    ///
    /// The job is not this worker's any more.
    pub async fn flush(&self) -> Result<(), NotSaved> {
        if self.is_unsaved.load(Ordering::Relaxed) {
            let effects = self.effects();
            self.save(&effects).await?;
        }
        Ok(())
    }

    /// What this job has done to start its session afresh; none if nothing.
    pub(crate) fn reset(&self) -> Option<Reset> {
        self.lock().reset.clone()
    }

    /// Writes down that a session is about to be started afresh, or that the gateway says it has
    /// done so.
    pub(crate) async fn note_reset(&self, reset: Reset) -> Result<(), NotSaved> {
        let saved = {
            let mut effects = self.lock();
            effects.reset = Some(reset);
            effects.clone()
        };
        self.save(&saved).await
    }

    async fn save(&self, effects: &Effects) -> Result<(), NotSaved> {
        self.is_unsaved.store(false, Ordering::Relaxed);
        let Some(store) = &self.store else { return Ok(()) };
        store.save(serde_json::to_string(effects).expect("numbers and texts are JSON")).await
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

    fn write() -> Vec<Step> {
        vec![Step::Write("ada".into())]
    }

    fn spend(journal: &Journal, hash: &str) -> Result<(), Refused> {
        journal.spend(write(), Some(&json!(hash))).now_or_never().expect("nothing is waited for")
    }

    #[test]
    fn the_same_part_is_written_twice_at_most() {
        let journal = Journal::default();
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.answered(true, &write());
        journal.give_back(Some(&json!("a")));
        assert_eq!(spend(&journal, "a"), Ok(()), "it was acknowledged, and counts");
        assert_eq!(spend(&journal, "a"), Err(Refused::Spent(write()[0].clone())));
        let other = journal.spend(vec![Step::Write("bob".into())], None).now_or_never();
        assert_eq!(other, Some(Ok(())));
    }

    #[test]
    fn what_was_refused_or_never_came_to_be_is_given_back() {
        let journal = Journal::default();
        for _ in 0..5 {
            assert_eq!(spend(&journal, "a"), Ok(()));
            journal.answered(false, &write());
        }
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.give_back(Some(&json!("a")));
        assert_eq!(journal.effects().config["ada"], 0, "the config is as before");
        for _ in 1..FORGIVEN + CONFIG_WRITES {
            assert_eq!(spend(&journal, "a"), Ok(()));
            journal.give_back(Some(&json!("a")));
        }
        assert!(spend(&journal, "a").is_err(), "not for ever");
    }

    /// Keeps what was saved last.
    #[derive(Debug, Default, Clone)]
    struct Saved(Arc<Mutex<Effects>>);

    impl Store for Saved {
        fn save(&self, effects: String) -> BoxFuture<'_, Result<(), NotSaved>> {
            *self.0.lock().unwrap() = serde_json::from_str(&effects).unwrap();
            std::future::ready(Ok(())).boxed()
        }
    }

    #[test]
    fn the_next_attempt_does_not_count_what_was_refused() {
        let saved = Saved::default();
        let journal = Journal::new(Effects::default(), Box::new(saved.clone()));
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.answered(false, &write());
        assert_eq!(journal.flush().now_or_never(), Some(Ok(())));
        assert_eq!(saved.0.lock().unwrap().config["ada"], 0);
    }

    #[test]
    fn an_attempt_after_a_death_goes_on_from_what_was_saved() {
        let journal = Journal::default();
        let again = |journal: &Journal| {
            let saved = serde_json::to_string(&journal.effects()).expect("it is JSON");
            let effects: Effects =
                serde_json::from_str(&saved).expect("it was written a moment ago");
            Journal::of(effects.before_next_attempt(true))
        };
        assert_eq!(spend(&journal, "a"), Ok(()));
        journal.answered(true, &write());
        assert_eq!(again(&journal).effects().config["ada"], 1);
        assert_eq!(spend(&journal, "b"), Ok(()));
        assert_eq!(again(&journal).effects().config["ada"], 1, "the worker died before the answer");
        assert_eq!(
            serde_json::from_str::<Effects>("{}").expect("all is optional"),
            Effects::default()
        );
    }
}

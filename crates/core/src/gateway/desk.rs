//! What the runs on one gateway share of its config: one reader, one writer, and one write for all of them.
//!
//! Gateways take few config writes, may restart after each, and most versions lose concurrent ones without a word. So
//! runs put their wishes on the desk, and the one that gets the pen writes for all whose wishes lie there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::error::GatewayError;
use super::roster::{Config, DesiredAgent, Shape};
use crate::outcome::Change;

/// How long a writer waits for runs that are on their way to the desk. On a slow gateway they come seconds apart, and
/// each write that is saved saves more.
const GATHERING: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Held while the config is written, from reading it to reading it back.
    pub(crate) pen: AsyncMutex<()>,
    wishes: Mutex<Vec<Wish>>,
    coming: watch::Sender<usize>,
    /// When the last reading began, and what it brought; kept while others wait for one.
    last_read: AsyncMutex<Option<(Instant, Arc<Config>)>>,
    readers: AtomicUsize,
}

/// What a run wants of the config.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The agents that it wants, each once.
    pub(crate) desired: Arc<[DesiredAgent]>,
    /// What was written for it so far, for its report.
    pub(crate) written: Vec<Change>,
    /// Whether an agent of it was not there before.
    pub(crate) is_new: bool,
    answer: oneshot::Sender<Granted>,
}

/// What became of a wish.
pub(crate) type Granted = Result<Grant, GatewayError>;

/// A wish that the config has.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The shape of the config.
    pub(crate) shape: Shape,
    /// What was written for the wish.
    pub(crate) written: Vec<Change>,
    /// Whether an agent of it was not there before.
    pub(crate) is_new: bool,
}

/// A run that is on its way to the desk. Whoever writes waits a little for it.
#[derive(Debug)]
pub(crate) struct Coming(watch::Sender<usize>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.send_modify(|coming| *coming -= 1);
    }
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            pen: AsyncMutex::new(()),
            wishes: Mutex::new(Vec::new()),
            coming: watch::Sender::new(0),
            last_read: AsyncMutex::new(None),
            readers: AtomicUsize::new(0),
        }
    }

    /// Announces a wish; dropped when it lies on the desk, or when there will be none.
    pub(crate) fn announce(&self) -> Coming {
        self.coming.send_modify(|coming| *coming += 1);
        Coming(self.coming.clone())
    }

    /// Puts a wish on the desk. Its answer comes from whoever writes; if that run ends before, the answer is an error
    /// of the channel, and the wish has to be put there again.
    pub(crate) fn put(&self, desired: Arc<[DesiredAgent]>) -> oneshot::Receiver<Granted> {
        let (answer, granted) = oneshot::channel();
        self.lock().push(Wish { desired, written: Vec::new(), is_new: false, answer });
        granted
    }

    /// Takes the wishes that lie there into the batch, but for those at odds with one in it.
    pub(crate) fn take_into(&self, batch: &mut Vec<Wish>) {
        let mut wishes = self.lock();
        for wish in std::mem::take(&mut *wishes) {
            if batch.iter().any(|other| other.is_at_odds_with(&wish)) {
                wishes.push(wish);
            } else if !wish.answer.is_closed() {
                batch.push(wish);
            }
        }
    }

    /// Waits until all that were announced lie there, or for long enough.
    pub(crate) async fn gather(&self) {
        // Too late is as good as none coming.
        let _ = timeout(GATHERING, self.coming.subscribe().wait_for(|coming| *coming == 0)).await;
    }

    /// The config as it was read after this call: by this run with `read`, or by another that asked at the same time.
    pub(crate) async fn read<F>(&self, read: impl FnOnce() -> F) -> Result<Arc<Config>, GatewayError>
    where
        F: Future<Output = Result<Config, GatewayError>>,
    {
        let asked = Instant::now();
        let reader = Reader::of(&self.readers);
        let mut last = self.last_read.lock().await;
        let config = match last.take() {
            Some((began, config)) if began > asked => (began, config),
            _ => (Instant::now(), Arc::new(read().await?)),
        };
        if reader.is_one_of_many() {
            *last = Some(config.clone());
        }
        Ok(config.1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Wish>> {
        self.wishes.lock().expect("no panic happens under this lock")
    }
}

/// One who reads, or waits to.
struct Reader<'a>(&'a AtomicUsize);

impl<'a> Reader<'a> {
    fn of(readers: &'a AtomicUsize) -> Self {
        readers.fetch_add(1, Ordering::Relaxed);
        Self(readers)
    }

    fn is_one_of_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Wish {
    /// Ends the wish. A run that has gone away meanwhile does not hear it.
    pub(crate) fn answer(self, granted: Result<Shape, GatewayError>) {
        let Self { written, is_new, answer, .. } = self;
        let _ = answer.send(granted.map(|shape| Grant { shape, written, is_new }));
    }

    /// Whether both want the same agent, and not the same of it.
    fn is_at_odds_with(&self, other: &Self) -> bool {
        let differ = |one: &DesiredAgent| other.desired.iter().any(|two| one.id == two.id && one != two);
        self.desired.iter().any(differ)
    }
}

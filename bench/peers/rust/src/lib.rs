//! The conversation of a peer with `bench/peers/run`, which sends commands to the standard input.

use std::fs::read_to_string;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The number of jobs of one call that enqueues many.
const BULK: usize = 50;
/// The concurrency of the worker whose latency is measured.
const IDLE_CONCURRENCY: usize = 16;
/// The time without jobs after which a worker counts as idle.
const UNTIL_IDLE: Duration = Duration::from_millis(10);

/// A queue with the two things that a measurement does to it.
#[expect(async_fn_in_trait, reason = "nobody else implements it")]
pub trait Peer: Sized {
    /// Connects to Redis on a unix socket. Nothing periodic may happen while instructions are
    /// counted.
    async fn connect(socket: &str, counted: bool) -> anyhow::Result<Self>;

    /// Enqueues one job.
    async fn one(&mut self, job: Value) -> anyhow::Result<()>;

    /// Enqueues many jobs with one call.
    async fn many(&mut self, jobs: Vec<Value>) -> anyhow::Result<()>;

    /// Starts a worker that calls a function for each job. It ends when it is told to stop, once
    /// Redis has the ends of all jobs that began.
    fn start(
        &mut self,
        concurrency: usize,
        stop: CancellationToken,
        begun: impl Fn() + Clone + Send + Sync + 'static,
    ) -> JoinHandle<anyhow::Result<()>>;
}

/// Obeys the commands until the standard input ends. The arguments of the program are a socket and
/// a file with a document in each line.
pub async fn serve<P: Peer>() -> anyhow::Result<()> {
    let [socket, documents] =
        std::env::args().skip(1).collect::<Vec<_>>().try_into().ok().context(
            "the arguments are a socket of Redis and a file of documents; see bench/peers/run",
        )?;
    let jobs: Vec<Value> =
        read_to_string(documents)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut peer = P::connect(&socket, std::env::var_os("PEER_COUNTED").is_some()).await?;
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match (words[0], words[1].parse()?) {
            ("one", count) => {
                for job in &jobs[..count] {
                    peer.one(job.clone()).await?;
                }
            }
            ("many", count) => {
                for jobs in jobs[..count].chunks(BULK) {
                    peer.many(jobs.to_vec()).await?;
                }
            }
            ("process", count) => process(&mut peer, count, words[2].parse()?).await?,
            ("latency", count) => {
                let milliseconds = latency(&mut peer, &jobs[..=count]).await?;
                println!("done {}", serde_json::to_string(&milliseconds)?);
                println!("ready");
                continue;
            }
            _ => bail!("the command {line:?} is unknown"),
        }
        println!("done");
        println!("ready");
    }
    Ok(())
}

async fn process(peer: &mut impl Peer, count: usize, concurrency: usize) -> anyhow::Result<()> {
    let all = Arc::new((AtomicUsize::new(0), Notify::new()));
    let stop = CancellationToken::new();
    let counting = all.clone();
    let mut worker = peer.start(concurrency, stop.clone(), move || {
        if counting.0.fetch_add(1, Ordering::Relaxed) + 1 == count {
            counting.1.notify_one();
        }
    });
    tokio::select! {
        () = all.1.notified() => {}
        ended = &mut worker => bail!("the worker ended before its jobs: {ended:?}"),
    }
    stop.cancel();
    worker.await?
}

/// Returns the milliseconds from before the call to enqueue until the handler is called. The first
/// job loads the scripts and is not counted.
async fn latency(peer: &mut impl Peer, jobs: &[Value]) -> anyhow::Result<Vec<f64>> {
    let (begins, mut runs) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let worker = peer.start(IDLE_CONCURRENCY, stop.clone(), move || {
        // The receiver lives until the worker has stopped.
        let _ = begins.send(Instant::now());
    });
    let mut values = Vec::new();
    for job in jobs {
        sleep(UNTIL_IDLE).await;
        let before = Instant::now();
        peer.one(job.clone()).await?;
        let begun = runs.recv().await.context("the worker ended")?;
        values.push((begun - before).as_secs_f64() * 1000.0);
    }
    stop.cancel();
    worker.await??;
    Ok(values.split_off(1))
}

//! `worker bench`: how fast the queue is on this machine, how large it can be, and how soon it gets
//! over lost workers. `mission_bench` measures; this prints.

use mission_bench::{Bench, BenchError, Measure, Measured, WorkerProcess};
use tokio::process::Command;
use tokio::sync::watch;

use crate::commands::run::watch_signals;
use crate::environment;
use crate::exit::{Exit, OrExit};
use crate::output::{Output, say};

/// Runs the command: one measurement, or all of them.
pub async fn run(output: Output, measure: Option<Measure>) -> Result<(), Exit> {
    let (stop, stopping) = watch::channel(false);
    watch_signals(stop)?;
    let bench = Bench { stopping, launch: worker };
    print(output, bench.machine().await)?;
    let measures = measure.map_or_else(|| Measure::all().into(), |one| vec![one]);
    for measure in &measures {
        say(&format!("bench: measuring {measure:?}"));
        print(output, measure.run(&bench).await)?;
    }
    Ok(())
}

/// Prints one document per measurement, or one table.
fn print(output: Output, measured: Result<Measured, BenchError>) -> Result<(), Exit> {
    let measured = match measured {
        Ok(measured) => measured,
        Err(BenchError::Setup(error)) => return Err(error).or_usage(),
        Err(BenchError::Unreachable(error)) => return Err(error).or_unreachable(),
        Err(BenchError::Failed(error)) => return Err(error).or_failed(),
    };
    output.print(&measured.document, || format!("{}\n\n", measured.table));
    Ok(())
}

/// Returns the command that starts this program as a worker of its own, with none of the user's
/// settings.
fn worker(process: &WorkerProcess<'_>) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    // PATH is for libraries' sake only.
    command.arg("run").env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
        .env(environment::CONFIG, process.config)
        .env("MISSION_DATA_DIR", process.data_dir)
        .env("MISSION_QUEUE", process.queue)
        .env("MISSION_REDIS_URL", process.redis_url)
        .env("MISSION_HTTP_ADDR", "127.0.0.1:0");
    Ok(command)
}

//! The `worker` binary: provisions AI agents on OpenClaw gateways from jobs in Redis.

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod client;
mod commands;
mod environment;
mod events;
mod exit;
mod metrics;
mod open_queue;
mod output;
mod queue_client;
mod settings;
mod telemetry;
mod traces;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use commands::{
    apply, audit, bench, config, demo, doctor, enqueue, explain, gateways, health, jobs, key,
    migrate, pause, plan, render, run, token, top, workers,
};
use exit::{Exit, OrExit};
use output::Output;
use settings::Settings;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => exit.report(),
    }
}

fn start(cli: Cli) -> Result<(), Exit> {
    let settings = Settings::load(&cli.global.sources()).or_usage()?;
    let level = match cli.command {
        Command::Demo { .. } => Some("warn"),
        // The log would overwrite the screen.
        Command::Top { .. } => Some("off"),
        // A queue at its limits logs many warnings; the figures include them.
        Command::Bench { .. } => Some("error"),
        _ => None,
    };
    telemetry::start(&settings, level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().or_failed()?;
    runtime.block_on(dispatch(cli, &settings))
}

async fn dispatch(cli: Cli, settings: &Settings) -> Result<(), Exit> {
    let output = Output::new(cli.global.json);
    match cli.command {
        Command::Apply { file } => apply::run(settings, output, &file).await,
        Command::Plan { file } => plan::run(settings, output, &file).await,
        Command::Explain { file, reveal } => explain::run(settings, output, &file, reveal),
        Command::Render { file, out } => render::run(settings, output, &file, &out),
        Command::Health => health::run(settings, output).await,
        Command::Token(asked) => token::run(settings, output, &asked),
        Command::Config => {
            config::run(settings, output);
            Ok(())
        }
        Command::Run { until_idle } => run::run(settings, until_idle).await,
        Command::Enqueue { files, options } => {
            enqueue::run(settings, output, &files, &options).await
        }
        Command::Pause { at, scope, reason } => {
            pause::run(settings, output, &at, &scope, &reason, true).await
        }
        Command::Resume { at, scope, why } => {
            pause::run(settings, output, &at, &scope, &why.reason, false).await
        }
        Command::Doctor { repair } => doctor::run(settings, output, repair).await,
        Command::Migrate { dry_run } => migrate::run(settings, output, dry_run).await,
        Command::Key(command) => key::run(settings, output, &command).await,
        Command::Jobs { at, command } => jobs::run(settings, output, &at, &command).await,
        Command::Top(at) => top::run(settings, &at).await,
        Command::Gateways { at, command } => {
            gateways::run(settings, output, &at, command.as_ref()).await
        }
        Command::Workers(at) => workers::list(settings, output, &at).await,
        Command::Drain(worker) => workers::drain(settings, output, &worker, true).await,
        Command::Undrain(worker) => workers::drain(settings, output, &worker, false).await,
        Command::Audit { at, limit } => audit::run(settings, output, &at, limit as usize).await,
        Command::Bench { measure } => bench::run(output, measure).await,
        Command::Demo { exit } => demo::run(settings, exit).await,
    }
}

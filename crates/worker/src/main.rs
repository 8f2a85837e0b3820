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
        Command::Apply { file } => commands::apply::run(settings, output, &file).await,
        Command::Plan { file } => commands::plan::run(settings, output, &file).await,
        Command::Explain { file, reveal } => {
            commands::explain::run(settings, output, &file, reveal)
        }
        Command::Render { file, out } => commands::render::run(settings, output, &file, &out),
        Command::Health => commands::health::run(settings, output).await,
        Command::Token(asked) => commands::token::run(settings, output, &asked),
        Command::Config => {
            commands::config::run(settings, output);
            Ok(())
        }
        Command::Run { until_idle } => commands::run::run(settings, until_idle).await,
        Command::Enqueue { files, options } => {
            commands::enqueue::run(settings, output, &files, &options).await
        }
        Command::Pause { at, scope, reason } => {
            commands::pause::run(settings, output, &at, &scope, &reason, true).await
        }
        Command::Resume { at, scope, why } => {
            commands::pause::run(settings, output, &at, &scope, &why.reason, false).await
        }
        Command::Doctor => commands::doctor::run(settings, output).await,
        Command::Key(command) => commands::key::run(settings, output, &command).await,
        Command::Jobs { at, command } => commands::jobs::run(settings, output, &at, &command).await,
        Command::Top(at) => commands::top::run(settings, &at).await,
        Command::Gateways(at) => commands::gateways::run(settings, output, &at).await,
        Command::Workers(at) => commands::workers::list(settings, output, &at).await,
        Command::Drain(worker) => commands::workers::drain(settings, output, &worker, true).await,
        Command::Undrain(worker) => {
            commands::workers::drain(settings, output, &worker, false).await
        }
        Command::Audit { at, limit } => {
            commands::audit::run(settings, output, &at, limit as usize).await
        }
        Command::Bench { measure } => commands::bench::run(output, measure).await,
        Command::Demo { exit } => commands::demo::run(settings, exit).await,
    }
}

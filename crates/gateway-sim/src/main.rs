//! The program `gateway-sim`: a simulated gateway as a process, for the demo and for tests that are
//! not in Rust.
//!
//! The first line of its output is the URL. It ends on SIGTERM, or when its standard input does, so
//! that it never outlives the process that started it.

use std::{error::Error, fs, io, path::PathBuf, thread};

use clap::Parser;
use mission_gateway_sim::{Fault, Gateway, Profile, Setup};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

const FAULT_HELP: &str = "Fault as JSON, such as \
    {\"method\":\"config.patch\",\"call\":2,\"action\":\"drop_after\"}; may be repeated";

/// Runs a simulated gateway on 127.0.0.1 until standard input ends.
#[derive(Parser)]
struct Arguments {
    /// Imitated version, such as 2026.9.6, or `scenario` [default: from the setup, or 2026.9.6]
    #[arg(long, value_parser = profile)]
    profile: Option<Profile>,
    /// Port; 0 selects a free one [default: from the setup, or 0]
    #[arg(long)]
    port: Option<u16>,
    /// Token that clients must send [default: from the setup, or any]
    #[arg(long)]
    token: Option<String>,
    /// JSON file with the initial state, options and faults
    #[arg(long, value_name = "FILE")]
    setup: Option<PathBuf>,
    /// Fault as JSON; may be repeated
    #[arg(long = "fault", value_name = "JSON", value_parser = fault, long_help = FAULT_HELP)]
    faults: Vec<Fault>,
}

fn profile(name: &str) -> Result<Profile, String> {
    let known = || Profile::ALL.map(Profile::name).join(", ");
    Profile::named(name).ok_or_else(|| format!("not one of {}", known()))
}

fn fault(json: &str) -> Result<Fault, serde_json::Error> {
    serde_json::from_str(json)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut setup = match &arguments.setup {
        Some(file) => serde_json::from_str(&fs::read_to_string(file)?)?,
        None => Setup { profile: Profile::V2026_9_6, ..Setup::default() },
    };
    setup.profile = arguments.profile.unwrap_or(setup.profile);
    setup.port = arguments.port.unwrap_or(setup.port);
    setup.token = arguments.token.or(setup.token);
    setup.faults.extend(arguments.faults);

    let mut terminated = signal(SignalKind::terminate())?;
    let gateway = Gateway::start(setup).await?;
    println!("{}", gateway.url());
    tokio::select! {
        _ = stdin_ends() => {}
        _ = terminated.recv() => {}
    }
    Ok(())
}

/// Returns a receiver that resolves when standard input ends. A separate thread reads the input,
/// because the runtime's thread would keep the process alive.
fn stdin_ends() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        // An unreadable input counts as ended.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = ended.send(());
    });
    end
}

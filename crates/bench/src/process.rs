//! The CPU time and the memory of a process, from `/proc`.

use std::time::Duration;

use anyhow::Context;

/// The ticks per second in `/proc`. The kernel fixes them, whatever it uses itself.
const TICKS: u64 = 100;

/// Returns the CPU time of a process in user and kernel mode, exact to 10 ms.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("{path}; CPU is measured on Linux only"))?;
    // The second field is the name, which may hold anything but ends with the last bracket.
    let (_, rest) = text.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// Returns the resident memory of a process in bytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .with_context(|| format!("{path}: no VmRSS"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().with_context(|| path)?;
    Ok(kib * 1024)
}

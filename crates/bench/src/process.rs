//! The CPU time and the memory of a process, and other values, from `/proc`.

use std::fs::read_to_string;
use std::time::Duration;

use anyhow::Context;

/// The ticks per second in `/proc`. The kernel fixes them, whatever it uses itself.
const TICKS: u64 = 100;

/// Returns the CPU time of a process in user and kernel mode, exact to 10 ms.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text =
        read_to_string(&path).with_context(|| format!("{path}; CPU is measured on Linux only"))?;
    // The second field is the name, which may hold anything but ends with the last bracket.
    let (_, rest) = text.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS))
}

/// Returns the resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> anyhow::Result<u32> {
    let path = format!("/proc/{pid}/status");
    kib_of(&path, "VmRSS").with_context(|| format!("{path}: no VmRSS"))
}

/// Returns a size in KiB from a file with a line for each value.
pub fn kib_of(path: &str, name: &str) -> Option<u32> {
    line_of(path, name)?.trim_end_matches(" kB").parse().ok()
}

/// Returns the value of the first line that begins with the name.
pub fn line_of(path: &str, name: &str) -> Option<String> {
    let text = read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map(|(_, value)| value.trim().to_owned())
}

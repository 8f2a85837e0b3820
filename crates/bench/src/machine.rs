//! The machine and the versions that figures were measured with.

use std::fmt;
use std::fs::read_to_string;

use serde::Serialize;

use super::arena::Arena;
use super::load;
use super::process::{kib_of, line_of};

/// The machine, the versions and the settings of a run.
#[derive(Debug, Serialize)]
pub struct Machine {
    cores: usize,
    cpu: String,
    memory_mib: u32,
    kernel: String,
    load: String,
    worker: &'static str,
    build: &'static str,
    redis: String,
    directory: String,
    document_bytes: usize,
}

impl Machine {
    /// Reads the description of this machine.
    pub async fn look((): &(), arena: &mut Arena) -> anyhow::Result<Self> {
        let server = arena.info("server").await?;
        let version = |name: &str| server.get(name).cloned();
        let redis = version("valkey_version").map(|version| format!("Valkey {version}"));
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: kib_of("/proc/meminfo", "MemTotal").unwrap_or(0) / 1024,
            kernel: ["ostype", "osrelease"]
                .map(|name| whole(&format!("/proc/sys/kernel/{name}")))
                .join(" "),
            load: whole("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
            worker: env!("CARGO_PKG_VERSION"),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
            redis: redis.unwrap_or_else(|| {
                format!("Redis {}", version("redis_version").unwrap_or_default())
            }),
            directory: std::env::temp_dir().display().to_string(),
            document_bytes: load::document(0, 1, None).len(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, memory_mib, kernel, load, .. } = self;
        writeln!(
            f,
            "machine   {cores} cores, {cpu}, {memory_mib} MiB, {kernel}; load before {load}"
        )?;
        let Self { worker, build, redis, directory, document_bytes, .. } = self;
        write!(
            f,
            "versions  worker {worker} ({build} build), {redis}\n\
             settings  Redis on a unix socket, append-only file in {directory} synced every \
             second; lease 20 s, renewed and looked for every 5 s\n\
             jobs      `provision` documents of {document_bytes} bytes, each for an agent of its \
             own"
        )
    }
}

fn whole(path: &str) -> String {
    read_to_string(path).unwrap_or_default().trim().to_owned()
}

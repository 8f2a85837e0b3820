//! `worker render FILE --out DIR`: writes the files of a first provisioning to a local directory.

use std::fs::{File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, anyhow};
use mission_core::apply::Desired;
use mission_core::humanize::count;
use mission_core::private_file::create_folder;
use serde_json::json;

use crate::commands::{long_files, read_job, render_all};
use crate::exit::{Exit, OrExit};
use crate::output::Output;
use crate::settings::Settings;

/// Renders the job document in `file`. The files contain the agent's token, so only their owner can
/// read them.
pub fn run(settings: &Settings, output: Output, file: &Path, out: &Path) -> Result<(), Exit> {
    let job = read_job(file)?;
    let wanted = Desired::of(&job, settings.base_url.as_deref())
        .ok_or_else(|| {
            anyhow!("a {} job writes no files; give a provision or provision-main job", job.kind())
        })
        .or_usage()?;
    let texts = render_all(settings, &wanted)?;
    create_folder(out).with_context(|| out.display().to_string()).or_usage()?;
    for (name, text) in &texts {
        let path = out.join(name);
        let open =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        // A file that already exists would keep its mode.
        let close = |file: &File| file.set_permissions(Permissions::from_mode(0o600));
        open.and_then(|mut file| close(&file).and_then(|()| file.write_all(text.as_bytes())))
            .with_context(|| path.display().to_string())
            .or_usage()?;
    }
    let names: Vec<_> = texts.keys().map(String::as_str).collect();
    let warnings = long_files(&texts);
    let answer = json!({ "out": out, "files": names, "warnings": warnings });
    output.print(&answer, || {
        let files = count(names.len() as u64, "file");
        let mut lines = vec![format!("wrote {files} to {}: {}", out.display(), names.join(", "))];
        lines.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    });
    Ok(())
}

//! `worker config`: the settings in force and where each came from.

use std::collections::BTreeMap;

use crate::output::Output;
use crate::settings::{InForce, Settings};

/// Runs the command.
pub fn run(settings: &Settings, output: Output) {
    let values: BTreeMap<_, _> = settings.values().iter().map(|value| (value.key, value)).collect();
    output.print(&values, || {
        let line =
            |value: &InForce| format!("{:30} {:30} {}", value.key, value.value, value.source);
        let mut lines = vec![format!("{:30} {:30} from", "setting", "value")];
        lines.extend(settings.values().iter().map(line));
        lines.push(format!("data directory in force: {}", settings.data_dir.display()));
        lines.join("\n")
    });
}

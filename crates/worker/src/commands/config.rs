//! `worker config`: shows the effective settings and the source of each.

use std::collections::BTreeMap;

use crate::output::Output;
use crate::settings::{InForce, Settings};

/// Prints every setting with its value and source.
pub fn run(settings: &Settings, output: Output) {
    let values: BTreeMap<_, _> = settings.values.iter().map(|value| (value.key, value)).collect();
    output.print(&values, || {
        let line =
            |value: &InForce| format!("{:30} {:30} {}", value.key, value.value, value.source);
        let mut lines = vec![format!("{:30} {:30} source", "setting", "value")];
        lines.extend(settings.values.iter().map(line));
        lines.push(format!("effective data directory: {}", settings.data_dir.display()));
        lines.join("\n")
    });
}

//! `gateway` is the lowest layer of the crate: it speaks the protocol, and knows nothing of jobs,
//! documents, outcomes and reports.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules that any file of the layer may use. They depend on no other module of the crate.
const HELPERS: [&str; 6] =
    ["backoff", "digest", "private_file", "python_format", "sanitize", "single_flight"];

/// The files that use another module, and why. `journal` depends on no other module of the crate.
/// `heartbeat` and `keys` also derive values from documents, but these uses do not.
const EXCEPTIONS: [(&str, &str, &str); 6] = [
    ("call.rs", "journal", "a call carries its job's journal to the flows"),
    ("group_commit.rs", "journal", "a pending change is charged to its job's journal"),
    ("error.rs", "journal", "an effect that could not be saved ends a call"),
    ("agents_config.rs", "heartbeat", "an entry's interval is read as gateways read it"),
    ("agents_config/diff.rs", "heartbeat", "an entry's interval is compared as gateways read it"),
    ("agents_config.rs", "keys", "ids are normalised as gateways normalise them"),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    files.collect()
}

/// Returns what follows each `crate::` in a file, up to the next character that no name has.
fn modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    })
}

#[test]
fn the_gateway_uses_no_higher_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gateway");
    let (mut found, mut used) = (Vec::new(), Vec::new());
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("super::super::"), "{name}: name the module with crate::");
        for module in modules(&text) {
            let exception =
                EXCEPTIONS.iter().find(|(file, used, _)| name == *file && module == *used);
            match exception {
                Some(exception) => used.push(exception),
                None if module == "gateway" || HELPERS.contains(&module) => {}
                None => found.push(format!("{name} uses crate::{module}")),
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    let unused: Vec<_> = EXCEPTIONS.iter().filter(|exception| !used.contains(exception)).collect();
    assert!(unused.is_empty(), "no longer needed: {unused:#?}");
}

#[test]
fn the_helpers_of_the_gateway_use_no_other_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for module in HELPERS.iter().chain(&["journal"]) {
        let text = fs::read_to_string(root.join(module).with_extension("rs")).unwrap();
        assert_eq!(modules(&text).collect::<Vec<_>>(), Vec::<&str>::new(), "{module}");
    }
}

//! Cases of the local mirror.

use std::fs;
use std::path::Path;

use mission_core::mirror::Mirror;
use serde_json::{Map, Value, json};

use super::{Case, Verdict};

pub(crate) fn digest(case: &Case) -> Verdict {
    case.returns(Mirror::folder_name(case.text("workspace_path")))
}

/// Makes a series of writes into a fresh folder `{BASE}`, in which `home` is the home folder.
pub(crate) fn write(case: &Case) -> Verdict {
    let base = tempfile::tempdir().expect("a temporary folder");
    let home = base.path().join("home");
    for (path, content) in case.input("pre").as_object().into_iter().flatten() {
        prepare(&base.path().join(path), content.as_str());
    }
    let root = case
        .text("local_agent_workspace_root")
        .replace("{BASE}", &base.path().display().to_string());
    let mirror = Mirror::with_home(&root, Some(&home));
    let calls = case.input("calls").as_array().expect("calls");
    let succeeded: Vec<bool> = calls
        .iter()
        .map(|call| mirror.as_ref().is_ok_and(|mirror| succeeds(mirror, call)))
        .collect();
    let expected: Vec<bool> = case.expected()["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|call| call["ok"] == true)
        .collect();
    let mut tree = Map::new();
    list(base.path(), base.path(), &mut tree);
    let tree = Value::Object(tree);
    if tree == case.expected()["tree"] && succeeded == expected {
        Ok(())
    } else {
        Err(format!("successes {succeeded:?}, files {tree}; Python {}", case.expected()))
    }
}

/// Runs one call. Calls that ask to overwrite act like all others, because files are never
/// overwritten.
fn succeeds(mirror: &Mirror, call: &Value) -> bool {
    let text = |key: &str| call[key].as_str().expect("a string");
    mirror.write_missing(text("workspace_path"), text("name"), text("content")).is_ok()
}

fn prepare(path: &Path, content: Option<&str>) {
    let folder = if content.is_some() { path.parent().expect("a folder above") } else { path };
    fs::create_dir_all(folder).expect("a writable folder");
    if let Some(content) = content {
        fs::write(path, content).expect("a writable folder");
    }
}

fn list(base: &Path, folder: &Path, tree: &mut Map<String, Value>) {
    let entries: Vec<_> = fs::read_dir(folder)
        .expect("a readable folder")
        .map(|entry| entry.expect("an entry"))
        .collect();
    if entries.is_empty() && folder != base {
        tree.insert(format!("{}/", relative(base, folder)), json!("<empty dir>"));
    }
    for entry in entries {
        if entry.file_type().expect("a type").is_dir() {
            list(base, &entry.path(), tree);
        } else {
            let content = fs::read_to_string(entry.path()).expect("a readable file");
            tree.insert(relative(base, &entry.path()), json!(content));
        }
    }
}

fn relative(base: &Path, path: &Path) -> String {
    path.strip_prefix(base).expect("below the base").display().to_string()
}

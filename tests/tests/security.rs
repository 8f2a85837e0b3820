//! The table of limits in docs/security.md must name existing tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Collects all source files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// Returns whether that file is the module of that name.
fn is_module(path: &Path, module: &str) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    path.file_stem().is_some_and(|stem| {
        stem == module || stem == "mod" && folder.is_some_and(|name| name == module)
    })
}

#[test]
fn each_limit_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let (_, limits) = page.split_once("\n## Limits\n").unwrap();
    let limits = limits.split("\n## ").next().unwrap();
    let mut files = Vec::new();
    for folder in ["crates", "tests/tests"] {
        sources(&root.join(folder), &mut files);
    }
    let rows: Vec<_> = limits.lines().filter(|line| line.starts_with('|')).skip(2).collect();
    assert!(rows.len() > 25, "the table has too few rows");
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [_, _, _, tests] = cells[..] else { panic!("a row must have four cells: {row}") };
        let names: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {row}");
        for name in names {
            let (module, test) = name.split_once("::").unwrap();
            let is_there = files.iter().filter(|path| is_module(path, module)).any(|path| {
                let lines = fs::read_to_string(path).unwrap();
                let lines: Vec<_> = lines.lines().map(str::trim_start).collect();
                let of_test = |line: &&str| {
                    line.split_once("fn ")
                        .is_some_and(|(_, rest)| rest.starts_with(&format!("{test}(")))
                };
                let at = lines.iter().position(of_test);
                at.is_some_and(|at| {
                    lines[at.saturating_sub(3)..at]
                        .iter()
                        .any(|line| line.contains("test]") || line.contains("test("))
                })
            });
            assert!(is_there, "there is no test {name}");
        }
    }
}

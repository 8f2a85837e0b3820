//! The targets of `tests/fuzz`, run on the seeds of the fuzzing corpus and on some mutations of
//! each. `make fuzz` searches for more inputs, guided by code coverage.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;

#[path = "../fuzz/src/lib.rs"]
mod targets;

/// The number of mutations of each input.
const CHANGES: u64 = 3;

/// Returns a mutated input: bytes are flipped, or a part is removed, repeated, or taken from
/// another input.
fn changed(input: &[u8], other: &[u8], random: &mut u64) -> Vec<u8> {
    let mut next = |below: usize| {
        *random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(*random >> 33).unwrap() % below.max(1)
    };
    let mut input = input.to_vec();
    for _ in 0..=next(4) {
        let (at, till) = (next(input.len()), next(input.len()));
        let (at, till) = (at.min(till), at.max(till));
        match next(4) {
            0 if !input.is_empty() => input[at] ^= 1 << next(8),
            1 => drop(input.drain(at..till)),
            2 => input.extend_from_within(at..till),
            _ => {
                let from = next(other.len());
                input.splice(at..till, other[from..].iter().take(64).copied());
            }
        }
    }
    input
}

fn run_on_corpus(name: &str, run: fn(&[u8])) {
    let corpus = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds.py");
    assert!(Command::new("python3").arg(script).arg(corpus.path()).status().unwrap().success());
    let mut files: Vec<_> =
        fs::read_dir(corpus.path().join(name)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "the corpus of {name} has too few files");
    let inputs: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut random =
        std::env::var("MISSION_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for (index, input) in inputs.iter().enumerate() {
        let other = &inputs[(index + 1) % inputs.len()];
        let changes = (0..CHANGES).map(|_| changed(input, other, &mut random)).collect::<Vec<_>>();
        for input in [input].into_iter().chain(&changes) {
            let shown = String::from_utf8_lossy(input);
            assert!(catch_unwind(|| run(input)).is_ok(), "{name} fails with {shown:?}");
        }
    }
}

#[test]
fn documents() {
    run_on_corpus("documents", targets::documents::run);
}

#[test]
fn frames() {
    run_on_corpus("frames", targets::frames::run);
}

#[test]
fn configs() {
    run_on_corpus("configs", targets::configs::run);
}

#[test]
fn templates() {
    run_on_corpus("templates", targets::templates::run);
}

#[test]
fn searches() {
    run_on_corpus("searches", targets::searches::run);
}

#[test]
fn sealed() {
    run_on_corpus("sealed", targets::sealed::run);
}

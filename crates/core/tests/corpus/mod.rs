//! The corpus of documents that this parser and the client in `clients/python` both run: what one
//! accepts or refuses, the other accepts, or refuses at the same path.
//!
//! A case is a text, or one of the `documents` with members set and removed. A `fill` replaces a
//! mark in its text by many copies of another. The case is `accepted` as a kind, or `refused` with
//! paths and the start of the problem at each.

use std::collections::BTreeMap;

use mission_core::Job;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Corpus {
    secret: String,
    documents: BTreeMap<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    of: String,
    #[serde(default)]
    set: serde_json::Map<String, Value>,
    #[serde(default)]
    remove: Vec<String>,
    text: Option<String>,
    #[serde(default)]
    fill: BTreeMap<String, (String, usize)>,
    accepted: Option<String>,
    #[serde(default)]
    nothing: bool,
    #[serde(default)]
    refused: Vec<(String, String)>,
}

impl Case {
    fn document(&self, documents: &BTreeMap<String, Value>) -> String {
        let mut text = self.text.clone().unwrap_or_else(|| {
            let mut document = documents[&self.of].clone();
            for (path, value) in &self.set {
                let (parent, name) = path.rsplit_once('/').unwrap();
                document.pointer_mut(parent).unwrap()[name] = value.clone();
            }
            for path in &self.remove {
                let (parent, name) = path.rsplit_once('/').unwrap();
                let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                parent.shift_remove(name).expect("something to remove");
            }
            document.to_string()
        });
        for (mark, (filling, times)) in &self.fill {
            text = text.replacen(mark, &filling.repeat(*times), 1);
        }
        text
    }
}

#[test]
fn documents_are_judged_as_in_the_corpus() {
    let corpus: Corpus = serde_json::from_str(include_str!("documents.json")).unwrap();
    let mut faults = Vec::new();
    for case in &corpus.cases {
        let fault = match (Job::parse(case.document(&corpus.documents).as_bytes()), &case.accepted)
        {
            (Ok(job), Some(kind)) => (job.kind().as_str() != kind
                || matches!(job, Job::Nothing(_)) != case.nothing)
                .then(|| format!("accepted as {job:?}")),
            (Ok(_), None) => Some("accepted".to_owned()),
            (Err(error), _) => {
                let pairs = error.problems.iter().zip(&case.refused);
                let same = error.problems.len() == case.refused.len()
                    && pairs.clone().all(|(is, (path, problem))| {
                        is.path == *path && is.problem.starts_with(problem)
                    });
                (!same || error.to_string().contains(&corpus.secret)).then(|| error.to_string())
            }
        };
        faults.extend(fault.map(|fault| format!("{}: {fault}", case.name)));
    }
    assert_eq!(faults, Vec::<String>::new());
    assert!(corpus.cases.len() > 100, "the corpus has been cut");
}

#[test]
fn a_name_that_looks_like_a_parser_message_stays_out_of_the_remedy() {
    let name = "x`, expected \u{1b}[2K";
    let mut document: Value = serde_json::from_str::<Corpus>(include_str!("documents.json"))
        .unwrap()
        .documents["cleanup"]
        .clone();
    document["gateway"][name] = Value::Null;
    let problem = Job::parse(document.to_string().as_bytes()).unwrap_err().problems.remove(0);
    assert!(problem.remedy.starts_with("remove it, or use one of `id`, "), "{problem}");
    assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
}

//! The cost of each case, for people, and the table of versions for README.md.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::marked::Marked;
use super::owner::Loss;

/// The place of the table of versions.
const README: Marked = Marked { document: "README.md", name: "interop" };
/// The folder that keeps the findings, in the target directory.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/interop");

/// The result of one job.
#[derive(Clone)]
pub struct Row {
    version: &'static str,
    case: &'static str,
    time: &'static str,
    /// `true` if the gateway was changed.
    pub changed: bool,
    pub written: Vec<String>,
    /// The entries that were left out, sorted.
    pub left_out: Vec<String>,
    /// The number of config writes that were sent.
    pub config_writes: u64,
    /// The time from the start of the first run to the end of the last.
    took_ms: u64,
    runs: usize,
    rpcs: u64,
    /// Describes how the runs before the last one ended.
    before: Vec<String>,
    protocol: u64,
    roster: String,
}

impl Row {
    /// Returns whether a run before the last one ended abnormally.
    pub fn was_disturbed(&self) -> bool {
        !self.before.is_empty()
    }

    /// Reads the record of a job that is done.
    pub fn of(
        record: &Value,
        version: &'static str,
        case: &'static str,
        time: &'static str,
    ) -> Self {
        let report = &record["report"];
        let number = |value: &Value| value.as_u64().unwrap();
        let runs = record["history"].as_array().unwrap();
        let began = number(&runs[0]["started_at_ms"]);
        let mut left_out: Vec<_> = texts(&report["skipped"], |skipped| &skipped["what"]);
        left_out.sort();
        Self {
            version,
            case,
            time,
            changed: report["changed"].as_bool().unwrap(),
            written: texts(&report["written"], |written| written),
            left_out,
            config_writes: number(&report["config_writes"]),
            took_ms: number(&record["finished_at_ms"]) - began,
            runs: runs.len(),
            rpcs: number(&report["rpc_count"]),
            before: runs[..runs.len() - 1].iter().map(|run| ended(run, began)).collect(),
            protocol: number(&report["gateway"]["protocol"]),
            roster: report["gateway"]["roster"].as_str().unwrap_or_default().to_owned(),
        }
    }

    pub fn seconds(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "no job takes that long")]
        let seconds = self.took_ms as f64 / 1000.0;
        format!("{seconds:.1} s")
    }
}

fn ended(run: &Value, began: u64) -> String {
    let at = |time: &str| run[time].as_u64().unwrap() - began;
    let result = &run["result"];
    let last = result["steps"]
        .as_array()
        .and_then(|steps| steps.last())
        .map(Value::to_string)
        .unwrap_or_default();
    let (outcome, words) = (&result["outcome"], &result["message"]);
    format!(
        "{} to {} ms {outcome}: {words}, last step {last}",
        at("started_at_ms"),
        at("ended_at_ms")
    )
}

fn texts(list: &Value, text: impl Fn(&Value) -> &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| text(item).as_str().unwrap().to_owned()).collect()
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, case, time, took_ms, runs, rpcs, config_writes, .. } = self;
        let written = self.written.len();
        write!(
            f,
            "{version:9}  {case:32}  {time:5}  {took_ms:6} ms  {runs} runs  {rpcs:3} rpcs  \
                {config_writes} config writes"
        )?;
        write!(f, "  {written:2} written  {} left out", self.left_out.len())?;
        self.before.iter().try_for_each(|run| write!(f, "\n    run before: {run}"))
    }
}

/// The result of a case on a version.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Ended {
    /// It succeeded, with these figures.
    Ok(String),
    /// The job was `blocked` with this message, and done after a person had followed it.
    Blocked(String),
    /// It cannot be tested, for this reason.
    NotApplicable(String),
}

/// The findings for a version.
#[derive(Default, Serialize, Deserialize)]
pub struct Findings {
    name: String,
    protocol: u64,
    roster: String,
    /// The entries that a provisioning leaves out.
    left_out: Vec<String>,
    /// The error of jobs on a version that is too old.
    refusal: Option<String>,
    /// The changes that any config write makes to a person's file.
    losses: BTreeSet<Loss>,
    cases: Vec<(String, Ended)>,
}

impl Findings {
    /// Returns empty findings for a version.
    pub fn of(version: &str) -> Self {
        Self { name: version.to_owned(), ..Self::default() }
    }

    /// Adds a job. The one that leaves out most is kept, because a provisioning says most about the
    /// gateway.
    pub fn add(&mut self, row: &Row) {
        if row.left_out.len() > self.left_out.len() {
            (self.protocol, self.roster) = (row.protocol, row.roster.clone());
            self.left_out.clone_from(&row.left_out);
            // This is about the gateway's own agents; nothing of the job is left out.
            self.left_out.retain(|what| !what.starts_with("heartbeats of "));
        }
    }

    /// Records that a case succeeded.
    pub fn ok(&mut self, case: &str, figures: String) {
        self.cases.push((case.to_owned(), Ended::Ok(figures)));
    }

    /// Records that a case requires a person, with the job whose error says for what.
    pub fn blocked(&mut self, case: &str, record: &Value) {
        self.cases.push((case.to_owned(), Ended::Blocked(words(record))));
    }

    /// Records the changes that any config write makes to a person's file.
    pub fn lose(&mut self, losses: BTreeSet<Loss>) {
        self.losses = losses;
    }

    /// Records that a case cannot be tested.
    pub fn not_applicable(&mut self, case: &str, reason: &str) {
        self.cases.push((case.to_owned(), Ended::NotApplicable(reason.to_owned())));
    }

    /// Records that the version is too old, with the job whose error says so.
    pub fn refused(&mut self, record: &Value) {
        self.refusal = Some(words(record));
    }

    /// Prints the findings, and keeps them for the table of all versions.
    pub fn keep(&self) {
        println!("{self}");
        fs::create_dir_all(KEPT).unwrap();
        fs::write(file(&self.name), serde_json::to_string_pretty(self).unwrap()).unwrap();
    }

    /// Formats how many of the applicable cases succeeded.
    fn count(&self) -> String {
        let tried =
            self.cases.iter().filter(|(_, ended)| !matches!(ended, Ended::NotApplicable(_)));
        let ok = self.cases.iter().filter(|(_, ended)| matches!(ended, Ended::Ok(_)));
        format!("{} of {}", ok.count(), tried.count())
    }

    /// Lists in sentences how this version differs from the others.
    fn differences(&self, common: &Common<'_>) -> Vec<String> {
        let mut all: Vec<_> =
            self.refusal.iter().map(|words| format!("The job is `blocked`: “{words}”.")).collect();
        for (case, ended) in &self.cases {
            match ended {
                Ended::Ok(_) => {}
                Ended::Blocked(words) => {
                    all.push(format!("“{case}”: the job is `blocked` first: “{words}”."));
                }
                Ended::NotApplicable(reason) => {
                    all.push(format!("“{case}” cannot happen, because it {reason}."));
                }
            }
        }
        let left_out: Vec<_> =
            self.left_out.iter().filter(|what| !common.left_out.contains(what)).collect();
        if !left_out.is_empty() {
            all.push(format!("Left out besides: {}.", names(left_out.into_iter())));
        }
        let losses: Vec<_> =
            self.losses.iter().filter(|loss| !common.losses.contains(loss)).collect();
        if !losses.is_empty() {
            all.push(format!("Any config write {}.", sentence(losses.into_iter())));
        }
        all
    }
}

/// Returns the message and the remedy of a job that requires a person.
fn words(record: &Value) -> String {
    ["message", "action"]
        .map(|part| record["failure"][part].as_str().unwrap_or_default())
        .join("; ")
}

fn file(version: &str) -> PathBuf {
    Path::new(KEPT).join(format!("{version}.json"))
}

/// The findings of all versions, each from its last successful run.
pub struct Table(Vec<Findings>);

impl Table {
    /// Reads the findings of those versions; none if one of them has no complete run.
    pub fn kept<'a>(versions: impl Iterator<Item = &'a str>) -> Option<Self> {
        let kept = |version| serde_json::from_str(&fs::read_to_string(file(version)).ok()?).ok();
        versions.map(kept).collect::<Option<_>>().map(Self)
    }

    /// Writes the table into README.md if the environment asks for it; otherwise fails if another
    /// one is there.
    pub fn compare_with_readme(&self) {
        let text = self.for_readme();
        if !README.write(&text) {
            README.compare(&text);
        }
    }

    /// Returns the cases in the order in which they run.
    fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for (case, _) in self.0.iter().flat_map(|findings| &findings.cases) {
            if !cases.contains(&&case[..]) {
                cases.push(case);
            }
        }
        cases
    }

    /// Returns the findings that all versions which can be provisioned share.
    fn common(&self) -> Common<'_> {
        let usable = || self.0.iter().filter(|findings| findings.refusal.is_none());
        let Some(first) = usable().next() else { return Common::default() };
        let left_out =
            first.left_out.iter().filter(|what| usable().all(|one| one.left_out.contains(what)));
        let losses =
            first.losses.iter().filter(|loss| usable().all(|one| one.losses.contains(loss)));
        Common { left_out: left_out.collect(), losses: losses.collect() }
    }

    fn for_readme(&self) -> String {
        let common = self.common();
        let mut text = String::from(
            "| version | protocol | keeps agents in | cases | what is different, and why |\n",
        );
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for findings in &self.0 {
            let Findings { name, protocol, roster, .. } = findings;
            let facts = if findings.refusal.is_some() {
                "– | – | –".to_owned()
            } else {
                format!("{protocol} | `{roster}` | {}", findings.count())
            };
            writeln!(text, "| {name} | {facts} | {} |", findings.differences(&common).join(" "))
                .unwrap();
        }
        writeln!(text, "\n- The cases: {}.", self.cases().join(" · ")).unwrap();
        writeln!(text, "- Left out on all: {}.", names(common.left_out.into_iter())).unwrap();
        if !common.losses.is_empty() {
            writeln!(text, "- On all, any config write {}.", sentence(common.losses.into_iter()))
                .unwrap();
        }
        text
    }
}

/// The findings that all versions which can be provisioned share.
#[derive(Default)]
struct Common<'a> {
    left_out: Vec<&'a String>,
    losses: Vec<&'a Loss>,
}

/// Formats changes as the end of a sentence.
fn sentence<'a>(losses: impl Iterator<Item = &'a Loss>) -> String {
    losses.map(|loss| loss.description()).collect::<Vec<_>>().join(", and ")
}

fn names<'a>(what: impl Iterator<Item = &'a String>) -> String {
    let names =
        what.map(|what| format!("`{}`", what.split_once(' ').map_or(&what[..], |(_, name)| name)));
    names.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.name)?;
        self.refusal.iter().try_for_each(|words| writeln!(f, "    refused: {words}"))?;
        self.cases.iter().try_for_each(|(case, ended)| match ended {
            Ended::Ok(figures) => writeln!(f, "    {case:32}  ok   {figures}"),
            Ended::Blocked(words) => writeln!(f, "    {case:32}  blocked first: {words}"),
            Ended::NotApplicable(reason) => writeln!(f, "    {case:32}  n/a  {reason}"),
        })
    }
}

//! What each case cost, for people; and which version can do what, for README.md.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::marked::Marked;

/// Where the table of versions stands.
const README: Marked = Marked { document: "README.md", name: "interop" };
/// Where findings are kept, beside what is built.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/interop");

/// One job.
#[derive(Clone)]
pub struct Row {
    version: &'static str,
    case: &'static str,
    time: &'static str,
    /// Whether the gateway was changed.
    pub changed: bool,
    /// What was written.
    pub written: Vec<String>,
    /// What was left out, sorted.
    pub left_out: Vec<String>,
    /// Config writes sent.
    pub config_writes: u64,
    /// From the first run's begin to the last one's end.
    took_ms: u64,
    runs: usize,
    rpcs: u64,
    /// How the runs before the last one ended.
    before: Vec<String>,
    protocol: u64,
    roster: String,
}

impl Row {
    /// Whether a run before the last one ended otherwise than it should.
    pub fn was_disturbed(&self) -> bool {
        !self.before.is_empty()
    }

    /// Reads the record of a job that is done.
    pub fn of(record: &Value, version: &'static str, case: &'static str, time: &'static str) -> Self {
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

    /// How long it took, for people.
    pub fn seconds(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "no job takes that long")]
        let seconds = self.took_ms as f64 / 1000.0;
        format!("{seconds:.1} s")
    }
}

fn ended(run: &Value, began: u64) -> String {
    let at = |time: &str| run[time].as_u64().unwrap() - began;
    let result = &run["result"];
    let last = result["steps"].as_array().and_then(|steps| steps.last()).map(Value::to_string).unwrap_or_default();
    let (outcome, words) = (&result["outcome"], &result["message"]);
    format!("{} to {} ms {outcome}: {words}, last step {last}", at("started_at_ms"), at("ended_at_ms"))
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
            "{version:9}  {case:32}  {time:5}  {took_ms:6} ms  {runs} runs  {rpcs:3} rpcs  {config_writes} config writes"
        )?;
        write!(f, "  {written:2} written  {} left out", self.left_out.len())?;
        self.before.iter().try_for_each(|run| write!(f, "\n    run before: {run}"))
    }
}

/// How a case went on a version.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Ended {
    /// Well; with figures.
    Ok(String),
    /// It cannot be tried, for this reason.
    NotApplicable(String),
}

/// What was found of a version.
#[derive(Default, Serialize, Deserialize)]
pub struct Findings {
    name: String,
    protocol: u64,
    roster: String,
    /// What a provisioning leaves out.
    left_out: Vec<String>,
    /// What jobs are told on a version that is too old.
    refusal: Option<String>,
    cases: Vec<(String, Ended)>,
}

impl Findings {
    /// Nothing yet.
    pub fn of(version: &str) -> Self {
        Self { name: version.to_owned(), ..Self::default() }
    }

    /// Adds a job. The one that leaves most out says most of the gateway: a provisioning.
    pub fn add(&mut self, row: &Row) {
        if row.left_out.len() > self.left_out.len() {
            (self.protocol, self.roster) = (row.protocol, row.roster.clone());
            self.left_out.clone_from(&row.left_out);
        }
    }

    /// Notes that a case went well.
    pub fn ok(&mut self, case: &str, figures: String) {
        self.cases.push((case.to_owned(), Ended::Ok(figures)));
    }

    /// Notes that a case cannot be tried.
    pub fn not_applicable(&mut self, case: &str, reason: &str) {
        self.cases.push((case.to_owned(), Ended::NotApplicable(reason.to_owned())));
    }

    /// Notes that the version is too old, and the record of the job that was told so.
    pub fn refused(&mut self, record: &Value) {
        let words = ["message", "action"].map(|part| record["failure"][part].as_str().unwrap_or_default());
        self.refusal = Some(words.join("; "));
    }

    /// Keeps them for the table of all versions.
    pub fn keep(&self) {
        fs::create_dir_all(KEPT).unwrap();
        fs::write(file(&self.name), serde_json::to_string_pretty(self).unwrap()).unwrap();
    }

    fn case(&self, case: &str) -> Option<&Ended> {
        self.cases.iter().find(|(name, _)| name == case).map(|(_, ended)| ended)
    }
}

fn file(version: &str) -> PathBuf {
    Path::new(KEPT).join(format!("{version}.json"))
}

/// The findings of all versions, each of the last run that went well on it.
pub struct Table(Vec<Findings>);

impl Table {
    /// Reads what was kept of those versions; none if one was never played to its end.
    pub fn kept<'a>(versions: impl Iterator<Item = &'a str>) -> Option<Self> {
        let kept = |version| serde_json::from_str(&fs::read_to_string(file(version)).ok()?).ok();
        versions.map(kept).collect::<Option<_>>().map(Self)
    }

    /// Writes the table into README.md if asked to; else fails if another one is there.
    pub fn compare_with_readme(&self) {
        let text = self.for_readme();
        if !README.write(&text) {
            README.compare(&text);
        }
    }

    /// The cases, in the order in which they are played.
    fn cases(&self) -> Vec<&str> {
        let mut cases: Vec<&str> = Vec::new();
        for (case, _) in self.0.iter().flat_map(|findings| &findings.cases) {
            if !cases.contains(&&case[..]) {
                cases.push(case);
            }
        }
        cases
    }

    /// Those that can be provisioned.
    fn usable(&self) -> impl Iterator<Item = &Findings> + Clone {
        self.0.iter().filter(|findings| findings.refusal.is_none())
    }

    /// What no version keeps.
    fn never_kept(&self) -> Vec<&String> {
        let first = self.usable().next().map_or(&[][..], |first| &first.left_out);
        first.iter().filter(|what| self.usable().all(|findings| findings.left_out.contains(what))).collect()
    }

    fn for_readme(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, of: &dyn Fn(&Findings) -> String| {
            let cells: Vec<_> = self.0.iter().map(of).collect();
            writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
        };
        let fact = |findings: &Findings, fact: String| {
            if findings.refusal.is_some() { "–".to_owned() } else { fact }
        };
        line("", &|findings| findings.name.clone());
        line("---", &|_| "---".to_owned());
        line("protocol", &|findings| fact(findings, findings.protocol.to_string()));
        line("keeps agents in", &|findings| fact(findings, format!("`{}`", findings.roster)));
        for case in self.cases() {
            line(case, &|findings| match findings.case(case) {
                Some(Ended::Ok(_)) => "ok".to_owned(),
                Some(Ended::NotApplicable(_)) => "n/a".to_owned(),
                None => "–".to_owned(),
            });
        }
        text + &self.notes()
    }

    /// What the cells cannot say.
    fn notes(&self) -> String {
        let never = self.never_kept();
        let mut text = format!("\n- left out on all: {}\n", names(never.iter().copied()));
        for findings in &self.0 {
            let version = &findings.name;
            if let Some(words) = &findings.refusal {
                writeln!(text, "- {version}: the job is `blocked`: “{words}”").unwrap();
                continue;
            }
            let besides: Vec<_> = findings.left_out.iter().filter(|what| !never.contains(what)).collect();
            if !besides.is_empty() {
                writeln!(text, "- {version}: left out besides: {}", names(besides.into_iter())).unwrap();
            }
            for (case, ended) in &findings.cases {
                if let Ended::NotApplicable(reason) = ended {
                    writeln!(text, "- {version}: “{case}” cannot happen, because it {reason}").unwrap();
                }
            }
        }
        text
    }
}

fn names<'a>(what: impl Iterator<Item = &'a String>) -> String {
    let names = what.map(|what| format!("`{}`", what.split_once(' ').map_or(&what[..], |(_, name)| name)));
    names.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.name)?;
        self.refusal.iter().try_for_each(|words| writeln!(f, "    refused: {words}"))?;
        self.cases.iter().try_for_each(|(case, ended)| match ended {
            Ended::Ok(figures) => writeln!(f, "    {case:32}  ok   {figures}"),
            Ended::NotApplicable(reason) => writeln!(f, "    {case:32}  n/a  {reason}"),
        })
    }
}

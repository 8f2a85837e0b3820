//! What each case cost, for people; and which version can do what, for README.md.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;

use serde_json::Value;

/// The file with the table of versions, and where it stands there.
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const BEGIN: &str = "<!-- interop:begin -->\n";
const END: &str = "<!-- interop:end -->\n";
/// Writes the table into the file instead of comparing the two.
const WRITE: &str = "MISSION_WRITE_README";

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
enum Cell {
    /// Well; with figures.
    Ok(String),
    /// It cannot be tried, for this reason.
    NotApplicable(&'static str),
}

/// All cases of all versions, in the order in which they were played.
#[derive(Default)]
pub struct Table {
    versions: Vec<&'static str>,
    cases: Vec<&'static str>,
    cells: BTreeMap<(&'static str, &'static str), Cell>,
    /// The row of each version that says most about it: a provisioning.
    provisioned: BTreeMap<&'static str, Row>,
    /// What a version that is too old is told.
    refusals: BTreeMap<&'static str, String>,
}

impl Table {
    /// Adds a job.
    pub fn add(&mut self, row: Row) {
        self.version(row.version);
        let most = self.provisioned.get(row.version).map_or(0, |row| row.left_out.len());
        if row.left_out.len() > most {
            self.provisioned.insert(row.version, row);
        }
    }

    /// Notes that a case went well.
    pub fn ok(&mut self, version: &'static str, case: &'static str, figures: String) {
        self.cell(version, case, Cell::Ok(figures));
    }

    /// Notes that a case cannot be tried.
    pub fn not_applicable(&mut self, version: &'static str, case: &'static str, reason: &'static str) {
        self.cell(version, case, Cell::NotApplicable(reason));
    }

    /// Notes that a version is too old, and the record of the job that was told so.
    pub fn refused(&mut self, version: &'static str, record: &Value) {
        self.version(version);
        let words = ["message", "action"].map(|part| record["failure"][part].as_str().unwrap_or_default());
        self.refusals.insert(version, words.join("; "));
    }

    /// Fails if the table of README.md is another one; or writes it there, if asked.
    pub fn compare_with_readme(&self) {
        let readme = fs::read_to_string(README).unwrap();
        let (before, rest) = readme.split_once(BEGIN).expect("README.md has a place for the table");
        let (_, after) = rest.split_once(END).expect("README.md has a place for the table");
        let new = format!("{before}{BEGIN}{}{END}{after}", self.for_readme());
        if std::env::var_os(WRITE).is_some() {
            fs::write(README, new).unwrap();
        } else {
            assert!(new == readme, "README.md has another table of versions; {WRITE}=1 writes this one there");
        }
    }

    fn version(&mut self, version: &'static str) {
        if !self.versions.contains(&version) {
            self.versions.push(version);
        }
    }

    fn cell(&mut self, version: &'static str, case: &'static str, cell: Cell) {
        self.version(version);
        if !self.cases.contains(&case) {
            self.cases.push(case);
        }
        self.cells.insert((version, case), cell);
    }

    /// What no version keeps.
    fn never_kept(&self) -> Vec<&String> {
        let mut rows = self.provisioned.values();
        let first = rows.next().map_or(&[][..], |row| &row.left_out);
        first.iter().filter(|what| rows.clone().all(|row| row.left_out.contains(what))).collect()
    }

    fn for_readme(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, of: &dyn Fn(&'static str) -> String| {
            let cells: Vec<_> = self.versions.iter().map(|version| of(version)).collect();
            writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
        };
        let fact = |version, of: &dyn Fn(&Row) -> String| self.provisioned.get(version).map_or("–".to_owned(), of);
        line("", &|version| version.to_owned());
        line("---", &|_| "---".to_owned());
        line("protocol", &|version| fact(version, &|row| row.protocol.to_string()));
        line("keeps agents in", &|version| fact(version, &|row| format!("`agents.{}`", row.roster)));
        for case in &self.cases {
            line(case, &|version| match self.cells.get(&(version, *case)) {
                Some(Cell::Ok(_)) => "ok".to_owned(),
                Some(Cell::NotApplicable(_)) => "n/a".to_owned(),
                None => "–".to_owned(),
            });
        }
        text.push('\n');
        let never = self.never_kept();
        writeln!(
            text,
            "No version keeps {}. Left out besides, and said in the report:\n",
            names(never.iter().copied())
        )
        .unwrap();
        for version in &self.versions {
            if let Some(row) = self.provisioned.get(version) {
                let besides: Vec<_> = row.left_out.iter().filter(|what| !never.contains(what)).collect();
                if !besides.is_empty() {
                    writeln!(text, "- {version}: {}", names(besides.into_iter())).unwrap();
                }
            }
        }
        for ((version, case), cell) in &self.cells {
            if let Cell::NotApplicable(reason) = cell {
                writeln!(text, "- {version}, {case}: n/a, because it {reason}").unwrap();
            }
        }
        for (version, words) in &self.refusals {
            writeln!(text, "- {version} is refused: “{words}”").unwrap();
        }
        text
    }
}

fn names<'a>(what: impl Iterator<Item = &'a String>) -> String {
    let names = what.map(|what| format!("`{}`", what.split_once(' ').map_or(&what[..], |(_, name)| name)));
    names.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:34}{}", "", self.versions.join("  "))?;
        for case in &self.cases {
            writeln!(f, "{case}")?;
            for version in &self.versions {
                match self.cells.get(&(*version, *case)) {
                    Some(Cell::Ok(figures)) => writeln!(f, "    {version:9}  ok   {figures}")?,
                    Some(Cell::NotApplicable(reason)) => writeln!(f, "    {version:9}  n/a  {reason}")?,
                    None => writeln!(f, "    {version:9}  -")?,
                }
            }
        }
        writeln!(f, "\n{}", self.for_readme())
    }
}

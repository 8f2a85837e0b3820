//! Describes jobs and failures for a terminal.

use std::fmt::Write as _;

use mission_jobs::JobRecord;
use mission_jobs::queue::views::attempt::Attempt;
use mission_jobs::queue::{Group, Summary};

use mission_core::humanize::{count, span, utc_time};
use mission_jobs::queue::views::explain::{Reader, Story, brief};

/// Describes a job in one line.
pub fn line(job: &JobRecord) -> String {
    let (JobRecord { id, kind, attempts, max_attempts, .. }, state) = (job, job.state.as_str());
    let (who, why) = (job.names.agent.as_deref().unwrap_or_default(), brief(job));
    let between = if who.is_empty() || why.is_empty() { "" } else { ": " };
    format!("{id} {state:10} {kind:14} {attempts:>2}/{max_attempts} {who}{between}{why}")
}

/// Describes a job: first the reason for its state and the remedy, then all fields and runs.
pub fn story(job: &JobRecord, summary: &Summary) -> String {
    let story = Story::within(summary, job, Reader::Terminal);
    let mut text = format!("{} {} {}\n  {}", job.id, job.kind, job.state, story.sentence);
    text = format!("{text}{}\n", remedy(story.remedy.as_deref()));
    for (what, value) in facts(job) {
        let _ = write!(text, "\n  {what:14} {value}");
    }
    for run in &job.history {
        text.push_str(&self::run(run));
    }
    text
}

/// Returns a line with the remedy, if there is one, to follow a text.
pub fn remedy(remedy: Option<&str>) -> String {
    remedy.map_or_else(String::new, |remedy| format!("\n  → {remedy}"))
}

/// Returns the known fields of a job with their names, in order.
fn facts(job: &JobRecord) -> Vec<(&'static str, String)> {
    let names = &job.names;
    let called = |name: &Option<String>, id: &str| {
        name.as_ref().map_or_else(|| id.to_owned(), |name| format!("{name} ({id})"))
    };
    let agent = job.subject.rsplit('/').next().unwrap_or_default();
    let time = |at: Option<u64>| at.map(utc_time);
    let failure =
        job.failure.as_ref().map(|failure| format!("{}: {}", failure.code, failure.message));
    let runs = count(job.runs.into(), "run");
    let attempts = format!("{} of {}, {runs}", job.attempts, job.max_attempts);
    let facts = [
        ("gateway", Some(called(&names.gateway, &job.lane))),
        ("agent", Some(called(&names.agent, agent))),
        ("board", names.board.clone()),
        ("attempts", Some(attempts)),
        ("last failure", failure),
        ("reason", job.reason.clone()),
        ("cancelling", job.cancel.clone()),
        ("replaced by", job.superseded_by.map(|id| id.to_string())),
        ("enqueued", time(Some(job.enqueued_at_ms))),
        ("started", time(job.started_at_ms)),
        ("ended", time(job.finished_at_ms)),
        ("next run", time(job.next_at_ms)),
        ("expires", time(job.expires_at_ms.filter(|_| !job.state.is_terminal()))),
    ];
    facts.into_iter().filter_map(|(what, value)| Some((what, value?))).collect()
}

/// Describes a run and its failed requests.
fn run(run: &Attempt) -> String {
    let took = span(run.ended_at_ms.saturating_sub(run.started_at_ms));
    let message = run.result.message().unwrap_or_default();
    let mut text = format!(
        "\n  run {:<3} {} {took:>8} {:10} {} {message}",
        run.number,
        utc_time(run.started_at_ms),
        run.result.outcome,
        run.worker
    );
    for step in &run.result.steps {
        if let Some(note) = &step.note {
            let took = span(step.duration_ms);
            let _ = write!(text, "\n          {} {took}: {note}", step.name);
        }
    }
    text
}

/// Describes jobs with the same failure, and the command that lists them.
pub fn group(group: &Group, now_ms: u64) -> String {
    let at = group.method.as_ref().map_or_else(String::new, |method| format!(" at {method}"));
    let ago = |at: u64| span(now_ms.saturating_sub(at));
    let text = format!(
        "{} {}{at}, gateway {}, first {} ago, last {} ago\n  {}",
        count(group.count, "job"),
        group.code,
        group.gateway,
        ago(group.first_at_ms),
        ago(group.last_at_ms),
        group.message
    );
    let remedy = remedy(group.remedy().text());
    format!("{text}{remedy}\n  worker jobs list {}", group.search())
}

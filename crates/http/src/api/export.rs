//! Exports: all matches of a search, or the audit, as a file.

use std::fmt::Write as _;

use axum::Json;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mission_jobs::JobRecord;
use mission_jobs::queue::{AuditEntry, Search};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::App;
use crate::problem::Answer;

/// The most rows of a file.
pub(crate) const MAX_ROWS: usize = 10_000;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// A list of JSON objects.
    Json,
}

/// Returns the file of the jobs that a search finds.
pub(crate) async fn jobs(app: &App, search: &Search, format: Format) -> Answer<Response> {
    let all = app.scans.find(&app.queue, search, MAX_ROWS).await?;
    Ok(match format {
        Format::Json => (named("jobs.json"), Json(all)).into_response(),
        Format::Csv => (named("jobs.csv"), CSV, jobs_csv(&all.jobs)).into_response(),
    })
}

/// Returns the file of audit entries.
pub(crate) fn audit(entries: Vec<AuditEntry>, format: Format) -> Response {
    match format {
        Format::Json => (named("audit.json"), Json(entries)).into_response(),
        Format::Csv => (named("audit.csv"), CSV, audit_csv(&entries)).into_response(),
    }
}

/// The header of a CSV file.
const CSV: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/csv; charset=utf-8")];

fn named(file: &str) -> [(HeaderName, String); 1] {
    [(CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\""))]
}

fn jobs_csv(jobs: &[JobRecord]) -> String {
    let head = "id,state,kind,gateway,gateway_name,agent_name,attempts,enqueued_at,ended_at,\
        next_at,code,message\n";
    jobs.iter().fold(head.to_owned(), |text, job| {
        let failure = job.failure.as_ref();
        let cells = [
            job.id.to_string(),
            job.state.to_string(),
            job.kind.clone(),
            job.lane.clone(),
            job.names.gateway.clone().unwrap_or_default(),
            job.names.agent.clone().unwrap_or_default(),
            job.attempts.to_string(),
            time(Some(job.enqueued_at_ms)),
            time(job.finished_at_ms),
            time(job.next_at_ms),
            failure.map_or_else(String::new, |failure| failure.code.clone()),
            failure.map_or_else(String::new, |failure| failure.message.clone()),
        ];
        text + &row(&cells)
    })
}

fn audit_csv(entries: &[AuditEntry]) -> String {
    let head = "at,by,from,action,target,before,after,why\n";
    entries.iter().fold(head.to_owned(), |text, AuditEntry { record, .. }| {
        let cells = [
            time(Some(record.at_ms)),
            record.by.clone(),
            record.from.clone(),
            record.action.clone(),
            record.target.clone(),
            record.before.clone().unwrap_or_default(),
            record.after.clone().unwrap_or_default(),
            record.why.clone(),
        ];
        text + &row(&cells)
    })
}

fn row(cells: &[String]) -> String {
    let mut row = String::new();
    for (at, cell) in cells.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        // A spreadsheet would run such a cell as a formula, and anybody may have written it.
        let quote = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        let _ = write!(row, "{comma}\"{quote}{}\"", cell.replace('"', "\"\""));
    }
    row + "\n"
}

fn time(at_ms: Option<u64>) -> String {
    let at = at_ms.and_then(|ms| Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok());
    at.map_or_else(String::new, |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_never_a_formula() {
        let cells = ["=HYPERLINK(1)", "a \"b\", c", "two\nlines"].map(str::to_owned);
        assert_eq!(row(&cells), "\"'=HYPERLINK(1)\",\"a \"\"b\"\", c\",\"two\nlines\"\n");
        assert_eq!((time(Some(0)).as_str(), time(None).as_str()), ("1970-01-01T00:00:00.000Z", ""));
    }
}

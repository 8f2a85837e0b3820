//! The exact match of a job with a search.

use serde_json::Value;

use super::Search;
use crate::queue::states::State;
use crate::queue::views::job_view::JobRecord;

impl Search {
    /// Returns whether a job with this document matches. The secrets of a document are never
    /// searched, because a match would reveal their content.
    pub(crate) fn fits(&self, job: &JobRecord, document: &Value) -> bool {
        let agent = || self.agent.is_none_or(|agent| job.subject.ends_with(&format!("/{agent}")));
        (self.states.is_empty() || self.states.contains(&job.state))
            && self.kind.is_none_or(|kind| kind.as_str() == job.kind)
            && self.gateway.is_none_or(|gateway| gateway.to_string() == job.lane)
            && agent()
            && self.id.as_ref().is_none_or(|id| job.id.to_string().starts_with(id))
            && self.error.as_ref().is_none_or(|error| has_failed(job, error))
            && self.board.is_none_or(|board| {
                text(document, "/board/id").is_some_and(|id| id.parse() == Ok(board))
            })
            && self.words.iter().all(|word| says(job, &word.to_lowercase()))
    }
}

/// Returns whether the job has this failure and has not overcome it yet.
fn has_failed(job: &JobRecord, error: &str) -> bool {
    let (code, method) =
        error.split_once('/').map_or((error, None), |(code, method)| (code, Some(method)));
    let is_past = matches!(job.state, State::Done | State::Superseded | State::Cancelled);
    !is_past
        && job.failure.as_ref().is_some_and(|failure| {
            failure.code == code
                && method.is_none_or(|method| failure.method.as_deref() == Some(method))
        })
}

/// Returns whether a word in lower case occurs in the visible fields of a job.
fn says(job: &JobRecord, word: &str) -> bool {
    let failure = job.failure.as_ref();
    let id = job.id.to_string();
    let optional = [
        failure.map(|failure| &failure.code),
        failure.map(|failure| &failure.message),
        failure.map(|failure| &failure.remedy.text),
        job.worker.as_ref(),
        job.reason.as_ref(),
        job.snoozed_by.as_ref(),
        job.idempotency_key.as_ref(),
        job.names.gateway.as_ref(),
        job.names.agent.as_ref(),
        job.names.board.as_ref(),
    ];
    let texts = [&id, &job.kind, &job.lane, &job.subject];
    texts
        .into_iter()
        .chain(optional.into_iter().flatten())
        .any(|text| text.to_lowercase().contains(word))
}

fn text<'a>(document: &'a Value, pointer: &str) -> Option<&'a str> {
    document.pointer(pointer)?.as_str()
}

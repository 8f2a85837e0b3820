//! Removes a job's secrets from everything that is reported about a run. Gateways quote what they
//! were sent, and template errors quote values; neither may carry a token into records, logs and
//! pages.

use secrecy::{ExposeSecret, SecretString};

use crate::gateway::Step;
use crate::model::{Gateway, Job};
use crate::outcome::{Outcome, Report};

/// The replacement for a secret.
pub(super) const MASK: &str = "***";
/// The shortest text that is treated as a secret. A shorter one occurs in too many unrelated words,
/// and protects nothing.
const MIN_CHARS: usize = 6;

/// The secrets of one job, the longest first, because one may begin with another.
pub(super) struct Secrets(Vec<SecretString>);

impl Secrets {
    pub(super) fn of(job: &Job) -> Self {
        let agent = match job {
            Job::Provision(job) => job.auth_token.as_ref(),
            Job::ProvisionMain(job) => job.auth_token.as_ref(),
            Job::Cleanup(_) | Job::HeartbeatSync(_) | Job::Nothing(_) => None,
        };
        let agent = agent.map(|token| token.expose_secret().to_owned());
        Self::all(job.gateway().map(sent_to).into_iter().flatten().chain(agent))
    }

    pub(super) fn of_gateway(gateway: &Gateway) -> Self {
        Self::all(sent_to(gateway))
    }

    fn all(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().collect();
        secrets.retain(|secret| secret.chars().count() >= MIN_CHARS);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets.into_iter().map(SecretString::from).collect())
    }

    fn hide(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret.expose_secret()) {
                *text = text.replace(secret.expose_secret(), MASK);
            }
        }
    }

    fn hide_all<'t>(&self, texts: impl IntoIterator<Item = &'t mut String>) {
        texts.into_iter().for_each(|text| self.hide(text));
    }

    pub(super) fn hide_in_steps(&self, steps: &mut [Step]) {
        self.hide_all(steps.iter_mut().filter_map(|step| step.note.as_mut()));
    }

    pub(super) fn hide_in(&self, outcome: &mut Outcome) {
        if let Outcome::Done(report) = outcome {
            self.hide_in_report(report);
        } else if let Some(failure) = outcome.failure_mut() {
            let remedy = &mut failure.remedy;
            self.hide_all([&mut failure.message, &mut remedy.text]);
            self.hide_all(&mut remedy.command);
        }
    }

    pub(super) fn hide_in_report(&self, report: &mut Report) {
        self.hide(&mut report.summary);
        self.hide_all(report.written.iter_mut().chain(&mut report.removed));
        for skipped in &mut report.skipped {
            self.hide_all([&mut skipped.what, &mut skipped.why]);
        }
        for change in &mut report.changes {
            self.hide_all([&mut change.what, &mut change.diff]);
        }
        if let Some(gateway) = &mut report.gateway {
            self.hide(&mut gateway.version);
            self.hide_all(&mut gateway.write_limit);
            self.hide_all(gateway.scopes.iter_mut().flatten());
        }
    }
}

/// Returns a gateway's token, and the secrets that people put into urls.
fn sent_to(gateway: &Gateway) -> Vec<String> {
    let token = gateway.token.as_ref().map(|token| token.expose_secret().to_owned());
    let parts = [gateway.url.password(), gateway.url.query()].into_iter().flatten();
    let values = gateway.url.query_pairs().map(|(_, value)| value.into_owned());
    token.into_iter().chain(parts.map(str::to_owned)).chain(values).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::outcome::{Failure, Remedy, Skipped};

    fn secrets() -> Secrets {
        let document = br#"{"version": 1, "kind": "provision-main", "auth_token": "agent-token-1",
            "gateway": {"id": "00000000-0000-0000-0000-00000000000a", "url": "ws://me:pass-word@host:1?token=in-the-query",
                        "token": "agent-token", "workspace_root": "/srv"},
            "agent": {"id": "00000000-0000-0000-0000-00000000000b", "name": "Alice"}}"#;
        Secrets::of(&Job::parse(document).unwrap())
    }

    #[test]
    fn a_gateway_that_quotes_what_it_was_sent_tells_nobody() {
        let words = "agent-token and agent-token-1, pass-word, in-the-query";
        let mut outcome = Outcome::Blocked(
            Failure::new("refused", words)
                .with_remedy(Remedy::worker(words).with_command("x agent-token")),
        );
        secrets().hide_in(&mut outcome);
        let failure = outcome.failure().unwrap();
        assert_eq!(failure.message, "*** and ***, ***, ***");
        assert_eq!(failure.remedy.text, "*** and ***, ***, ***");
        assert_eq!(failure.remedy.command.as_ref().unwrap(), "x ***");
        let mut steps = [Step { note: Some(words.to_owned()), ..Step::new("connect", 0) }];
        secrets().hide_in_steps(&mut steps);
        assert_eq!(steps[0].note.as_ref().unwrap(), "*** and ***, ***, ***");
    }

    #[test]
    fn a_report_tells_no_secret_wherever_it_stands() {
        let secret = || "x agent-token x".to_owned();
        let mut report = Report {
            summary: secret(),
            written: vec![secret()],
            removed: vec![secret()],
            skipped: vec![Skipped { what: secret(), why: secret() }],
            ..Report::default()
        };
        secrets().hide_in_report(&mut report);
        let told = serde_json::to_string(&report).unwrap();
        assert!(!told.contains("agent-token"), "{told}");
    }
}

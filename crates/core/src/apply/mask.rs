//! Removes agents' tokens from the reported changes of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::redact::MASK;
use super::{Applier, Desired, agent_files};
use crate::gateway::Call;
use crate::outcome::Change;
use crate::render::{Reader, Renderer};
use crate::taint::Taint;

/// The beginning of a line of a document that contains an agent's token.
const TOKEN_LINE: &str = "AUTH_TOKEN=";
/// Shorter parts of a line occur in too many others by chance.
const MIN_BYTES: usize = 4;
/// The replacement for diff lines that cannot be shown.
const HIDDEN: &str =
    "… the template transforms the agent's token, so these lines cannot be shown safely\n";

/// Removes the agent's token from all changes: the new one, in any form that a template has given
/// it, and any that a token line contains now.
pub(super) fn mask(changes: &mut [Change], applier: &Applier, call: &Call, wanted: &Desired) {
    let refused = agent_files::known_refused(call).unwrap_or_default();
    mask_files(changes, &applier.renderer, wanted.reader(&refused));
    mask_as_it_stands(changes, &wanted.context.auth_token);
}

fn mask_files(changes: &mut [Change], renderer: &Renderer, reader: Reader<'_>) {
    for change in changes {
        let Some(document) = change.document else { continue };
        let text = renderer.render(document, reader).ok().flatten().unwrap_or_default();
        let taint = renderer.taint(document, reader, &text);
        change.diff = shown(&change.diff, &text, &taint, &reader.context.auth_token);
    }
}

/// Returns a diff that does not show the token. `text` is the written text, rendered again.
fn shown(diff: &str, text: &str, taint: &Taint, token: &str) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let (head, body) = diff.split_at(diff.find("@@").unwrap_or(0));
    let body: Vec<&str> = body.split_inclusive('\n').collect();
    let known: BTreeSet<&str> = lines.iter().copied().collect();
    // The template or the refused files have changed meanwhile, so another text was written.
    let is_of_text = |line: &&&str| !line.starts_with('+') || known.contains(content(line));
    let Taint::Lines(shaped) = taint else { return head.to_owned() + HIDDEN };
    if body.iter().filter(|line| line.starts_with('+')).any(|line| !is_of_text(&line)) {
        return head.to_owned() + HIDDEN;
    }
    let shaped: BTreeMap<&str, Range<usize>> =
        shaped.iter().map(|(number, range)| (lines[*number], range.clone())).collect();
    let mut out = head.to_owned();
    for group in body.chunk_by(|a, b| is_change(a) == is_change(b)) {
        let is_changed_token = |line: &&str| {
            shaped.get(content(line)).is_some_and(|range| content(line)[range.clone()] != *token)
        };
        let hides = is_change(group[0]) && group.iter().any(is_changed_token);
        for line in group {
            let rest = content(line);
            let end = &line[1.min(line.len()) + rest.len()..];
            match shaped.get(rest) {
                Some(range) if !line.starts_with('\\') => {
                    let (before, after) = (&rest[..range.start], &rest[range.end..]);
                    out.extend([&line[..1], before, MASK, after, end]);
                }
                _ if line.starts_with('-') => out.extend(["-", &old(rest, &shaped, hides), end]),
                _ => out.push_str(line),
            }
        }
    }
    out
}

/// Returns a line of a diff without its marker and its line end.
fn content(line: &str) -> &str {
    line.get(1..).unwrap_or_default().trim_end_matches('\n')
}

fn is_change(line: &str) -> bool {
    line.starts_with(['+', '-'])
}

/// Returns a removed line. If it was replaced by a line with a transformed token, it may contain an
/// older token, transformed alike.
fn old(line: &str, shaped: &BTreeMap<&str, Range<usize>>, hides: bool) -> String {
    for (with, range) in shaped {
        let (before, after) = (&with[..range.start], &with[range.end..]);
        let has_frame = !before.trim().is_empty() || !after.trim().is_empty();
        let is_framed = line.len() >= before.len() + after.len()
            && line.starts_with(before)
            && line.ends_with(after);
        if has_frame && is_framed {
            return format!("{before}{MASK}{after}");
        }
    }
    if hides {
        return MASK.to_owned();
    }
    let parts = shaped
        .iter()
        .map(|(with, range)| &with[range.clone()])
        .filter(|part| part.len() >= MIN_BYTES);
    parts.fold(line.to_owned(), |line, part| line.replace(part, MASK))
}

/// Removes the agent's token from all changes: the new one, and any that a token line contains now.
fn mask_as_it_stands(changes: &mut [Change], token: &str) {
    let in_line = |rest: &str| rest.split(['\n', '\\', '"']).next().map(|it| it.trim().to_owned());
    let lines = changes.iter().flat_map(|change| change.diff.split(TOKEN_LINE).skip(1));
    let mut secrets: Vec<_> = lines.filter_map(in_line).chain([token.to_owned()]).collect();
    secrets.retain(|secret| !secret.is_empty());
    // The longest comes first, because one may begin with another.
    secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.dedup();
    for change in changes {
        let diff = std::mem::take(&mut change.diff);
        change.diff = secrets.iter().fold(diff, |text, secret| text.replace(secret, MASK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Job;
    use crate::documents::Document;

    #[test]
    fn tokens_of_today_and_of_yesterday_are_masked() {
        let (before, after) = ("x\nAUTH_TOKEN=old-one\n", "x\nAUTH_TOKEN=new\n");
        let mut changes = [
            Change::of_file(Document::Soul, Some("send old-one\n"), "send new\n"),
            Change::of_file(Document::Tools, Some(before), after),
        ];
        mask_as_it_stands(&mut changes, "new");
        let shown = changes.map(|change| change.diff).concat();
        assert!(shown.contains("-AUTH_TOKEN=***\n") && shown.contains("+send ***"), "{shown}");
        assert!(!shown.contains("old-one") && !shown.contains("new\n"), "{shown}");
    }

    /// Returns the lines of the shown diff, without its headers.
    fn seen(before: &str, after: &str, shaped: &[(usize, &str)], token: &str) -> String {
        let range = |(number, part): &(usize, &str)| {
            let at = after
                .split('\n')
                .nth(*number)
                .and_then(|line| line.find(part))
                .expect("it is there");
            (*number, at..at + part.len())
        };
        let taint = Taint::Lines(shaped.iter().map(range).collect());
        let diff = Change::of_file(Document::Soul, Some(before), after).diff;
        shown(&diff, after, &taint, token).lines().skip(3).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_transformed_token_is_masked_in_all_lines() {
        let is = seen("# S\nsay OLD-1 now\n", "# S\nsay NEW-2 now\n", &[(1, "NEW-2")], "new-2");
        assert_eq!(is, " # S|-say *** now|+say *** now");
        let is = seen("# S\nOLD-1\n", "# S\nNEW-2\n", &[(1, "NEW-2")], "new-2");
        assert_eq!(is, " # S|-***|+***", "nothing tells what an old line without a frame shows");
        let is = seen("a\nNEW-2\nc\n", "b\nNEW-2\nd\n", &[(1, "NEW-2")], "new-2");
        assert_eq!(is, "-a|+b| ***|-c|+d");
        let is = seen("tell NEW-2\nx\n", "x\ntoken is NEW-2\n", &[(1, "NEW-2")], "new-2");
        assert_eq!(is, "-tell ***| x|+token is ***");
    }

    #[test]
    fn every_form_of_the_token_from_a_template_is_masked() {
        let document = br#"{"version": 1, "kind": "provision-main", "auth_token": "aB3-xyz9-Qr7",
            "gateway": {"id": "00000000-0000-0000-0000-00000000000a", "url": "ws://host",
                        "workspace_root": "/srv"},
            "agent": {"id": "00000000-0000-0000-0000-00000000000b", "name": "Alice"}}"#;
        let wanted = Desired::of(&Job::parse(document).expect("a valid document"), None)
            .expect("it wants an agent");
        for (template, wanted_diff) in [
            ("t {{ auth_token }} u", "+t *** u"),
            ("t {{ auth_token|upper }} u", "+t *** u"),
            ("t {{ auth_token|lower|replace('-', '') }} u", "+t *** u"),
            ("t {{ auth_token[:4] }}… u", "+t *** u"),
            ("t {{ auth_token[::-1] }} u", "+t *** u"),
            ("t {{ auth_token|list|join(' ') }} u", "+t *** u"),
            ("t {{ auth_token|sort|join }} u", "+t *** u"),
            ("t {{ auth_token.split('-') }} u", "+t ['***'] u"),
            ("t {{ '%s' % auth_token|reverse }} u", "+t *** u"),
            ("t {{ auth_token|tojson|urlencode }} u", "+t *** u"),
            ("{% for c in auth_token %}{{ c }}\n{% endfor %}", "+***|+***|+***|+-|+***"),
            ("{% if 'xyz' in auth_token %}yes{% else %}no{% endif %}", "+***"),
            ("{{ auth_token|int(auth_token|length) }}", "+12"),
            ("{% for c in auth_token if c > 'w' %}{{ c }}\n{% endfor %}", HIDDEN.trim_end()),
            ("{{ {'aB3-xyz9-Qr7': 'mine'}[auth_token] }}", HIDDEN.trim_end()),
        ] {
            let mut wanted = wanted.clone();
            wanted.agent.soul_template = Some(template.to_owned());
            let refused = BTreeSet::new();
            let reader = wanted.reader(&refused);
            let renderer = Renderer::new(crate::render::TemplatesConfig::default());
            let text = renderer
                .render(Document::Soul, reader)
                .expect("it renders")
                .expect("there is a text");
            let mut changes = [Change::of_file(Document::Soul, None, &text)];
            mask_files(&mut changes, &renderer, reader);
            let lines = changes[0]
                .diff
                .lines()
                .filter(|line| line.starts_with(['+', '…']) && !line.starts_with("+++ "));
            let is = lines.collect::<Vec<_>>().join("|");
            assert!(is.starts_with(wanted_diff), "{template}: {is}");
        }
    }

    #[test]
    fn unclear_lines_are_hidden() {
        let diff = Change::of_file(Document::Soul, Some("old\n"), "new\n").diff;
        for (text, taint) in [("new\n", Taint::Whole), ("another\n", Taint::Lines(Vec::new()))] {
            assert_eq!(
                shown(&diff, text, &taint, "t"),
                format!("--- a/SOUL.md\n+++ b/SOUL.md\n{HIDDEN}")
            );
        }
        assert_eq!(shown(&diff, "new\n", &Taint::Lines(Vec::new()), "t"), diff);
    }
}

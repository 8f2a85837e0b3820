//! Tests of the screen in windows of several sizes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use serde_json::{Value, json};

use super::screen::{Palette, draw};
use super::view::{Seen, View};

const NOW: u64 = 1_763_859_600_000;

fn job(number: u128, state: &str, failure: &Value) -> Value {
    json!({
        "id": uuid::Uuid::from_u128(number), "state": state, "kind": "provision",
        "lane": "gateway", "subject": "gateway/agent", "priority": 5,
        "attempts": 1, "max_attempts": 12, "runs": 1, "lost": 0, "enqueued_at_ms": NOW - 60_000,
        "names": { "agent": format!("Agent {number}"), "gateway": "Acme" },
        "timeline": [], "history": [], "failure": failure,
    })
}

fn seen(paused: &Value) -> Seen {
    let unauthorized = json!({ "code": "unauthorized", "message": "the gateway refuses the token",
        "action": "correct gateway.token" });
    let jobs = json!([
        job(1, "blocked", &unauthorized),
        job(2, "retrying", &unauthorized),
        job(3, "running", &json!(null))
    ]);
    let summary = json!({
        "at_ms": NOW, "counts": { "blocked": 1, "retrying": 1, "running": 1, "done": 7 },
        "workers": 2, "draining": 0,
        "oldest_ready_at_ms": NOW - 12_000, "paused": paused,
    });
    let gateways = json!([{
        "id": uuid::Uuid::from_u128(9), "name": "Acme",
        "insecure_tls": false, "restarts_on_write": false,
        "jobs": { "blocked": 1, "running": 1 }, "failures": 3, "held_until_ms": NOW + 4000,
        "version": "2026.9.6", "protocol": 4,
    }]);
    let kinds = json!([{
        "kind": "provision", "counts": { "done": 7 }, "failed_share": 0.25,
        "waited": { "p95_ms": 16 }, "ran": { "p95_ms": 2048 },
    }]);
    Seen {
        summary: serde_json::from_value(summary).unwrap(),
        jobs: serde_json::from_value(jobs).unwrap(),
        gateways: serde_json::from_value(gateways).unwrap(),
        kinds: serde_json::from_value(kinds).unwrap(),
    }
}

fn view() -> View {
    let mut view = View::default();
    view.take(Ok(seen(&json!([]))));
    view
}

/// Draws a window of this size.
fn drawn(view: &mut View, width: u16, height: u16, colours: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, &Palette::new(colours))).unwrap();
    terminal.backend().buffer().clone()
}

/// Draws a window of this size and returns its lines.
fn lines(view: &mut View, width: u16, height: u16) -> Vec<String> {
    let buffer = drawn(view, width, height, true);
    let line =
        |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

#[track_caller]
fn has(lines: &[String], text: &str) {
    assert!(lines.iter().any(|line| line.contains(text)), "no {text:?} in\n{}", lines.join("\n"));
}

#[test]
fn the_first_screen_says_what_is_stuck_and_what_to_do() {
    let mut view = view();
    view.note(&json!({
        "event": "job", "at_ms": NOW, "id": uuid::Uuid::from_u128(3), "kind": "provision",
        "from": "ready", "to": "running",
    }));
    let lines = lines(&mut view, 150, 40);
    assert_eq!(
        lines[0],
        "1 blocked (needs you) · 1 retrying · 1 running · oldest waiting 12 s · workers: 2"
    );
    assert!(
        lines[3].starts_with("blocked    provision      Agent 1          Acme           1/12"),
        "{}",
        lines[3]
    );
    has(&lines, "Needs action: the gateway refuses the token.");
    has(
        &lines,
        "→ Correct gateway.token, then run `worker jobs retry \
            00000000-0000-0000-0000-000000000001`.",
    );
    has(
        &lines,
        "Acme             2     unreachable after 3 attempts, next attempt in 4.0 s, never reached",
    );
    has(&lines, "provision       7       25 %    16 ms      2.0 s");
    has(&lines, "Agent 3 provision  ready → running");
    has(&lines, "j k select · enter details · r retry · p pause all · q quit");
}

#[test]
fn control_characters_are_not_drawn() {
    let evil = "A\u{1b}]0;t\u{7}\u{9b}2K\u{202e}\u{61c}\r\nz\u{2066}";
    let mut seen = seen(&json!([]));
    for job in &mut seen.jobs {
        job.names.agent = Some(evil.to_owned());
        job.names.gateway = Some(evil.to_owned());
        job.failure.as_mut().into_iter().for_each(|failure| failure.message = evil.to_owned());
    }
    seen.gateways[0].name = Some(evil.to_owned());
    let mut view = View::default();
    view.take(Ok(seen));
    (view.said, view.trouble) = (Some(evil.to_owned()), Some(evil.to_owned()));
    let id = uuid::Uuid::from_u128(3);
    view.note(&json!({ "event": "job", "at_ms": NOW, "id": id, "kind": evil, "to": evil }));
    for details in [false, true] {
        view.details = view.chosen().filter(|_| details).cloned().map(Box::new);
        for line in lines(&mut view, 150, 40) {
            assert!(!line.chars().any(mission_core::sanitize::is_unprintable), "{line:?}");
        }
    }
}

#[test]
fn small_windows_show_the_jobs_and_nothing_breaks() {
    for (width, height) in [(80, 24), (40, 10), (20, 4), (1, 1)] {
        let lines = lines(&mut view(), width, height);
        if height >= 10 {
            assert!(lines[3].starts_with("blocked"), "{width}x{height}\n{}", lines.join("\n"));
        }
    }
}

#[test]
fn the_selected_job_stays_selected_when_it_moves() {
    let mut view = view();
    view.move_by(1);
    let chosen = view.target();
    let mut moved = seen(&json!([]));
    moved.jobs.swap(1, 2);
    view.take(Ok(moved));
    assert_eq!((view.target(), view.place()), (chosen, 2));
    // When the job is gone, its position stays selected.
    let mut gone = seen(&json!([]));
    gone.jobs.truncate(1);
    view.take(Ok(gone));
    assert_eq!(view.place(), 0);
    view.move_by(-1);
    view.move_by(5);
    assert_eq!(view.place(), 0);
}

#[test]
fn details_pauses_and_errors_are_shown() {
    let mut view = view();
    view.take(Ok(seen(
        &json!([{ "scope": "all", "at_ms": NOW, "by": "sam", "reason": "upgrade" }]),
    )));
    let paused = lines(&mut view, 100, 30);
    assert_eq!(paused[1], "all paused by sam: upgrade (resume with `worker resume`)");
    has(&paused, "p resume all");
    view.take(Err("Redis cannot be used".to_owned()));
    let away = lines(&mut view, 100, 30);
    assert_eq!(away[1], "Redis cannot be used");
    has(&away, "blocked    provision");
    view.details = view.chosen().cloned().map(Box::new);
    let details = lines(&mut view, 100, 30);
    has(&details, "Needs action: the gateway refuses the token.");
    has(&details, "attempts       1 of 12, 1 run");
    has(&details, "esc back");
}

#[test]
fn a_queue_without_live_jobs_is_quiet() {
    let mut view = View::default();
    assert_eq!(lines(&mut view, 60, 10)[0], "Loading …");
    let mut quiet = seen(&json!([]));
    quiet.jobs.clear();
    quiet.summary = serde_json::from_value(
        json!({ "at_ms": NOW, "counts": {}, "last_ended_at_ms": NOW - 180_000,
        "workers": 0, "draining": 0, "paused": [] }),
    )
    .unwrap();
    view.take(Ok(quiet));
    assert_eq!(lines(&mut view, 60, 10)[0], "Quiet. Last job 3 min ago · workers: 0");
}

#[test]
fn colours_can_be_switched_off() {
    for colours in [true, false] {
        let cells = drawn(&mut view(), 100, 30, colours).content;
        let coloured = cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset);
        assert_eq!(coloured, colours);
    }
}

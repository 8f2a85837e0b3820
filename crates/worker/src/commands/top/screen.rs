//! Draws the screen: as much as the window has room for, with jobs that need action first.

use mission_core::sanitize::is_unprintable;
use mission_jobs::queue::{GatewayRecord, Summary};
use mission_jobs::{JobRecord, State};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Table, TableState, Wrap};

use super::view::{Seen, View};
use crate::commands::gateways::{condition, live};
use crate::commands::jobs::shown;
use crate::commands::pause;
use mission_core::humanize::span;
use mission_http::api::series::KindStatus;
use mission_jobs::queue::views::explain::{Reader, Story, brief};

/// Height of the gateways and of the kinds, with their heading.
const PLACES: u16 = 7;
/// Width of the kinds of job.
const KINDS: u16 = 54;
/// Least height of the events, with their heading.
const EVENTS: u16 = 6;
/// Height of the explanation of the selected job, in a small window and in a larger one.
const STORY: [u16; 2] = [4, 7];
/// The columns of the jobs.
const JOB_COLUMNS: [(&str, u16); 6] =
    [("STATE", 10), ("KIND", 14), ("AGENT", 16), ("GATEWAY", 14), ("TRIES", 6), ("REASON", 0)];

/// Holds the styles, with or without colours.
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// Creates a palette with colours, or with bold and reversed text only.
    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn of(&self, state: State) -> Style {
        let colour = match state {
            State::Blocked | State::Dead => Color::Red,
            State::Retrying | State::Snoozed => Color::Yellow,
            State::Running => Color::Cyan,
            State::Done => Color::Green,
            _ => Color::Reset,
        };
        let style = self.paint(colour);
        if state == State::Blocked { style.add_modifier(Modifier::BOLD) } else { style }
    }

    fn paint(&self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn heading(&self) -> Style {
        self.paint(Color::Blue).add_modifier(Modifier::BOLD)
    }
}

/// Draws the screen. Control characters, which a terminal would obey, are replaced.
pub fn draw(frame: &mut Frame, view: &mut View, palette: &Palette) {
    draw_parts(frame, view, palette);
    for cell in &mut frame.buffer_mut().content {
        if cell.symbol().chars().any(is_unprintable) {
            cell.set_symbol("\u{fffd}");
        }
    }
}

fn draw_parts(frame: &mut Frame, view: &mut View, palette: &Palette) {
    let area = frame.area();
    let [top, body, bottom] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    draw_top(frame, top, view, palette);
    draw_bottom(frame, bottom, view, palette);
    let Some(seen) = &view.seen else {
        return;
    };
    if let Some(job) = &view.details {
        let text = shown::story(job, &seen.summary);
        let text = Paragraph::new(text).wrap(Wrap { trim: false });
        frame.render_widget(Clear, body);
        return frame.render_widget(text.block(titled(" Job ", palette)), body);
    }
    let [jobs, story, gateways, kinds, events] = places(body, view.jobs().len());
    draw_jobs(frame, jobs, view, palette);
    draw_story(frame, story, view, seen, palette);
    draw_gateways(frame, gateways, seen, palette);
    draw_kinds(frame, kinds, &seen.kinds, palette);
    let lines: Vec<Line> = view.events.iter().map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(titled(" Events ", palette)), events);
}

/// Returns the areas of the jobs, the explanation of one, the gateways, the kinds and the events.
/// A small window has room for the jobs only. Events get the space that few jobs leave free.
fn places(body: Rect, jobs: usize) -> [Rect; 5] {
    let wide = body.width >= 100;
    let sides = match body.height {
        0..20 => 0,
        20..32 => PLACES,
        _ if wide => PLACES,
        _ => PLACES * 2,
    };
    let events = if body.height >= 14 { EVENTS } else { 0 };
    let story = match body.height {
        0..8 => 0,
        8..28 => STORY[0],
        _ => STORY[1],
    };
    let most = body.height.saturating_sub(sides + events + story);
    let jobs = u16::try_from(jobs).unwrap_or(u16::MAX).saturating_add(1).clamp(most.min(4), most);
    let [jobs, story, sides, events] = Layout::vertical([
        Constraint::Length(jobs),
        Constraint::Length(story),
        Constraint::Length(sides),
        Constraint::Fill(1),
    ])
    .areas(body);
    let events = if body.height >= 14 { events } else { Rect::default() };
    let [gateways, kinds] = if wide {
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(KINDS)]).spacing(2).areas(sides)
    } else {
        Layout::vertical([Constraint::Max(PLACES), Constraint::Fill(1)]).areas(sides)
    };
    [jobs, story, gateways, kinds, events]
}

fn titled<'a>(title: &'a str, palette: &Palette) -> Block<'a> {
    ruled().title(Span::styled(title, palette.heading()))
}

fn draw_top(frame: &mut Frame, area: Rect, view: &View, palette: &Palette) {
    let mut lines = vec![match &view.seen {
        Some(seen) => Line::from(sentence(&seen.summary, palette)),
        None => Line::raw("Loading …"),
    }];
    if let Some(trouble) = &view.trouble {
        lines.push(Line::styled(trouble.as_str(), palette.of(State::Blocked)));
    } else if let Some(pause) = view.seen.as_ref().and_then(|seen| seen.summary.paused.first()) {
        lines.push(Line::styled(pause::in_words(pause), palette.of(State::Retrying)));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Summarizes the queue in one sentence that shows whether anything is stuck.
fn sentence(summary: &Summary, palette: &Palette) -> Vec<Span<'static>> {
    let mut words: Vec<Span> = Vec::new();
    let mut add = |text: String, style: Style| {
        if !words.is_empty() {
            words.push(Span::raw(" · "));
        }
        words.push(Span::styled(text, style));
    };
    for state in super::shown() {
        let count = summary.counts.of(state);
        let need = match (state, count) {
            (State::Blocked, 1) => " (needs you)",
            (State::Blocked, _) => " (need you)",
            _ => "",
        };
        if count > 0 {
            add(format!("{count} {state}{need}"), palette.of(state));
        }
    }
    if super::shown().all(|state| summary.counts.of(state) == 0) {
        let ended = summary.last_ended_at_ms.map(|at| span(summary.at_ms.saturating_sub(at)));
        let last = ended.map_or_else(String::new, |ago| format!(". Last job {ago} ago"));
        add(format!("Quiet{last}"), Style::new());
    }
    if let Some(since) = summary.oldest_ready_at_ms {
        add(format!("oldest waiting {}", span(summary.at_ms.saturating_sub(since))), Style::new());
    }
    let style = if summary.workers == 0 { palette.of(State::Blocked) } else { Style::new() };
    let draining = match summary.draining {
        0 => String::new(),
        some => format!(", {some} draining"),
    };
    add(format!("workers: {}{draining}", summary.workers), style);
    if let Some(full) = summary.slots.in_words() {
        add(full, palette.of(State::Blocked));
    }
    words
}

fn draw_bottom(frame: &mut Frame, area: Rect, view: &View, palette: &Palette) {
    let keys = if view.details.is_some() {
        "esc back · r retry · q quit"
    } else if view.all_paused() {
        "j k select · enter details · r retry · p resume all · q quit"
    } else {
        "j k select · enter details · r retry · p pause all · q quit"
    };
    let line = match &view.said {
        Some(said) => Line::from(vec![
            Span::styled(said.as_str(), palette.heading()),
            Span::raw("  "),
            Span::raw(keys),
        ]),
        None => Line::raw(keys),
    };
    frame.render_widget(Paragraph::new(line), area);
}

/// Creates a table of columns with these headings and widths; a width of 0 takes the rest.
fn table<'a, const N: usize>(
    columns: [(&'static str, u16); N],
    rows: impl Iterator<Item = Row<'a>>,
    palette: &Palette,
) -> Table<'a> {
    let widths = columns.map(|(_, width)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(width),
    });
    let headings = Row::new(columns.map(|(heading, _)| heading));
    Table::new(rows, widths).header(headings.style(palette.heading()))
}

/// Creates a block with a line above it.
fn ruled<'a>() -> Block<'a> {
    Block::new().borders(Borders::TOP)
}

fn draw_jobs(frame: &mut Frame, area: Rect, view: &View, palette: &Palette) {
    let rows = view.jobs().iter().map(|job| job_row(job, palette));
    let table = table(JOB_COLUMNS, rows, palette)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut chosen =
        TableState::new().with_selected(Some(view.place()).filter(|_| !view.jobs().is_empty()));
    frame.render_stateful_widget(table, area, &mut chosen);
}

fn job_row<'a>(job: &'a JobRecord, palette: &Palette) -> Row<'a> {
    let short = |name: &'a Option<String>, id: &'a str| {
        name.as_deref().unwrap_or_else(|| id.get(..8).unwrap_or(id))
    };
    let agent = job.subject.rsplit('/').next().unwrap_or_default();
    Row::new([
        Span::styled(job.state.as_str(), palette.of(job.state)),
        Span::raw(&job.kind),
        Span::raw(short(&job.names.agent, agent)),
        Span::raw(short(&job.names.gateway, &job.lane)),
        Span::raw(format!("{}/{}", job.attempts, job.max_attempts)),
        Span::raw(brief(job)),
    ])
}

/// Draws the explanation of the selected job, and the remedy.
fn draw_story(frame: &mut Frame, area: Rect, view: &View, seen: &Seen, palette: &Palette) {
    let Some(job) = view.chosen() else { return };
    let story = Story::within(&seen.summary, job, Reader::Terminal);
    let mut lines = vec![Line::raw(story.sentence)];
    let style = palette.of(State::Retrying);
    lines.extend(story.remedy.map(|remedy| Line::styled(format!("→ {remedy}"), style)));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }).block(ruled()), area);
}

fn draw_gateways(frame: &mut Frame, area: Rect, seen: &Seen, palette: &Palette) {
    let mut gateways: Vec<&GatewayRecord> = seen.gateways.iter().collect();
    gateways
        .sort_by_key(|gateway| (!gateway.is_unreachable(), gateway.jobs.of(State::Blocked) == 0));
    let rows = gateways.iter().map(|gateway| {
        let style = if gateway.is_unreachable() { palette.of(State::Dead) } else { Style::new() };
        let id = gateway.id.to_string();
        let name = gateway.name.clone().unwrap_or_else(|| id[..8].to_owned());
        Row::new([name, live(gateway).to_string(), condition(gateway, seen.summary.at_ms)])
            .style(style)
    });
    let table = table([("GATEWAY", 16), ("LIVE", 5), ("", 0)], rows, palette);
    frame.render_widget(table.block(ruled()), area);
}

fn draw_kinds(frame: &mut Frame, area: Rect, kinds: &[KindStatus], palette: &Palette) {
    let time = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), span);
    let rows = kinds.iter().map(|kind| {
        let done = kind.counts.get("done").copied().unwrap_or_default();
        let failed = kind.failed_share.map(|share| format!("{:.0} %", share * 100.0));
        Row::new([
            kind.kind.clone(),
            done.to_string(),
            failed.unwrap_or_else(|| "–".to_owned()),
            time(kind.waited.p95_ms),
            time(kind.ran.p95_ms),
        ])
    });
    let columns =
        [("LAST HOUR", 15), ("DONE", 7), ("FAILED", 7), ("WAIT p95", 10), ("RUN p95", 10)];
    frame.render_widget(table(columns, rows, palette).block(ruled()), area);
}

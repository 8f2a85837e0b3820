//! `worker top`: the first screen of the dashboard on a terminal, live.
//!
//! It looks at the queue each second, and at once when something happens. What cannot be reached is
//! said on the screen and looked for again.

mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use mission_jobs::queue::Search;
use mission_jobs::{Scope, State};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cli::ApiTarget;
use crate::environment;
use crate::exit::{Exit, OrExit};
use crate::queue_client::{Console, ConsoleError};
use crate::settings::Settings;
use screen::Palette;
use view::{Seen, View};

/// How often the queue is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How soon it is looked at after something has happened, so that much at once is looked at once.
const SOON: Duration = Duration::from_millis(250);
/// Jobs shown.
const JOBS: usize = 100;
/// Reason that stands in the record of what is done here.
const WHY: &str = "in worker top";

/// Runs the command until `q` or Ctrl-C.
pub async fn run(settings: &Settings, at: &ApiTarget) -> Result<(), Exit> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let told: Result<(), _> =
            Err(anyhow!("worker top wants a terminal; use worker jobs list, gateways, workers"));
        return told.or_usage();
    }
    let console = Arc::new(Console::open(settings, at.api.as_deref()).await?);
    // What is wrong with the address or the token is said before the screen changes.
    console.summary().await.map_err(ConsoleError::exit)?;
    let palette =
        Palette::new(std::env::var_os(environment::NO_COLOR).is_none_or(|value| value.is_empty()));
    let events = console.listen();
    // Restores the terminal when it is dropped, and when something panics.
    let mut terminal = ratatui::try_init().or_failed()?;
    let ended = watch(&console, &mut terminal, &palette, events).await;
    ratatui::restore();
    if let Ok(console) = Arc::try_unwrap(console) {
        console.close().await;
    }
    ended
}

async fn watch(
    console: &Arc<Console>,
    terminal: &mut ratatui::DefaultTerminal,
    palette: &Palette,
    mut events: mpsc::Receiver<Value>,
) -> Result<(), Exit> {
    let mut keys = keys();
    let mut view = View::default();
    refresh(console, &mut view).await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut soon: Option<Instant> = None;
    loop {
        terminal.draw(|frame| screen::draw(frame, &mut view, palette)).or_failed()?;
        let at_once = soon.unwrap_or_else(|| Instant::now() + EVERY * 2);
        tokio::select! {
            key = keys.recv() => match key {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if press(console, &mut view, key).await {
                        return Ok(());
                    }
                    soon = Some(Instant::now());
                }
                // Anything else, such as another size of the window, wants it drawn anew.
                Some(_) => {}
                None => return Ok(()),
            },
            Some(event) = events.recv() => {
                view.note(&event);
                soon.get_or_insert_with(|| Instant::now() + SOON);
            }
            () = sleep_until(at_once), if soon.is_some() => {
                soon = None;
                refresh(console, &mut view).await;
            }
            _ = ticks.tick() => refresh(console, &mut view).await,
        }
    }
}

/// Keys are read by a thread, because nothing else can wait for them; it ends with the process.
fn keys() -> mpsc::UnboundedReceiver<Event> {
    let (sender, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// Looks at everything that is on the screen.
async fn refresh(console: &Console, view: &mut View) {
    // On the heap: it asks for four things at once.
    view.take(Box::pin(look(console)).await.map_err(|error| error.to_string()));
    if let Some(id) = view.details.as_ref().map(|job| job.id)
        && let Ok(job) = console.job(id).await
    {
        view.details = Some(Box::new(job));
    }
}

/// All that is on the first screen.
async fn look(console: &Console) -> Result<Seen, ConsoleError> {
    let live = Search {
        states: [
            State::Blocked,
            State::Dead,
            State::Retrying,
            State::Snoozed,
            State::Running,
            State::Ready,
        ]
        .into(),
        ..Search::default()
    };
    let (summary, found, gateways, kinds) = tokio::try_join!(
        console.summary(),
        console.search(&live, None, JOBS),
        console.gateways(),
        console.kinds()
    )?;
    Ok(Seen { summary, jobs: found.jobs, gateways, kinds })
}

/// Does what a key asks for. Returns whether that is the end.
async fn press(console: &Console, view: &mut View, key: KeyEvent) -> bool {
    view.said = None;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if control => return true,
        KeyCode::Char('q') => return true,
        KeyCode::Esc | KeyCode::Enter if view.details.is_some() => view.details = None,
        KeyCode::Char('j') | KeyCode::Down => view.move_by(1),
        KeyCode::Char('k') | KeyCode::Up => view.move_by(-1),
        KeyCode::Enter => {
            if let Some(id) = view.chosen().map(|job| job.id) {
                match console.job(id).await {
                    Ok(job) => view.details = Some(Box::new(job)),
                    Err(error) => view.said = Some(error.to_string()),
                }
            }
        }
        KeyCode::Char('r') => {
            if let Some(id) = view.target() {
                view.said = Some(match console.retry(id, false, WHY).await {
                    Ok(was) => format!("{id} was {was} and is ready to run again"),
                    Err(error) => error.to_string(),
                });
            }
        }
        KeyCode::Char('p') => {
            let pause = !view.all_paused();
            view.said = Some(match console.pause(&Scope::All, pause, WHY).await {
                Ok(_) if pause => {
                    "everything is paused: running jobs go on, no new ones are taken".to_owned()
                }
                Ok(_) => "everything is resumed".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        _ => {}
    }
    false
}

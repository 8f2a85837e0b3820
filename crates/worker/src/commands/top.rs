//! `worker top`: the first page of the dashboard on a terminal, updated live.
//!
//! The screen is refreshed each second, and soon after an event. If Redis or the worker is
//! unreachable, the screen shows the error and keeps trying.

mod screen;
#[cfg(test)]
mod tests;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::anyhow;
use mission_jobs::queue::Search;
use mission_jobs::{PauseScope, State};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::cli::ApiTarget;
use crate::environment;
use crate::exit::{Exit, OrExit};
use crate::queue_client::{JobAction, QueueClient, QueueClientError, listen, with_client};
use crate::settings::Settings;
use screen::Palette;
use view::{Seen, View};

/// Interval between refreshes.
const EVERY: Duration = Duration::from_secs(1);
/// Delay of a refresh after an event, so that a burst of events causes one refresh.
const SOON: Duration = Duration::from_millis(250);
/// Number of events buffered for the screen; further events are dropped.
const EVENTS_AHEAD: usize = 100;
/// Number of jobs on the screen.
const JOBS: usize = 100;
/// Reason recorded in the audit for actions on this screen.
const REASON: &str = "in worker top";

/// Runs the command until `q` or Ctrl-C.
pub async fn run(settings: &Settings, at: &ApiTarget) -> Result<(), Exit> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(Exit::usage(anyhow!(
            "`worker top` needs a terminal; use `worker jobs list`, `gateways` or `workers`"
        )));
    }
    with_client(settings, at, async |client| {
        // A wrong address or token is reported before the screen changes.
        client.summary().await?;
        // Restores the terminal after a panic, too.
        let mut terminal = ratatui::try_init().or_failed()?;
        let (sender, events) = mpsc::channel(EVENTS_AHEAD);
        let ended = tokio::select! {
            ended = watch(client, &mut terminal, events) => ended,
            never = listen(client, &sender) => never,
        };
        ratatui::restore();
        ended
    })
    .await
}

async fn watch(
    client: &dyn QueueClient,
    terminal: &mut ratatui::DefaultTerminal,
    mut events: mpsc::Receiver<Value>,
) -> Result<(), Exit> {
    let palette =
        Palette::new(std::env::var_os(environment::NO_COLOR).is_none_or(|value| value.is_empty()));
    let mut keys = keys();
    let mut view = View::default();
    refresh(client, &mut view).await;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut soon: Option<Instant> = None;
    loop {
        terminal.draw(|frame| screen::draw(frame, &mut view, &palette)).or_failed()?;
        let at_once = soon.unwrap_or_else(|| Instant::now() + EVERY * 2);
        tokio::select! {
            key = keys.recv() => match key {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if press(client, &mut view, key).await {
                        return Ok(());
                    }
                    soon = Some(Instant::now());
                }
                // Other events, such as a resized window, need a redraw only.
                Some(_) => {}
                None => return Ok(()),
            },
            Some(event) = events.recv() => {
                view.note(&event);
                soon.get_or_insert_with(|| Instant::now() + SOON);
            }
            () = sleep_until(at_once), if soon.is_some() => {
                soon = None;
                refresh(client, &mut view).await;
            }
            _ = ticks.tick() => refresh(client, &mut view).await,
        }
    }
}

/// Reads keys in a thread of its own, because reading them blocks. The thread ends with the
/// process.
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

/// Reads again everything on the screen.
async fn refresh(client: &dyn QueueClient, view: &mut View) {
    // On the heap, because the future of four joined requests is large.
    view.take(Box::pin(look(client)).await.map_err(|error| error.to_string()));
    if let Some(id) = view.details.as_ref().map(|job| job.id)
        && let Ok(job) = client.job(id).await
    {
        view.details = Some(Box::new(job));
    }
}

/// Returns the states of the jobs on the screen, most urgent first.
fn shown() -> impl Iterator<Item = State> {
    State::BY_URGENCY.into_iter().take_while(|state| *state != State::Scheduled)
}

/// Reads the content of the first screen.
async fn look(client: &dyn QueueClient) -> Result<Seen, QueueClientError> {
    let live = Search { states: shown().collect(), ..Search::default() };
    let (summary, found, gateways, kinds) = tokio::try_join!(
        client.summary(),
        client.search(&live, None, JOBS),
        client.gateways(),
        client.kinds()
    )?;
    Ok(Seen { summary, jobs: found.jobs, gateways, kinds })
}

/// Handles a key. Returns whether it ends the command.
async fn press(client: &dyn QueueClient, view: &mut View, key: KeyEvent) -> bool {
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
                match client.job(id).await {
                    Ok(job) => view.details = Some(Box::new(job)),
                    Err(error) => view.said = Some(error.to_string()),
                }
            }
        }
        KeyCode::Char('r') => {
            if let Some(id) = view.target() {
                let was = client.act(id, JobAction::Retry { force: false }, REASON).await;
                let said = was.map(|was| format!("Job {id} was {was} and is now ready."));
                view.said = Some(said.unwrap_or_else(|error| error.to_string()));
            }
        }
        KeyCode::Char('p') => {
            let pause = !view.all_paused();
            view.said = Some(match client.pause(&PauseScope::All, pause, REASON).await {
                Ok(_) if pause => {
                    "Paused all jobs. No new jobs are claimed; running jobs continue.".to_owned()
                }
                Ok(_) => "Resumed all jobs.".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        _ => {}
    }
    false
}

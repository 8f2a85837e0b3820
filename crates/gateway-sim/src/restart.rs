//! Restarts: the writes that cause them, and their effect on connections.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    calls::{Inner, Shared, Signal},
    config::config_path,
    profile::Profile,
    running::Start,
    world::{now_ms, random_id},
};

/// The minimum time between restarts caused by patches.
const COOLDOWN: Duration = Duration::from_secs(30);

impl Shared {
    /// Restarts the gateway: every connection gets an event and is closed, and new ones are refused
    /// for a while, or for good if the gateway cannot start with its configuration. `by` is the
    /// method whose write caused the restart; `None` means a person.
    pub(crate) fn restart(&self, outage: Duration, by: Option<&str>) {
        let mut inner = self.lock();
        inner.down_until = Instant::now() + outage;
        inner.boot_id = random_id();
        inner.world.effects.restarts.extend(by.map(str::to_owned));
        let how = if by.is_some() { Start::InPlace } else { Start::Process };
        inner.dead = inner.world.start(how).err();
        drop(inner);
        // Without receivers there are no connections.
        let _ = self.signals.send(Signal::Restart);
    }

    /// Edits the configuration file as a person would.
    pub(crate) fn edit(self: &Arc<Self>, inner: &mut Inner, patch: &Value) {
        inner.world.edit(patch);
        self.config_was_written(inner, None, &Value::Null);
        if inner.world.must_restart {
            self.restart_in(0, inner.outage(), false, "by hand".to_owned());
        }
    }

    /// Performs what follows a write of the configuration: an event, or on the old gateway a
    /// restart, and another one after a patch.
    pub(crate) fn config_was_written(
        self: &Arc<Self>,
        inner: &mut Inner,
        by: Option<&str>,
        params: &Value,
    ) {
        let options = &inner.world.options;
        let outage = inner.outage();
        // Edits by hand cause restarts too, for which no caller is responsible.
        let cause = by.unwrap_or("by hand").to_owned();
        match inner.world.profile {
            Profile::V2026_8_2 | Profile::V2026_9_6 => {
                let payload =
                    json!({ "path": config_path(), "hash": inner.world.hash(), "ts": now_ms() });
                let _ = self.signals.send(Signal::Event("config.changed", payload));
            }
            Profile::V2026_2_9 if options.restarts => {
                let (write_ms, patch_ms) =
                    (options.restart_after_write_ms, options.restart_after_patch_ms);
                if !std::mem::replace(&mut inner.restart_is_due, true) {
                    self.restart_in(write_ms, outage, true, cause.clone());
                }
                if by == Some("config.patch") {
                    let patch_ms = params["restartDelayMs"].as_u64().unwrap_or(patch_ms);
                    self.restart_in(patch_ms, outage, false, cause);
                }
            }
            Profile::V2026_3_13 if options.restarts && by == Some("config.patch") => {
                let wanted = Instant::now() + Duration::from_millis(options.restart_after_patch_ms);
                let at =
                    inner.latest_restart.map_or(wanted, |latest| wanted.max(latest + COOLDOWN));
                // Later patches share the restart that is already due.
                if !std::mem::replace(&mut inner.restart_is_due, true) {
                    inner.latest_restart = Some(at);
                    self.restart_at(at, outage, true, cause);
                }
            }
            // The gateway does not watch its file, so the patch has to restart it.
            _ if options.restarts && by == Some("config.patch") && !inner.world.reloads() => {
                self.restart_in(options.restart_after_patch_ms, outage, false, cause);
            }
            _ => {}
        }
    }

    /// Restarts the gateway later, unless it has been dropped by then.
    fn restart_in(self: &Arc<Self>, delay_ms: u64, outage: Duration, for_write: bool, by: String) {
        self.restart_at(Instant::now() + Duration::from_millis(delay_ms), outage, for_write, by);
    }

    fn restart_at(self: &Arc<Self>, at: Instant, outage: Duration, for_write: bool, by: String) {
        let gateway = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(gateway) = gateway.upgrade() {
                if for_write {
                    gateway.lock().restart_is_due = false;
                }
                gateway.restart(outage, Some(&by));
            }
        });
    }
}

impl Inner {
    /// Returns the duration of a restart.
    pub(crate) fn outage(&self) -> Duration {
        Duration::from_millis(self.world.options.restart_outage_ms)
    }

    /// Returns whether new connections are refused.
    pub(crate) fn is_down(&self) -> bool {
        self.dead.is_some() || self.down_until > Instant::now()
    }
}

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
        inner.down_until = Some(Instant::now() + outage);
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
            self.restart_in(Duration::ZERO, false, "by hand".to_owned());
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
        let patch_delay = Duration::from_millis(options.restart_after_patch_ms);
        // Edits by hand cause restarts too, for which no caller is responsible.
        let cause = by.unwrap_or("by hand").to_owned();
        match inner.world.profile {
            Profile::V2026_8_2 | Profile::V2026_9_6 => {
                let payload =
                    json!({ "path": config_path(), "hash": inner.world.hash(), "ts": now_ms() });
                let _ = self.signals.send(Signal::Event("config.changed", payload));
            }
            Profile::V2026_2_9 if options.restarts => {
                let write_delay = Duration::from_millis(options.restart_after_write_ms);
                if !std::mem::replace(&mut inner.restart_is_due, true) {
                    self.restart_in(write_delay, true, cause.clone());
                }
                if by == Some("config.patch") {
                    let asked = params["restartDelayMs"].as_u64().map(Duration::from_millis);
                    self.restart_in(asked.unwrap_or(patch_delay), false, cause);
                }
            }
            Profile::V2026_3_13 if options.restarts && by == Some("config.patch") => {
                let now = Instant::now();
                let wanted = now + patch_delay;
                let at =
                    inner.latest_restart.map_or(wanted, |latest| wanted.max(latest + COOLDOWN));
                // Later patches share the restart that is already due.
                if !std::mem::replace(&mut inner.restart_is_due, true) {
                    inner.latest_restart = Some(at);
                    self.restart_in(at - now, true, cause);
                }
            }
            // The gateway does not watch its file, so the patch has to restart it.
            _ if options.restarts && by == Some("config.patch") && !inner.world.reloads() => {
                self.restart_in(patch_delay, false, cause);
            }
            _ => {}
        }
    }

    /// Restarts the gateway later, unless it has been dropped by then.
    fn restart_in(self: &Arc<Self>, delay: Duration, for_write: bool, by: String) {
        let gateway = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let Some(gateway) = gateway.upgrade() else { return };
            let outage = {
                let mut inner = gateway.lock();
                inner.restart_is_due &= !for_write;
                inner.outage()
            };
            gateway.restart(outage, Some(&by));
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
        self.dead.is_some() || self.down_until.is_some_and(|until| until > Instant::now())
    }
}

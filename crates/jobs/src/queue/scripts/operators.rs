//! The scripts for people who look and act.

use std::time::Duration;

use uuid::Uuid;

use super::{Args, Named, Scripts, millis};
use crate::queue::author::{Author, reason};
use crate::queue::error::QueueError;

/// These scripts.
pub(super) struct Operators {
    retry: Named,
    cancel: Named,
    pause: Named,
    snooze: Named,
    drain: Named,
}

impl Operators {
    pub(super) fn new(named: impl Fn(&'static str, &str) -> Named) -> Self {
        Self {
            retry: named("retry", include_str!("../lua/retry.lua")),
            cancel: named("cancel", include_str!("../lua/cancel.lua")),
            pause: named("pause", include_str!("../lua/pause.lua")),
            snooze: named("snooze", include_str!("../lua/snooze.lua")),
            drain: named("drain", include_str!("../lua/drain.lua")),
        }
    }

    pub(super) fn all(&self) -> [&Named; 5] {
        let Self { retry, cancel, pause, snooze, drain } = self;
        [retry, cancel, pause, snooze, drain]
    }
}

/// What came of an action, and the state that the job was in.
type Came = (String, String);

impl Args {
    /// Who, from where and why.
    fn add_deed(&mut self, by: &Author, why: &str) -> &mut Self {
        by.words().iter().fold(self, |args, word| args.add(word)).add(reason(why))
    }
}

impl Scripts {
    pub(in crate::queue) async fn retry(
        &self,
        id: Uuid,
        force: bool,
        by: &Author,
        why: &str,
    ) -> Result<Came, QueueError> {
        let mut args = Args::default();
        self.run(&self.operators.retry, args.add_deed(by, why).add(id.to_string()).add(u8::from(force))).await
    }

    pub(in crate::queue) async fn snooze(
        &self,
        id: Uuid,
        wait: Duration,
        by: &Author,
        why: &str,
    ) -> Result<Came, QueueError> {
        let mut args = Args::default();
        self.run(&self.operators.snooze, args.add_deed(by, why).add(id.to_string()).add(millis(wait))).await
    }

    /// `dead_only`: no other job is.
    pub(in crate::queue) async fn cancel(
        &self,
        id: Uuid,
        dead_only: bool,
        by: &Author,
        why: &str,
    ) -> Result<Came, QueueError> {
        let mut args = Args::default();
        self.run(&self.operators.cancel, args.add_deed(by, why).add(id.to_string()).add(u8::from(dead_only))).await
    }

    /// Returns whether anything changed.
    pub(in crate::queue) async fn pause(
        &self,
        pause: bool,
        scope: &str,
        by: &Author,
        why: &str,
    ) -> Result<bool, QueueError> {
        let mut args = Args::default();
        self.run(&self.operators.pause, args.add_deed(by, why).add(if pause { "pause" } else { "resume" }).add(scope))
            .await
    }

    /// Returns what came of it.
    pub(in crate::queue) async fn drain(
        &self,
        worker: &str,
        drain: bool,
        by: &Author,
        why: &str,
    ) -> Result<String, QueueError> {
        let mut args = Args::default();
        self.run(&self.operators.drain, args.add_deed(by, why).add(worker).add(u8::from(drain))).await
    }
}

//! The comparison of an agent and its jobs with what is expected of them.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::checker::{Phase, Since, Wanted};
use super::plan;
use super::sights::Sight;
use super::story::{Bad, Fate, Kind, Sent, Story};

/// The interval of a heartbeat that says none.
const DEFAULT_EVERY: &str = "10m";

/// Everything that is known of an agent in the end.
pub struct Case<'a> {
    pub story: &'a Story,
    pub fates: &'a BTreeMap<Uuid, Fate>,
    /// The jobs that people asked to cancel.
    pub cancels: &'a BTreeSet<Uuid>,
    pub sight: &'a Sight,
    wanted: Wanted,
    faults: Vec<String>,
}

impl<'a> Case<'a> {
    pub fn new(
        story: &'a Story,
        fates: &'a BTreeMap<Uuid, Fate>,
        cancels: &'a BTreeSet<Uuid>,
        sight: &'a Sight,
    ) -> Self {
        Self { story, fates, cancels, sight, wanted: Wanted::of(story, fates), faults: Vec::new() }
    }

    /// Returns whether the order of what happened to the agent is known.
    pub fn is_clear(&self) -> bool {
        !self.wanted.is_unclear
    }

    /// Returns whether the agent must be in one known state.
    pub fn is_settled(&self) -> bool {
        match self.wanted.phase {
            Phase::Wanted => self.wanted.desired.is_none_or(|since| self.was_proven(since)),
            Phase::ToBeDeleted => false,
            Phase::Deleted => true,
        }
    }

    /// Returns every difference from what is expected.
    pub fn faults(mut self) -> Vec<String> {
        self.faults.append(&mut self.wanted.faults);
        for place in 0..self.story.sent.len() {
            if let Some(fault) = self.ended_wrongly(place) {
                self.faults.push(format!("{fault}: {place}"));
            }
        }
        self.nothing_outdated_was_done();
        self.wakes_are_single();
        match self.wanted.phase {
            Phase::Wanted => match self.wanted.desired {
                Some(desired) if self.was_proven(desired) => self.is_provisioned(desired),
                Some(_) => {}
                None => self.is_known_by_heartbeat_only(),
            },
            Phase::ToBeDeleted => {}
            Phase::Deleted => {
                self.check(!self.sight.exists, "its config entry is there, but it was deleted");
                self.check(!self.sight.has_files, "its files are there, but it was deleted");
            }
        }
        self.faults
    }

    fn check(&mut self, is_right: bool, fault: &str) {
        if !is_right {
            self.faults.push(fault.to_owned());
        }
    }

    fn sent(&self, place: usize) -> &'a Sent {
        &self.story.sent[place]
    }

    fn fate(&self, place: usize) -> &'a Fate {
        &self.fates[&self.sent(place).job]
    }

    /// Returns whether a run that began when the document counted already was done.
    fn was_proven(&self, since: Since) -> bool {
        let provisions = self.story.sent.iter().filter(|sent| sent.kind == Kind::Provision);
        let mut done =
            provisions.map(|sent| &self.fates[&sent.job]).filter(|fate| fate.state == "done");
        self.fate(since.place).state == "done" && self.sent(since.place).kind != Kind::Sync
            || done.any(|fate| fate.started_at > since.at)
    }

    /// Returns what is wrong with the end of a job.
    fn ended_wrongly(&self, place: usize) -> Option<&'static str> {
        let (sent, fate, wanted) = (self.sent(place), self.fate(place), &self.wanted);
        let is_outdated = wanted.outdated.contains_key(&place);
        let desired = wanted.desired.map(|since| self.sent(since.place));
        let has_bad = |bad| self.story.sent.iter().any(|sent| sent.bad == Some(bad));
        let is_right = match fate.state.as_str() {
            "done" => !is_outdated,
            "superseded" => self.is_replaced(place) && !(is_outdated && fate.runs > 0),
            "cancelled" => self.cancels.contains(&sent.job),
            "dead" => match fate.reason.as_str() {
                "expired" => sent.expires,
                "permanent" => sent.kind == Kind::Provision && has_bad(Bad::Template),
                _ => false,
            },
            "blocked" => match fate.code.as_str() {
                "auth_token_unknown" => wanted.token.is_none() && sent.kind == Kind::Provision,
                "gateway_config_invalid" => {
                    desired.is_some_and(|desired| desired.bad == Some(Bad::Heartbeat))
                }
                _ => false,
            },
            _ => false,
        };
        (!is_right).then_some("a job ended wrongly")
    }

    /// Returns whether the job that replaced this one is one that can.
    fn is_replaced(&self, place: usize) -> bool {
        let (sent, newer) = (self.sent(place), self.fate(place).superseded_by);
        let Some(newer) = newer.and_then(|id| self.place_of(id)) else { return false };
        if self.wanted.outdated.contains_key(&newer) || sent.kind == Kind::Sync {
            return false;
        }
        if let Some(known) = self.wanted.outdated.get(&place) {
            return *known == Some(newer);
        }
        // A dead job that a person retries is newer than those that came meanwhile.
        let is_later = newer > place || self.fate(newer).change("dead", "ready").is_some();
        let (kind, other) = (sent.kind, self.sent(newer).kind);
        is_later && (kind == other || other == Kind::Cleanup) || sent.delayed
    }

    fn place_of(&self, job: Uuid) -> Option<usize> {
        self.story.sent.iter().position(|sent| sent.job == job)
    }

    /// Checks that no text of a document that was overtaken has come to the gateway.
    fn nothing_outdated_was_done(&mut self) {
        let marks: BTreeSet<u32> =
            self.wanted.outdated.keys().map(|place| self.sent(*place).mark).collect();
        for (what, mark) in &self.sight.marks {
            self.check(!marks.contains(mark), &format!("{what}-m{mark:05} is outdated"));
        }
        for (mark, _) in &self.sight.wakes {
            self.check(!marks.contains(mark), &format!("woken-m{mark:05} is outdated"));
        }
    }

    /// Checks that each wake has a key of its own, so that gateways answer it once.
    fn wakes_are_single(&mut self) {
        let pairs: BTreeSet<_> = self.sight.wakes.iter().collect();
        let keys: BTreeSet<_> = pairs.iter().map(|(_, key)| key).collect();
        let marks: BTreeSet<_> = pairs.iter().map(|(mark, _)| mark).collect();
        let is_right = pairs.len() == keys.len() && pairs.len() == marks.len();
        self.check(is_right, &format!("wakes and their keys: {pairs:?}"));
    }

    fn is_provisioned(&mut self, desired: Since) {
        let mark = self.sent(desired.place).mark;
        self.check(self.sight.exists, "its config entry is missing");
        self.check(self.sight.has_session, "its session is missing");
        let name = format!("Unit-m{mark:05}");
        let found = format!("its name is {}, not {name}", self.sight.name);
        self.check(self.sight.name == name, &found);
        let token = self.wanted.token.map(|since| self.sent(since.place).mark);
        let mut found = BTreeSet::new();
        for (what, text) in &self.sight.marks {
            let wanted = if what == "token" { token } else { Some(mark) };
            found.insert(what.as_str());
            if let Some(wanted) = wanted {
                let fault = format!("its files have {what}-m{text:05}, not m{wanted:05}");
                self.check(*text == wanted, &fault);
            }
        }
        for what in ["role", "token"] {
            self.check(found.contains(what), &format!("its files have no {what}"));
        }
        self.has_heartbeat();
        self.was_given_what_is_owed();
    }

    fn is_known_by_heartbeat_only(&mut self) {
        self.check(!self.sight.has_files, "it has files, but was never provisioned");
        match self.wanted.heartbeat() {
            None => self.check(!self.sight.exists, "it exists, but nobody asked for it"),
            Some(_) => self.has_heartbeat(),
        }
    }

    fn has_heartbeat(&mut self) {
        let Some(since) = self.wanted.heartbeat() else { return };
        let source = self.sent(since.place);
        let is_sync = source.kind == Kind::Sync;
        let is_done = self.fate(since.place).state == "done";
        if self.wanted.is_sync_unclear || !is_done && !self.was_proven(since) {
            return;
        }
        self.check(self.sight.exists, "its config entry is missing");
        let asked: BTreeMap<_, _> = plan::heartbeat(source).into_iter().collect();
        let every = asked.get("every").map_or(DEFAULT_EVERY, String::as_str);
        let found = self.sight.heartbeat.get("every").map_or("", String::as_str);
        self.check(found == every, &format!("its heartbeat is every {found:?}, not {every:?}"));
        let (asked, found) = (asked.get("model"), self.sight.heartbeat.get("model"));
        // A key that nobody wants is removed if the run that has set it was done. A sync removes
        // none.
        let is_left = |place: usize| {
            let (sent, fate) = (self.sent(place), self.fate(place));
            let is_trace = self.wanted.traces.contains(&place);
            let is_late_sync = sent.kind == Kind::Sync && fate.ended_at() >= since.at;
            sent.model
                && (is_late_sync || is_trace && (sent.kind == Kind::Sync || fate.state != "done"))
        };
        let can_be_left = is_sync || (0..self.story.sent.len()).any(is_left);
        let is_right = asked == found || asked.is_none() && can_be_left;
        self.check(is_right, &format!("its heartbeat has the model {found:?}, not {asked:?}"));
    }

    /// Checks that everything that is to be done once was done.
    fn was_given_what_is_owed(&mut self) {
        let owed = |owed: Option<Since>| owed.filter(|since| self.was_proven(*since));
        let (wake, reset, bootstrap) =
            (owed(self.wanted.wake), owed(self.wanted.reset), owed(self.wanted.bootstrap));
        if let Some(since) = wake {
            let mark = self.sent(since.place).mark;
            let was_sent = self.sight.wakes.iter().any(|(sent, _)| *sent == mark);
            self.check(was_sent, &format!("woken-m{mark:05} was never sent"));
        }
        if let Some(since) = reset {
            let was_reset = self.sight.resets.iter().any(|at| *at >= since.at);
            self.check(was_reset, &format!("its session was not reset since {}", since.at));
        }
        if let Some(since) = bootstrap {
            let was_written = self.sight.bootstraps.iter().any(|at| *at >= since.at);
            let is_there = self.sight.has_bootstrap || was_written;
            self.check(is_there, &format!("BOOTSTRAP.md is missing since {}", since.at));
        }
    }
}

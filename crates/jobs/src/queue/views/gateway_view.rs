//! What the queue knows of each gateway, kept by the scripts.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use mission_core::model::Gateway;
use mission_core::sanitize::one_line;

use crate::queue::Counts;
use crate::queue::states::State;
use crate::queue::views::job_view::{LastFailure, MAX_NAME};

/// A gateway that jobs have come for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GatewayRecord {
    /// Its id, which is the lane.
    pub id: Uuid,
    /// What people call it, as the document of the last job that ran said.
    pub name: Option<String>,
    /// Its url there, without secrets.
    pub url: Option<String>,
    /// Its certificate is not looked at.
    pub insecure_tls: bool,
    /// What it said of itself when a job last reached it; see
    /// [`mission_core::outcome::GatewayFacts`].
    pub version: Option<String>,
    /// See there.
    pub protocol: Option<u32>,
    /// See there.
    pub roster: Option<String>,
    /// See there.
    pub write_limit: Option<String>,
    /// See there.
    pub restarts_on_write: bool,
    /// The scopes that it granted, where it says.
    pub scopes: Option<Vec<String>>,
    /// How many turns a day its agents' heartbeats cost, where that is known.
    pub heartbeat_turns_per_day: Option<u64>,
    /// When a job last met it restarting.
    pub restarted_at_ms: Option<u64>,
    /// Since when the job has been ready that comes next.
    pub waiting_since_ms: Option<u64>,
    /// How many of its jobs are in each state.
    pub jobs: Counts,
    /// How runs ended lately, oldest first: each five minutes in which any did, of the hour before
    /// the last of them.
    #[serde(default)]
    pub recent: Vec<Recent>,
    /// The worker that runs jobs of it now.
    pub owner: Option<String>,
    /// How often in a row it could not be reached.
    pub failures: u32,
    /// Until when it is left alone, in milliseconds since 1970 by Redis's clock.
    pub held_until_ms: Option<u64>,
    /// When a job last reached it.
    pub reached_at_ms: Option<u64>,
    /// When a job last met a failure that concerns all of its jobs, and which.
    pub failed_at_ms: Option<u64>,
    /// See there.
    pub failure: Option<LastFailure>,
}

/// How runs ended within five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recent {
    /// When the five minutes began, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// Runs that did their job.
    pub done: u64,
    /// Runs that failed, whatever became of the job.
    pub failed: u64,
}

impl Recent {
    /// How long each is.
    pub const SPAN_MS: u64 = 300_000;

    fn of(slot: u64, done: u64, failed: u64) -> Option<Self> {
        Some(Self { at_ms: slot.checked_mul(Self::SPAN_MS)?, done, failed })
    }

    /// Reads one that is over, as `ack.lua` writes it: numbers with spaces between.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut number = || numbers.next()?.ok();
        Self::of(number()?, number()?, number()?)
    }
}

impl GatewayRecord {
    pub(crate) fn read(id: &str, fields: &HashMap<String, String>) -> Option<Self> {
        let number = |name: &str| fields.get(name).and_then(|text| text.parse::<u64>().ok());
        let count = |state: State| Some((state, number(state.as_str())?));
        let json = |name: &str| -> Value {
            fields.get(name).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
        };
        let (about, facts) = (json("about"), json("facts"));
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let text = |of: &Value, name: &str| of.get(name).and_then(word);
        let counted = |name: &str| number(name).unwrap_or_default();
        let past = fields
            .get("recent")
            .into_iter()
            .flat_map(|past| past.split(';'))
            .filter_map(Recent::read);
        let now = number("slot")
            .and_then(|slot| Recent::of(slot, counted("slot_done"), counted("slot_failed")));
        Some(Self {
            id: id.parse().ok()?,
            name: about["name"].as_str().map(|name| one_line(name, MAX_NAME)),
            url: text(&about, "url"),
            insecure_tls: about["insecure_tls"] == true,
            version: text(&facts, "version"),
            protocol: facts["protocol"].as_u64().and_then(|protocol| u32::try_from(protocol).ok()),
            roster: text(&facts, "roster"),
            write_limit: text(&facts, "write_limit"),
            restarts_on_write: facts["restarts_on_write"] == true,
            scopes: facts["scopes"]
                .as_array()
                .map(|scopes| scopes.iter().filter_map(word).collect()),
            heartbeat_turns_per_day: facts["heartbeat_turns_per_day"].as_u64(),
            restarted_at_ms: number("restarted_at"),
            waiting_since_ms: number("waiting_since"),
            jobs: Counts(State::ALL.into_iter().filter_map(count).collect()),
            recent: past.chain(now).collect(),
            owner: fields.get("owner").cloned(),
            failures: number("failures")
                .and_then(|failures| u32::try_from(failures).ok())
                .unwrap_or_default(),
            held_until_ms: number("held_until"),
            reached_at_ms: number("reached_at"),
            failed_at_ms: number("failed_at"),
            failure: fields.get("failure").and_then(|json| serde_json::from_str(json).ok()),
        })
    }

    /// Whether it could not be reached when it was last tried.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.failures > 0
    }
}

/// What a document says of its gateway, as people may see it; JSON.
pub(crate) fn about(gateway: &Gateway) -> String {
    let mut about = json!({ "name": gateway.name, "url": shown_url(gateway) });
    if gateway.allow_insecure_tls {
        about["insecure_tls"] = Value::from(true);
    }
    about.to_string()
}

/// Its url without what may be a secret: people put tokens into urls.
pub(crate) fn shown_url(gateway: &Gateway) -> String {
    let mut url = gateway.url.clone();
    if url.password().is_some() {
        // Fails only for urls without a host, and those are refused.
        let _ = url.set_password(Some("***"));
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.into()
}

//! What the queue knows of each gateway, kept by the scripts.

use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

use super::Counts;
use super::record::LastFailure;
use super::states::State;

/// A gateway that jobs have come for.
#[derive(Debug, Clone, Serialize)]
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
    /// What it said of itself when a job last reached it; see [`mission_core::outcome::GatewayFacts`].
    pub version: Option<String>,
    /// See there.
    pub protocol: Option<u32>,
    /// See there.
    pub roster: Option<String>,
    /// See there.
    pub write_limit: Option<String>,
    /// See there.
    pub restarts_on_write: bool,
    /// When a job last met it restarting.
    pub restarted_at_ms: Option<u64>,
    /// Since when the job has been ready that comes next.
    pub waiting_since_ms: Option<u64>,
    /// How many of its jobs are in each state.
    pub jobs: Counts,
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

impl GatewayRecord {
    pub(super) fn read(id: &str, fields: &HashMap<String, String>) -> Option<Self> {
        let number = |name: &str| fields.get(name).and_then(|text| text.parse::<u64>().ok());
        let count = |state: State| Some((state, number(state.as_str())?));
        Some(Self {
            id: id.parse().ok()?,
            name: None,
            url: None,
            insecure_tls: false,
            version: None,
            protocol: None,
            roster: None,
            write_limit: None,
            restarts_on_write: false,
            restarted_at_ms: number("restarted_at"),
            waiting_since_ms: None,
            jobs: Counts(State::ALL.into_iter().filter_map(count).collect()),
            owner: fields.get("owner").cloned(),
            failures: number("failures").and_then(|failures| u32::try_from(failures).ok()).unwrap_or_default(),
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

//! The state of each gateway, as the scripts keep it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use mission_core::Failure;
use mission_core::model::Gateway;
use mission_core::outcome::GatewayFacts;
use mission_core::sanitize::one_line;

use crate::queue::Counts;
use crate::queue::redis::fields::Fields;
use crate::queue::states::State;
use crate::queue::views::job_view::MAX_NAME;

/// A gateway for which jobs have been enqueued. Times are milliseconds since 1970 by Redis's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GatewayRecord {
    /// The gateway's id, which is the lane.
    pub id: Uuid,
    /// The name from the document of the last job that ran; none if it is empty.
    pub name: Option<String>,
    /// The url from the same document, without secrets.
    pub url: Option<String>,
    /// `true` if the gateway's certificate is not checked.
    pub insecure_tls: bool,
    /// The version that the gateway reported when a job last reached it; see
    /// [`mission_core::outcome::GatewayFacts`] for this and the next four.
    pub version: Option<String>,
    /// The version of the protocol that was agreed with it.
    pub protocol: Option<u32>,
    /// The way in which its config keeps agents: `list` or `entries`.
    pub roster: Option<String>,
    /// The number of config writes that it allows, such as `3 per 60s`; none until it has refused
    /// one.
    pub write_limit: Option<String>,
    /// `true` if it was seen to restart after a config write.
    pub restarts_on_write: bool,
    /// The scopes that it granted, if it reports them.
    pub scopes: Option<Vec<String>>,
    /// The number of turns per day that its agents' heartbeats cost, if it is known.
    pub heartbeat_turns_per_day: Option<u64>,
    /// The time when a job last met it restarting.
    pub restarted_at_ms: Option<u64>,
    /// The time since which the job that comes next has been ready.
    pub waiting_since_ms: Option<u64>,
    /// The number of its jobs in each state.
    pub jobs: Counts,
    /// The ends of runs in the hour before the latest one, oldest first: one entry for each five
    /// minutes in which any run ended.
    #[serde(default)]
    pub recent: Vec<Recent>,
    /// The worker that runs its jobs now.
    pub owner: Option<String>,
    /// The number of runs in a row that could not reach it.
    pub failures: u32,
    /// The time until which it is left alone.
    pub held_until_ms: Option<u64>,
    /// The time when a job last reached it.
    pub reached_at_ms: Option<u64>,
    /// The time when a job last met a failure that concerns all jobs of the gateway.
    pub failed_at_ms: Option<u64>,
    /// The failure that it met then.
    pub failure: Option<Failure>,
}

/// The ends of runs within five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recent {
    /// The start of the five minutes, in milliseconds since 1970 by Redis's clock.
    pub at_ms: u64,
    /// The number of runs that succeeded.
    pub done: u64,
    /// The number of runs that failed, whatever happened to the job then.
    pub failed: u64,
}

impl Recent {
    /// The length of each entry: five minutes, in milliseconds.
    pub const SPAN_MS: u64 = 300_000;

    fn of(slot: u64, done: u64, failed: u64) -> Option<Self> {
        Some(Self { at_ms: slot.checked_mul(Self::SPAN_MS)?, done, failed })
    }

    /// Reads a past entry as `ack.lua` writes it: numbers separated by spaces.
    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut number = || numbers.next()?.ok();
        Self::of(number()?, number()?, number()?)
    }
}

impl GatewayRecord {
    pub(crate) fn read(id: &str, fields: &Fields) -> Option<Self> {
        let count = |state: State| Some((state, fields.parse(state.as_str())?));
        let about: About = fields.json("about").unwrap_or_default();
        let facts: Option<GatewayFacts> = fields.json("facts");
        let known = facts.is_some();
        let facts = facts.unwrap_or_default();
        let counted = |name: &str| fields.parse(name).unwrap_or_default();
        let past = fields.text("recent").unwrap_or_default();
        let now = fields
            .parse("slot")
            .and_then(|slot| Recent::of(slot, counted("slot_done"), counted("slot_failed")));
        Some(Self {
            id: id.parse().ok()?,
            name: about.name.and_then(|name| shown_name(&name)),
            url: about.url,
            insecure_tls: about.insecure_tls,
            version: known.then_some(facts.version),
            protocol: known.then_some(facts.protocol),
            roster: facts.roster,
            write_limit: facts.write_limit,
            restarts_on_write: facts.restarts_on_write,
            scopes: facts.scopes,
            heartbeat_turns_per_day: facts.heartbeat_turns_per_day,
            restarted_at_ms: fields.parse("restarted_at"),
            waiting_since_ms: fields.parse("waiting_since"),
            jobs: Counts(State::ALL.into_iter().filter_map(count).collect()),
            recent: past.split(';').filter_map(Recent::read).chain(now).collect(),
            owner: fields.text("owner"),
            failures: fields.parse("failures").unwrap_or_default(),
            held_until_ms: fields.parse("held_until"),
            reached_at_ms: fields.parse("reached_at"),
            failed_at_ms: fields.parse("failed_at"),
            failure: fields.json("failure"),
        })
    }

    /// Returns whether the last attempt to reach it failed.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        self.failures > 0
    }
}

/// The part of a document that describes its gateway, as people may see it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct About {
    name: Option<String>,
    url: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    insecure_tls: bool,
}

/// Returns the gateway as its document describes it, fit to be shown, as JSON.
pub(crate) fn about(gateway: &Gateway) -> String {
    let about = About {
        name: Some(gateway.name.clone()),
        url: Some(shown_url(gateway)),
        insecure_tls: gateway.allow_insecure_tls,
    };
    serde_json::to_string(&about).unwrap_or_default()
}

/// Returns a gateway's name, fit to be shown; none if it is empty.
pub(crate) fn shown_name(name: &str) -> Option<String> {
    Some(one_line(name, MAX_NAME)).filter(|name| !name.trim().is_empty())
}

/// Returns the gateway's url without possible secrets, because people put tokens into urls.
pub(crate) fn shown_url(gateway: &Gateway) -> String {
    let mut url = gateway.url.clone();
    if url.password().is_some() {
        // This fails only for urls without a host, which are refused.
        let _ = url.set_password(Some("***"));
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url.into()
}

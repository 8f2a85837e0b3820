//! Reads of the queue that pages share: people who look at the same time cause one read.

use mission_core::single_flight::SingleFlight;

use super::home::HomeReads;
use super::page_context::Glance;
use crate::stats_range::Range;

/// The reads that are in progress or have just ended.
#[derive(Default)]
pub(crate) struct SharedReads {
    /// The queue at a glance, which every page needs.
    pub(super) glance: SingleFlight<Glance>,
    /// The rest of the first page, by range.
    pub(super) home: [SingleFlight<HomeReads>; Range::ALL.len()],
}

//! The ranges of time that charts and series cover.

use mission_jobs::queue::StatsBucket;
use mission_jobs::{Queue, QueueError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The range of time of a chart or a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub enum Range {
    /// An hour, by minutes.
    #[default]
    #[serde(rename = "1h")]
    Hour,
    /// A day, by quarters of an hour.
    #[serde(rename = "24h")]
    Day,
    /// A week, by hours.
    #[serde(rename = "7d")]
    Week,
}

impl Range {
    /// All ranges, shortest first.
    pub(crate) const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// Returns the name in addresses, the range in words, its length in hours, and the length of a
    /// bucket in minutes.
    const fn parts(self) -> (&'static str, &'static str, u64, u64) {
        match self {
            Self::Hour => ("1h", "the last hour", 1, 1),
            Self::Day => ("24h", "the last 24 hours", 24, 15),
            Self::Week => ("7d", "the last 7 days", 168, 60),
        }
    }

    /// Returns the name in addresses.
    pub(crate) const fn name(self) -> &'static str {
        self.parts().0
    }

    /// Returns the range of that name, or an hour if there is none.
    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.name() == name).unwrap_or_default()
    }

    /// Returns the range in words.
    pub(crate) const fn words(self) -> &'static str {
        self.parts().1
    }

    /// Returns the length in hours.
    pub(crate) const fn hours(self) -> u64 {
        self.parts().2
    }

    /// Returns the length of a bucket in milliseconds.
    pub(crate) const fn bucket_ms(self) -> u64 {
        self.parts().3 * 60_000
    }

    /// Returns the number of buckets.
    pub(crate) const fn buckets(self) -> u64 {
        self.hours() * 3_600_000 / self.bucket_ms()
    }

    /// Reads the statistics of the range, oldest bucket first.
    pub(crate) async fn read(self, queue: &Queue) -> Result<Vec<StatsBucket>, QueueError> {
        match self {
            Self::Hour => queue.stats(self.buckets()).await,
            Self::Day => queue.quarters(self.buckets()).await,
            Self::Week => queue.hours(self.buckets()).await,
        }
    }
}

//! Looks for documents whose secrets are in Redis in plain text.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::queue::error::QueueError;
use crate::queue::{Filter, JobRecord, MAX_PAGE, Queue, State};
use crate::seal::has_plain_secret;

/// The most documents of records, and of jobs, that are looked at.
const MOST: usize = 500;

/// The documents with secrets in plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainSecrets {
    /// The number of documents with a secret that is not sealed.
    pub found: usize,
    /// The number of documents that were looked at.
    pub looked_at: usize,
    /// `false` if there are more documents than were looked at.
    pub complete: bool,
}

impl Queue {
    /// Counts the documents with a secret that is not sealed, among those that records of gateways
    /// and agents need and those of jobs that have not ended. Looks at some hundred of both.
    pub async fn plain_secrets(&self) -> Result<PlainSecrets, QueueError> {
        let mut places = self.some_record_documents(MOST + 1).await?;
        let mut complete = places.len() <= MOST;
        places = places.into_iter().take(MOST).collect();
        let mut room = MOST;
        for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
            let mut cursor = Some(Vec::new());
            while let Some(from) = cursor {
                let filter = Filter { cursor: from, limit: MAX_PAGE, ..Filter::new(state) };
                let page = self.list(&filter).await?;
                complete &= page.jobs.len() <= room;
                let place = |job: &JobRecord| Some((job.lane.parse().ok()?, job.id));
                places.extend(page.jobs.iter().take(room).filter_map(place));
                room = room.saturating_sub(page.jobs.len());
                cursor = page.next;
                if room == 0 {
                    complete &= cursor.is_none();
                    break;
                }
            }
        }
        let looked_at = places.len();
        let mut of_gateways: HashMap<Uuid, HashSet<(String, Uuid)>> = HashMap::new();
        for (gateway, id) in places {
            of_gateways.entry(gateway).or_default().insert((gateway.to_string(), id));
        }
        let mut found = 0;
        for (gateway, places) in of_gateways {
            let documents = self.shards.of_lane(gateway).await?.documents(places).await?;
            found += documents.values().filter(|document| has_plain_secret(document)).count();
        }
        Ok(PlainSecrets { found, looked_at, complete })
    }
}

//! The execution of a search: takes the narrowest way first, and examines a bounded number of jobs
//! per call.

use std::sync::Arc;

use mission_core::json;
use serde_json::Value;
use uuid::Uuid;

use super::cursor::EnqueuedAt;
use super::{Cursor, Found, Search};
use crate::queue::error::QueueError;
use crate::queue::redis::fields::Fields;
use crate::queue::redis::scripts::operators::{Documents, SearchRequest};
use crate::queue::redis::scripts::{Scripts, id_or_empty};
use crate::queue::states::State;
use crate::queue::views::job_view::{JobRecord, Names};
use crate::queue::{MAX_PAGE, Queue};

/// The most jobs that one script examines, and the most scripts of one search.
const LOOK: usize = 500;
const CALLS: usize = 4;
/// The most lists that one script receives.
const LISTS: usize = 100;
/// The name of the list of an agent's jobs.
const AGENT: &str = "agent";

impl Queue {
    /// Returns the jobs that match, at most `limit` (1 to [`MAX_PAGE`]): first those that need
    /// somebody, then the other live ones, then the ended ones, the latest of these first. The jobs
    /// of an agent come in the order of enqueueing, latest first.
    ///
    /// One call examines some thousand jobs. If it finds too few among them, the cursor tells the
    /// next call where to continue.
    pub async fn search(
        &self,
        search: &Search,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Found, QueueError> {
        let execution = Execution {
            queue: self,
            search,
            limit: limit.clamp(1, MAX_PAGE),
            found: Vec::new(),
            looked_at: 0,
        };
        match search.id.as_ref().filter(|id| id.len() == 36).and_then(|id| id.parse().ok()) {
            Some(id) => execution.one(id).await,
            None => execution.run(after.cloned()).await,
        }
    }

    /// Returns the jobs of an agent, at most `limit` (1 to [`MAX_PAGE`]), the latest enqueued
    /// first. The list ends where a job has been removed.
    pub async fn agent_jobs(
        &self,
        gateway: Uuid,
        agent: Uuid,
        limit: usize,
    ) -> Result<Vec<JobRecord>, QueueError> {
        let shard = self.shards.of_lane(gateway).await?;
        let (_, rows) = shard.chain(limit.clamp(1, MAX_PAGE), agent, Some(gateway), None).await?;
        Ok(rows.into_iter().filter_map(|fields| read(fields).map(|(job, _)| job)).collect())
    }
}

/// Reads a job with its names, and its document.
fn read(mut fields: Fields) -> Option<(JobRecord, Value)> {
    let document = fields.take("payload").unwrap_or_default();
    let document = json::read_to_show(&document);
    let mut job = JobRecord::read(fields.parse("id")?, &fields, &[])?;
    job.names = Names::of(&document);
    job.timeline.clear();
    Some((job, document))
}

/// A search in progress.
struct Execution<'a> {
    queue: &'a Queue,
    search: &'a Search,
    limit: usize,
    found: Vec<JobRecord>,
    looked_at: u64,
}

impl Execution<'_> {
    async fn one(mut self, id: Uuid) -> Result<Found, QueueError> {
        let (fields, _) = self.queue.shards.of_job(id).await?.get(id).await?;
        self.take(vec![fields], None);
        Ok(self.end(None))
    }

    async fn run(mut self, mut after: Option<Cursor>) -> Result<Found, QueueError> {
        let mut calls = CALLS;
        if self.search.agent.is_some() && after.as_ref().is_none_or(|after| after.list == AGENT) {
            match self.follow_chain(after, &mut calls).await? {
                Chain::End => return Ok(self.end(None)),
                Chain::More(cursor) => return Ok(self.end(Some(cursor))),
                Chain::Lost(cursor) => after = cursor,
            }
        }
        let lists = self.lists().await?;
        let next = self.look_through(&lists, after, calls).await?;
        Ok(self.end(next))
    }

    fn end(self, next: Option<Cursor>) -> Found {
        Found { jobs: self.found, next, looked_at: self.looked_at }
    }

    /// Keeps the jobs that match, of those enqueued before `until`, because earlier pages have
    /// shown the others.
    fn take(&mut self, rows: Vec<Fields>, until: Option<EnqueuedAt>) {
        for fields in rows {
            let is_new =
                until.is_none_or(|until| enqueued_at(&fields).is_some_and(|at| at < until));
            if let Some((job, document)) = read(fields).filter(|_| is_new)
                && self.search.fits(&job, &document)
            {
                self.found.push(job);
            }
        }
    }

    /// Follows the chain of an agent's jobs, each of which names the one before it, as far as it is
    /// complete.
    async fn follow_chain(
        &mut self,
        after: Option<Cursor>,
        calls: &mut usize,
    ) -> Result<Chain, QueueError> {
        let Some(agent) = self.search.agent else { return Ok(Chain::Lost(None)) };
        let mut last = after.map(|after| (after.id, after.until));
        let shard = self.shard_of_agent(agent, last.map(|(id, _)| id)).await?;
        let Some(shard) = shard else { return Ok(Chain::Lost(None)) };
        loop {
            let left = self.limit - self.found.len();
            // A job that matches may be among many that do not.
            let most = if self.search.is_narrow() { MAX_PAGE } else { left };
            let (behind, rows) =
                shard.chain(most, agent, self.search.gateway, last.map(|(id, _)| id)).await?;
            *calls -= 1;
            for fields in rows {
                self.looked_at += 1;
                last = fields.parse("id").map(|id| (id, enqueued_at(&fields))).or(last);
                self.take(vec![fields], None);
                if self.found.len() == self.limit {
                    break;
                }
            }
            let cursor =
                last.map(|(id, until)| Cursor { list: AGENT.to_owned(), score: 0, id, until });
            let full = self.found.len() == self.limit;
            match (behind.as_str(), cursor) {
                (_, Some(cursor)) if full => return Ok(Chain::More(cursor)),
                ("more", Some(cursor)) if *calls <= 1 => return Ok(Chain::More(cursor)),
                ("more", Some(_)) => {}
                ("end", _) => return Ok(Chain::End),
                (_, cursor) => return Ok(Chain::Lost(cursor)),
            }
        }
    }

    /// Returns the lists that hold all jobs that can match.
    async fn lists(&self) -> Result<Vec<String>, QueueError> {
        let Search { states, error, gateway, .. } = self.search;
        if let Some(error) = error {
            let gateway = id_or_empty(*gateway);
            let (code, method) = error.split_once('/').unwrap_or((error, ""));
            let of = [gateway.as_str(), code, method];
            let groups = self.queue.shards.ask(|shard| async move { shard.group_keys(of).await });
            let groups = groups.await?;
            let mut lists: Vec<_> =
                groups.iter().flatten().map(|key| format!("-group:{key}")).collect();
            lists.sort_unstable();
            return Ok(lists);
        }
        let wanted = |state: &State| states.is_empty() || states.contains(state);
        let sign = |state: State| if state.is_terminal() { '-' } else { '+' };
        Ok(State::BY_URGENCY
            .into_iter()
            .filter(wanted)
            .map(|state| format!("{}state:{state}", sign(state)))
            .collect())
    }

    /// Searches the lists. Returns the cursor of the next page, if there may be more.
    async fn look_through(
        &mut self,
        lists: &[String],
        after: Option<Cursor>,
        calls: usize,
    ) -> Result<Option<Cursor>, QueueError> {
        let until = after.as_ref().and_then(|after| after.until);
        let mut place = after.filter(|after| after.list != AGENT);
        let texts = self.search.needles();
        let lane = id_or_empty(self.search.gateway);
        for _ in 0..calls.max(1) {
            // A list may be gone; the search then continues with those behind it.
            let left = lists_from(lists, place.as_ref());
            let some = &left[..left.len().min(LISTS)];
            if some.is_empty() {
                return Ok(None);
            }
            let after = place.take().filter(|place| some[0] == place.list);
            let request = SearchRequest {
                to_find: self.limit - self.found.len(),
                // Documents are as large as everything else together.
                to_look: if self.search.documents() == Documents::Not { LOOK } else { LOOK / 2 },
                lane: &lane,
                documents: self.search.documents(),
                prefix: self.search.id.as_deref().unwrap_or_default(),
                after: after.map(|after| (after.score, after.id)),
                lists: some,
                texts: &texts,
            };
            let (rows, stopped) = self.ask(&request).await?;
            let cursor = |(list, score, id): Place| {
                let (score, id) = if is_down(&some[list]) { (-score, !id) } else { (score, id) };
                let (list, score) = (some[list].clone(), score.unsigned_abs());
                Cursor { list, score, id: Uuid::from_u128(id), until }
            };
            let mut full_at = None;
            for (place, fields) in rows {
                self.take(vec![fields], until);
                if self.found.len() == self.limit {
                    full_at = Some(place);
                    break;
                }
            }
            place = match (full_at.or(stopped), left.get(LISTS)) {
                (Some(place), _) => Some(cursor(place)),
                // The next page begins at the start of the next list.
                (None, Some(list)) => {
                    Some(Cursor { list: list.clone(), score: LATEST, id: Uuid::max(), until })
                }
                (None, None) => return Ok(None),
            };
            if self.found.len() == self.limit {
                break;
            }
        }
        Ok(place)
    }

    /// Asks the shards that can have jobs of the gateway. Returns what they found in order up to the
    /// first place at which one of them stopped, and that place.
    async fn ask(
        &mut self,
        request: &SearchRequest<'_>,
    ) -> Result<(Vec<(Place, Fields)>, Option<Place>), QueueError> {
        let shards = &self.queue.shards;
        let answers = match self.search.gateway {
            Some(gateway) => vec![shards.of_lane(gateway).await?.search(request).await?],
            None => shards.ask(|shard| async move { shard.search(request).await }).await?,
        };
        let place = |list: usize, score: f64, id: Uuid| -> Option<Place> {
            #[expect(clippy::cast_possible_truncation, reason = "a time after 1970")]
            let (list, score, id) = (list.checked_sub(1)?, score as i64, id.as_u128());
            let down = is_down(request.lists.get(list)?);
            Some(if down { (list, -score, !id) } else { (list, score, id) })
        };
        let mut rows = Vec::new();
        let mut stopped = None::<Place>;
        for (stopped_in, score, id, looked_at, found, places) in answers {
            self.looked_at += looked_at;
            let end = place(stopped_in, score, id.parse().unwrap_or_default());
            stopped = stopped.into_iter().chain(end).min();
            rows.extend(found.into_iter().zip(places).filter_map(|(fields, (list, score))| {
                Some((place(list, score, fields.parse("id")?)?, fields))
            }));
        }
        rows.retain(|(place, _)| stopped.is_none_or(|stopped| *place <= stopped));
        rows.sort_by_key(|(place, _)| *place);
        Ok((rows, stopped))
    }

    /// Returns the shard with the jobs of the agent; none if no shard knows it, or several do.
    async fn shard_of_agent(
        &self,
        agent: Uuid,
        last: Option<Uuid>,
    ) -> Result<Option<Arc<Scripts>>, QueueError> {
        let shards = &self.queue.shards;
        if let Some(gateway) = self.search.gateway {
            return Ok(Some(shards.of_lane(gateway).await?.clone()));
        }
        if shards.all().len() == 1 {
            return Ok(Some(shards.first().clone()));
        }
        if let Some(last) = last {
            return Ok(Some(shards.of_job(last).await?.clone()));
        }
        let known = shards.ask(|shard| async move { shard.chain(1, agent, None, None).await });
        let known = known.await?.into_iter().zip(shards.all());
        let mut known = known.filter(|((behind, _), _)| behind != "unknown");
        let (first, second) = (known.next(), known.next());
        Ok(first.filter(|_| second.is_none()).map(|(_, shard)| shard.clone()))
    }
}

/// The place of a job among the lists of a search: list, score and id, which count downwards in a
/// list that does.
type Place = (usize, i64, u128);

fn is_down(list: &str) -> bool {
    list.starts_with('-')
}

/// A score that is later than any time that Redis can keep.
const LATEST: u64 = 9_007_199_254_740_991;

/// The way in which following a chain ended.
enum Chain {
    /// The chain is complete, and no job is left.
    End,
    More(Cursor),
    /// The chain is broken; jobs up to this cursor were seen.
    Lost(Option<Cursor>),
}

fn enqueued_at(fields: &Fields) -> Option<EnqueuedAt> {
    Some(EnqueuedAt { at_ms: fields.parse("enqueued_at")?, seq: fields.parse("seq")? })
}

fn lists_from<'a>(lists: &'a [String], place: Option<&Cursor>) -> &'a [String] {
    let Some(place) = place else { return lists };
    let same = lists.iter().position(|list| *list == place.list);
    let behind = || lists.iter().position(|list| *list > place.list).unwrap_or(lists.len());
    &lists[same.unwrap_or_else(behind)..]
}

impl Search {
    /// Returns whether the search has more than an agent and a gateway.
    fn is_narrow(&self) -> bool {
        *self != Self { agent: self.agent, gateway: self.gateway, ..Self::default() }
    }

    /// Returns whether the script must search documents, and in which case.
    fn documents(&self) -> Documents {
        match (self.words.is_empty(), self.board) {
            (false, _) => Documents::Lower,
            (true, Some(_)) => Documents::AsTheyAre,
            (true, None) => Documents::Not,
        }
    }

    /// Returns texts that the stored form of every matching job contains.
    fn needles(&self) -> Vec<String> {
        let ids =
            [self.gateway, self.agent, self.board].into_iter().flatten().map(|id| id.to_string());
        let kind = self.kind.map(|kind| kind.as_str().to_owned());
        // Code and method are stored separately.
        let error = self.error.iter().flat_map(|error| error.split('/')).map(str::to_owned);
        let words = self.words.iter().map(|word| plain_part(word));
        let all = ids.chain(kind).chain(error).chain(words).filter(|text| !text.is_empty());
        if self.documents() == Documents::Lower {
            all.map(|text| text.to_ascii_lowercase()).collect()
        } else {
            all.collect()
        }
    }
}

/// Returns the longest part of a word that is stored unchanged. Letters of other alphabets and some
/// signs may be stored as escapes, and Redis does not convert their case.
fn plain_part(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\"\\/<>&'+".contains(c) || c == ' ';
    let parts = word.split(|c| !is_plain(c));
    parts.max_by_key(|part| part.len()).unwrap_or_default().to_ascii_lowercase()
}

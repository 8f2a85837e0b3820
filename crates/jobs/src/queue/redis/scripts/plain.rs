//! The reads that need no script.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value, cmd, pipe};
use uuid::Uuid;

use super::{Scripts, is_repeated};
use crate::queue::error::QueueError;
use crate::queue::redis::fields::Fields;
use crate::queue::redis::server;
use crate::queue::worker::records::documents_of;

/// The most hashes that one pipeline reads, so that other clients are served in between.
const AT_ONCE: usize = 100;

/// The entries of a stream: their ids, and their fields.
pub(crate) type Entries = Vec<(String, Fields)>;

impl Scripts {
    /// Returns the documents of these jobs, each given with its lane. Those that are gone are left
    /// out.
    pub(crate) async fn documents(
        &self,
        ids: HashSet<(String, Uuid)>,
    ) -> Result<HashMap<Uuid, Vec<u8>>, QueueError> {
        let mut of_lanes: HashMap<String, Vec<Uuid>> = HashMap::new();
        let mut found = HashMap::with_capacity(ids.len());
        for (lane, id) in ids {
            of_lanes.entry(lane).or_default().push(id);
        }
        let lanes: Vec<_> = of_lanes.iter().collect();
        for some in lanes.chunks(AT_ONCE) {
            let mut pipeline = pipe();
            for (lane, ids) in some {
                let names: Vec<String> = ids.iter().map(Uuid::to_string).collect();
                pipeline.cmd("HMGET").arg(self.keys.documents(lane)).arg(names);
            }
            pipeline.ignore_errors();
            let failed = |error| QueueError::from_redis("documents", &error);
            let documents: Vec<RedisResult<Vec<Option<Vec<u8>>>>> = self
                .connection
                .request(async |mut redis| pipeline.query_async(&mut redis).await)
                .await
                .map_err(failed)?;
            for ((_, ids), documents) in some.iter().zip(documents) {
                match documents {
                    Ok(documents) => {
                        let there = ids.iter().zip(documents);
                        found.extend(there.filter_map(|(id, document)| Some((*id, document?))));
                    }
                    // Somebody has put something else there: only this gateway's are missing.
                    Err(error) if error.code() == Some("WRONGTYPE") => {}
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        Ok(found)
    }

    /// Returns the jobs whose documents any record needs, as lanes and ids. Stops when it has found
    /// so many records of either kind.
    pub(crate) async fn record_documents(
        &self,
        most: usize,
    ) -> Result<HashSet<(Uuid, Uuid)>, QueueError> {
        let mut found = [Vec::new(), Vec::new()];
        for (key, found) in [self.keys.agents(), self.keys.connections()].iter().zip(&mut found) {
            let mut cursor = 0_u64;
            loop {
                let mut scan = cmd("HSCAN");
                scan.arg(key).arg(cursor).arg("COUNT").arg(AT_ONCE);
                let (next, records): (u64, Vec<(String, Vec<u8>)>) =
                    self.read("records", &scan).await?;
                found.extend(records);
                if next == 0 || found.len() >= most {
                    break;
                }
                cursor = next;
            }
        }
        Ok(documents_of(&found[0], &found[1]))
    }

    /// Returns Redis's clock in minutes.
    pub(crate) async fn minute(&self) -> Result<u64, QueueError> {
        let (seconds, _): (u64, u64) = self.read("time", &cmd("TIME")).await?;
        Ok(seconds / 60)
    }

    /// Returns the counters under each of these keys.
    pub(crate) async fn stats_counters(
        &self,
        keys: &[String],
    ) -> Result<Vec<HashMap<String, u64>>, QueueError> {
        let mut found = Vec::with_capacity(keys.len());
        for some in keys.chunks(AT_ONCE) {
            let mut pipeline = pipe();
            for key in some {
                pipeline.hgetall(key);
            }
            let counters = self
                .connection
                .request(async |mut redis| pipeline.query_async(&mut redis).await)
                .await
                .map_err(|error| QueueError::from_redis("counters", &error));
            found.extend::<Vec<_>>(counters?);
        }
        Ok(found)
    }

    /// Returns the minute up to which minutes have been added up; none if that has not begun.
    pub(crate) async fn rolled(&self) -> Result<Option<u64>, QueueError> {
        self.read("rolled", cmd("GET").arg(self.keys.rolled())).await
    }

    /// Returns the entries of the audit before this one, which may be included, or the
    /// latest, newest first.
    pub(crate) async fn audit(
        &self,
        before: Option<&str>,
        inclusive: bool,
        limit: usize,
    ) -> Result<Entries, QueueError> {
        let from = match before {
            Some(id) if inclusive => id.to_owned(),
            Some(id) => format!("({id}"),
            None => "+".to_owned(),
        };
        self.read(
            "audit",
            cmd("XREVRANGE").arg(self.keys.audit()).arg(from).arg("-").arg("COUNT").arg(limit),
        )
        .await
    }

    /// Returns restarts as lanes and times, the latest first.
    pub(crate) async fn restarts(&self, limit: usize) -> Result<Vec<String>, QueueError> {
        self.read(
            "restarts",
            cmd("ZREVRANGE").arg(self.keys.restarts()).arg(0).arg(limit.max(1) - 1),
        )
        .await
    }

    /// Returns the id of the last event, if there is any.
    pub(crate) async fn latest_event(&self) -> Result<Option<String>, QueueError> {
        let mut command = cmd("XREVRANGE");
        command.arg(self.keys.events()).arg("+").arg("-").arg("COUNT").arg(1);
        let last: Entries = self.read("events", &command).await?;
        Ok(last.into_iter().next().map(|(id, _)| id))
    }

    /// Returns the events after this one; waits for the first if there are none.
    pub(crate) async fn events(
        &self,
        after: &str,
        wait: Duration,
        limit: usize,
    ) -> Result<Entries, QueueError> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(limit);
        if !wait.is_zero() {
            command.arg("BLOCK").arg(super::millis(wait).max(1));
        }
        command.arg("STREAMS").arg(self.keys.events()).arg(after);
        let streams: Option<Vec<(String, Entries)>> = if wait.is_zero() {
            self.read("events", &command).await?
        } else {
            self.listening.block("events", "XREAD", &command, wait).await?
        };
        Ok(streams.into_iter().flatten().flat_map(|(_, entries)| entries).collect())
    }

    /// Returns INFO, and the relevant settings; none of these if this user may not ask.
    pub(crate) async fn server(
        &self,
    ) -> Result<(String, Option<HashMap<String, String>>), QueueError> {
        // The settings are read one by one, because a cluster's client would ask every node for
        // more.
        let info: Value = self.read("info", &cmd("INFO")).await?;
        let mut config = HashMap::new();
        for name in ["appendfsync", "save"] {
            match self
                .read::<HashMap<String, String>>("config", cmd("CONFIG").arg("GET").arg(name))
                .await
            {
                Ok(values) => config.extend(values),
                Err(QueueError::Unavailable { .. } | QueueError::Script { .. }) => {
                    return Ok((text(&info), None));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((text(&info), Some(config)))
    }

    /// Returns the policy for a full memory; none if this user or this server does not tell it.
    pub(crate) async fn eviction(&self) -> Result<Option<String>, QueueError> {
        let ask = cmd("INFO").arg("memory").clone();
        let info: RedisResult<Value> =
            self.connection.request(async |mut redis| ask.query_async(&mut redis).await).await;
        match info {
            Ok(info) => Ok(server::eviction(&text(&info))),
            Err(error) if error.code() == Some("NOPERM") => Ok(None),
            Err(error) => match QueueError::from_redis("info", &error) {
                QueueError::Script { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Returns the answers to several commands.
    pub(crate) async fn read_all<T: FromRedisValue>(
        &self,
        what: &'static str,
        commands: &Pipeline,
    ) -> Result<Vec<T>, QueueError> {
        self.connection
            .request(async |mut redis| commands.query_async(&mut redis).await)
            .await
            .map_err(|error| QueueError::from_redis(what, &error))
    }

    /// Names the keys of a wrong type in an error that one of them has caused.
    pub(crate) async fn named<T>(&self, answer: Result<T, QueueError>) -> Result<T, QueueError> {
        let Err(QueueError::WrongType { command, what }) = answer else { return answer };
        let keys = self.keys.with_types();
        let mut types = pipe();
        for (key, _) in &keys {
            types.cmd("TYPE").arg(key);
        }
        let ask = self.connection.request(async |mut redis| types.query_async(&mut redis).await);
        let found: Vec<String> = ask.await.unwrap_or_default();
        let wrong: Vec<String> = keys
            .iter()
            .zip(&found)
            .filter(|((_, wanted), found)| found != wanted && *found != "none")
            .map(|((key, wanted), found)| format!("{key} is a {found}, not a {wanted}"))
            .collect();
        let what = if wrong.is_empty() { what } else { wrong.join(", ") };
        Err(QueueError::WrongType { command, what })
    }

    /// Sends a command, which may be sent twice, like [`Self::run`].
    pub(crate) async fn read<T: FromRedisValue>(
        &self,
        what: &'static str,
        command: &Cmd,
    ) -> Result<T, QueueError> {
        let ask =
            || self.connection.request(async |mut redis| command.query_async(&mut redis).await);
        let mut result = ask().await;
        if result.as_ref().is_err_and(is_repeated) {
            result = ask().await;
        }
        self.named(result.map_err(|error| QueueError::from_redis(what, &error))).await
    }
}

/// Returns INFO. A cluster's client answers with that of all nodes, which follow each other here.
fn text(info: &Value) -> String {
    match info {
        Value::Map(nodes) => nodes.iter().map(|(_, info)| text(info) + "\n").collect(),
        info => String::from_redis_value_ref(info).unwrap_or_default(),
    }
}

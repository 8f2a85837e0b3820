//! The scripts as Redis runs them: functions of one library, or, where Redis refuses that, scripts
//! of their own.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Script, ToRedisArgs, Value, cmd};

use crate::queue::error::condition;
use crate::queue::redis::bundle::{Library, Source};
use crate::queue::redis::connection::{Connection, Live, is_answer};

/// The scripts of a queue. Calling a function costs Redis a small part of what starting a script
/// does, because a library keeps its definitions.
pub(crate) struct Functions {
    clock: String,
    library: Library,
    /// Known from the first call on: `false` if Redis refuses functions, because it is too old or
    /// this user may not use them.
    allowed: OnceLock<bool>,
    /// The scripts that were needed because functions are refused, by name.
    scripts: Mutex<HashMap<&'static str, Script>>,
}

impl Functions {
    /// Makes the functions from their sources and a definition of `now`.
    pub(crate) fn new(clock: &str, sources: &[Source]) -> Self {
        Self {
            clock: clock.to_owned(),
            library: Library::new(clock, sources),
            allowed: OnceLock::new(),
            scripts: Mutex::default(),
        }
    }

    /// Returns the name of the script behind a function's name in Redis, if it is one of these.
    pub(crate) fn script_of<'a>(&self, function: &'a str) -> Option<&'a str> {
        function.strip_prefix(&self.library.name)?.strip_prefix('_')
    }

    /// Runs a script once. `key` is the prefix of the queue's keys.
    pub(crate) async fn call<T: FromRedisValue>(
        &self,
        connection: &Connection,
        source: Source,
        key: &str,
        args: impl ToRedisArgs,
    ) -> RedisResult<T> {
        if *self.allowed.get().unwrap_or(&true) {
            let mut call = cmd("FCALL");
            call.arg(format!("{}_{}", self.library.name, source.name)).arg(1).arg(key).arg(&args);
            let answer = connection.request(async |redis| self.function(redis, &call).await);
            if let Some(answer) = answer.await? {
                return Ok(answer);
            }
        }
        let script = self.script(source);
        let mut call = script.key(key);
        call.arg(args);
        connection.request(async |mut redis| call.invoke_async(&mut redis).await).await
    }

    /// Calls a function, and loads the library if Redis lacks it. Returns none if Redis refuses
    /// functions.
    async fn function<T: FromRedisValue>(
        &self,
        mut redis: Live,
        call: &Cmd,
    ) -> RedisResult<Option<T>> {
        match call.query_async(&mut redis).await {
            // The functions themselves never answer with this code, so it has not been called.
            Err(error) if error.code() == Some("ERR") && condition(&error).is_none() => {
                if self.load(&mut redis).await? {
                    call.query_async(&mut redis).await.map(Some)
                } else {
                    Ok(None)
                }
            }
            // Later it is about a command that the function called, and it has done other things.
            Err(error) if error.code() == Some("NOPERM") && self.allowed.get() != Some(&true) => {
                self.refused(&error);
                Ok(None)
            }
            answer => answer.map(Some).inspect(|_| {
                let _ = self.allowed.set(true);
            }),
        }
    }

    /// Loads the library into Redis, in a cluster into every master. Returns whether it is there
    /// now.
    async fn load(&self, redis: &mut Live) -> RedisResult<bool> {
        let mut load = cmd("FUNCTION");
        load.arg("LOAD").arg("REPLACE").arg(&self.library.text);
        match load.query_async::<Value>(redis).await {
            Ok(_) => Ok(true),
            Err(error) if !is_answer(&error) => Err(error),
            Err(error) => {
                // Any other code, such as OOM, describes a condition that passes.
                if matches!(error.code(), Some("ERR" | "NOPERM")) && condition(&error).is_none() {
                    self.refused(&error);
                }
                Ok(false)
            }
        }
    }

    fn refused(&self, error: &RedisError) {
        if self.allowed.set(false).is_ok() {
            tracing::info!(%error, "Redis refuses functions, so scripts are used instead");
        }
    }

    fn script(&self, source: Source) -> Script {
        let mut scripts = self.scripts.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || Script::new(&source.script(&self.clock));
        scripts.entry(source.name).or_insert_with(make).clone()
    }
}

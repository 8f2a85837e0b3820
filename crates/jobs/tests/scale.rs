//! How long looking takes when there is a lot to look at. Prints figures and judges none: run it alone, with
//! `cargo test --release -p mission-jobs --test main scale -- --ignored --nocapture`.

use std::time::Instant;

use mission_jobs::queue::{Cursor, MAX_PAGE, Search};
use mission_jobs::{Queue, State};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};
use uuid::Uuid;

use crate::documents::update;
use crate::redis_server::RedisServer;
use crate::worker::put;

/// Makes copies of a job. KEYS prefix; ARGV the job, state, first and last number, failure code or empty, agents of all.
const COPY: &str = "local p = KEYS[1]
local now = tonumber(redis.call('TIME')[1]) * 1000
local packed, payload = unpack(redis.call('HMGET', p .. ':job:' .. ARGV[1], 'job', 'payload'))
local lanes = {}
for i = tonumber(ARGV[3]), tonumber(ARGV[4]) do
  local job = cmsgpack.unpack(packed)
  local id = string.format('%08x-0000-7000-8000-%012x', i, i)
  job.id, job.state, job.seq = id, ARGV[2], i
  job.lane = string.format('00000000-0000-0000-0000-%012x', i % 1000)
  job.subject = job.lane .. '/' .. string.format('00000000-0000-0000-0001-%012x', i % tonumber(ARGV[6]))
  job.enqueued_at, job.timeline = now - 5000000 + i, 'ready 1700000000000;running 1700000000001;' .. ARGV[2] .. ' 1700000000002'
  local latest = p .. ':latest:' .. job.subject
  local last = redis.call('GET', latest)
  job.before = last and last:match(' (.*)$') or ''
  redis.call('SET', latest, string.format('%.0f', i) .. ' ' .. id)
  if ARGV[5] ~= '' then
    job.failure = cjson.encode({ code = ARGV[5], message = 'it is not as it should be, ' .. i, scope = 'job' })
    job.group = job.lane .. '|' .. ARGV[5] .. '|'
    redis.call('ZADD', p .. ':group:' .. job.group, now, id)
    redis.call('ZADD', p .. ':groups', now, job.group)
    redis.call('HSET', p .. ':failures', job.group,
      cmsgpack.pack({ first_at = now, last_at = now, message = 'it is not as it should be', sample = id }))
  end
  redis.call('HSET', p .. ':job:' .. id, 'job', cmsgpack.pack(job), 'payload', payload)
  redis.call('ZADD', p .. ':state:' .. ARGV[2], now - 5000000 + i, id)
  lanes[job.lane] = (lanes[job.lane] or 0) + 1
end
for lane, count in pairs(lanes) do
  local packed = redis.call('HGET', p .. ':gateway', lane)
  local known = packed and cmsgpack.unpack(packed) or {}
  known[ARGV[2]] = (known[ARGV[2]] or 0) + count
  redis.call('HSET', p .. ':gateway', lane, cmsgpack.pack(known))
  redis.call('ZADD', p .. ':gateways', now, lane)
end";

async fn fill(redis: &RedisServer, queue: &Queue, ended: u64) {
    let template = update(1, 1);
    put(queue, &template).await;
    let mut connection = patient(redis).await;
    let script = Script::new(COPY);
    let mut first = 1;
    let shares = [
        ("done", ended * 90 / 100, ""),
        ("superseded", ended * 6 / 100, ""),
        ("cancelled", ended * 3 / 100, ""),
        ("dead", ended / 100, "template"),
        ("ready", 20_000, ""),
        ("scheduled", 10_000, ""),
        ("retrying", 10_000, "timeout"),
        ("snoozed", 5_000, "rate_limited"),
        ("blocked", 5_000, "pairing_required"),
    ];
    for (state, count, code) in shares {
        let end = first + count;
        while first < end {
            let last = (first + 5000).min(end) - 1;
            let mut call = script.prepare_invoke();
            call.key("{test}").arg(template.id.to_string()).arg(state).arg(first).arg(last).arg(code).arg(100_000);
            call.invoke_async::<()>(&mut connection).await.unwrap();
            first = last + 1;
        }
    }
}

async fn patient(redis: &RedisServer) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// Microseconds of CPU that Redis has used. By the clock it would be as long as the machine is busy with other things.
async fn cpu(redis: &RedisServer) -> f64 {
    let stats: String = redis.tell("INFO cpu").await;
    let seconds = |name: &str| -> f64 {
        stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok()).unwrap()
    };
    (seconds("used_cpu_user_main_thread") + seconds("used_cpu_sys_main_thread")) * 1e6
}

async fn measure<T, E: std::fmt::Debug>(
    redis: &RedisServer,
    what: &str,
    call: impl AsyncFn() -> Result<T, E>,
    found: impl Fn(&T) -> String,
) -> T {
    const TIMES: u32 = 5;
    let mut answer = call().await.unwrap();
    let (before, began) = (cpu(redis).await, Instant::now());
    for _ in 0..TIMES {
        answer = call().await.unwrap();
    }
    let (took, used) = (began.elapsed() / TIMES, (cpu(redis).await - before) / f64::from(TIMES));
    println!("{what:90} Redis {used:>7.0} µs   in all {:>8} µs   {}", took.as_micros(), found(&answer));
    answer
}

async fn search(redis: &RedisServer, queue: &Queue, text: &str) {
    let search: Search = text.parse().unwrap();
    let mut after: Option<Cursor> = None;
    for page in 1..=2 {
        let call = async || queue.search(&search, after.as_ref(), 50).await;
        let shown = |found: &mission_jobs::queue::Found| format!("{} of {}", found.jobs.len(), found.looked_at);
        let found = measure(redis, &format!("{text:?}, page {page}"), call, shown).await;
        let Some(next) = found.next else { return };
        after = Some(next);
    }
}

#[tokio::test]
#[ignore = "a gigabyte and some minutes"]
async fn looking_at_a_million_jobs() {
    let redis = RedisServer::start_with(|_| vec!["--appendonly".to_owned(), "no".to_owned()]).await;
    let queue = redis.queue();
    let ended = std::env::var("MISSION_SCALE_ENDED").map_or(1_000_000, |text| text.parse().unwrap());
    fill(&redis, &queue, ended).await;
    let counts = queue.counts().await.unwrap();
    let all: u64 = State::ALL.into_iter().map(|state| counts.of(state)).sum();
    println!("{all} jobs");
    let gateway = "00000000-0000-0000-0000-000000000007";
    let agent = "00000000-0000-0000-0001-000000000007";
    let rare = Uuid::from_u128(0xFFFF);
    for text in [
        String::new(),
        "state:done".to_owned(),
        "state:ready kind:cleanup".to_owned(),
        format!("gateway:{gateway}"),
        format!("gateway:{gateway} state:done"),
        format!("gateway:{gateway} agent:{agent}"),
        format!("agent:{agent}"),
        format!("agent:{rare}"),
        "error:pairing_required".to_owned(),
        format!("error:template gateway:{gateway}"),
        "should be, 990123".to_owned(),
        "nothingofthekind".to_owned(),
        format!("board:{rare}"),
        "id:000f0000".to_owned(),
        "id:000f0000-0000-7000-8000-0000000f0000".to_owned(),
    ] {
        search(&redis, &queue, &text).await;
    }
    let len = |all: usize| all.to_string();
    measure(&redis, "summary", async || queue.summary().await, |summary| summary.workers.to_string()).await;
    measure(&redis, "counts", async || queue.counts().await, |_| String::new()).await;
    measure(&redis, "gateways, 200", async || queue.gateways(MAX_PAGE).await, |all| len(all.len())).await;
    measure(&redis, "groups, 50", async || queue.groups(50).await, |all| len(all.len())).await;
    measure(&redis, "workers", async || queue.workers().await, |all| len(all.len())).await;
    measure(&redis, "audit", async || queue.audit(None, 50).await, |all| len(all.len())).await;
    let agent_jobs = async || queue.agent_jobs(gateway.parse().unwrap(), agent.parse().unwrap(), 50).await;
    measure(&redis, "jobs of an agent", agent_jobs, |all| len(all.len())).await;
    fill_minutes(&redis).await;
    measure(&redis, "stats, 60 minutes", async || queue.stats(60).await, |all| len(all.len())).await;
    measure(&redis, "stats, a day", async || queue.stats(1440).await, |all| len(all.len())).await;
    measure(&redis, "quarters, a day", async || queue.quarters(96).await, |all| len(all.len())).await;
    measure(&redis, "hours, a week", async || queue.hours(168).await, |all| len(all.len())).await;
}

/// Each minute of a day and each hour of a week has happened a lot.
async fn fill_minutes(redis: &RedisServer) {
    let script = "local now = math.floor(redis.call('TIME')[1] / 60)
        local function fill(key)
          for _, kind in ipairs({ 'provision', 'cleanup', 'heartbeat-sync', 'provision-main' }) do
            for bucket = 0, 15 do
              redis.call('HSET', key, kind .. '|wait|' .. bucket, 7, kind .. '|run|' .. bucket, 7)
            end
            redis.call('HSET', key, kind .. '|done', 100, kind .. '|enqueued', 100, kind .. '|retrying', 5)
          end
        end
        for i = 0, 1439 do fill(KEYS[1] .. ':minute:' .. (now - i)) end
        for i = 0, 95 do fill(KEYS[1] .. ':quarter:' .. (math.floor(now / 15) - i)) end
        for i = 0, 167 do fill(KEYS[1] .. ':hour:' .. (math.floor(now / 60) - i)) end
        redis.call('SET', KEYS[1] .. ':rolled', now - 1)";
    Script::new(script).key("{test}").invoke_async::<()>(&mut patient(redis).await).await.unwrap();
}

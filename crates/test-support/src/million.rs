//! A great many jobs of all states for measurements: copies of one job, made without the queue.

use mission_jobs::{Envelope, Queue};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Script};

use super::RedisServer;

/// Makes copies of a job. KEYS: prefix. ARGV: the job, state, first and last number, failure code
/// or empty, agents of all.
const COPY: &str = "local now, template = NOW, read(ARGV[1])
local payload, state = document_of(template), ARGV[2]
for i = tonumber(ARGV[3]), tonumber(ARGV[4]) do
  local job = copy(template)
  local id = string.format('%08x-0000-7000-8000-%012x', i, i)
  job.id, job.state, job.seq, job.since = id, state, i, now
  job.lane = string.format('00000000-0000-0000-0000-%012x', i % 1000)
  job.subject = job.lane .. '/'
    .. string.format('00000000-0000-0000-0001-%012x', i % tonumber(ARGV[6]))
  job.enqueued_at = now - 5000000 + i
  job.timeline = 'ready 1700000000000;running 1700000000001;' .. state .. ' 1700000000002'
  job.before = note_latest(job.subject, i, id)
  if ARGV[5] ~= '' then
    job.failure = cjson.encode({ code = ARGV[5], message = 'wrong state, ' .. i, scope = 'job' })
    job.group = job.lane .. '|' .. ARGV[5] .. '|'
    call('ZADD', K.group .. job.group, now, id)
    call('ZADD', K.groups, now, job.group)
    call('HSET', K.failures, job.group,
      cmsgpack.pack({ first_at = now, last_at = now, message = 'wrong state', sample = id }))
  end
  jobs[id] = job
  save(job)
  call('HSET', K.document .. job.lane, id, payload)
  call('ZADD', K.state .. state, now - 5000000 + i, id)
  local known = gateway(job.lane)
  known[state] = (known[state] or 0) + 1
  call('ZADD', K.gateways, now, job.lane)
end";

/// Adds `ended` ended jobs, and 50,000 live ones of 1000 gateways.
pub async fn fill(redis: &RedisServer, queue: &Queue, template: &Envelope, ended: u64) {
    queue.enqueue(std::slice::from_ref(template)).await.unwrap();
    let mut connection = patient(redis).await;
    let script = Script::new(&mission_jobs::queue::test_script(COPY));
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
        for first in (first..end).step_by(5000) {
            let last = (first + 5000).min(end) - 1;
            let mut call = script.key("{test}");
            call.arg(template.id.to_string()).arg((state, first, last, code, 100_000));
            call.invoke_async::<()>(&mut connection).await.unwrap();
        }
        first = end;
    }
}

async fn patient(redis: &RedisServer) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    redis.client().get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// Fills the counters of each minute of a day and each hour of a week.
pub async fn fill_minutes(redis: &RedisServer) {
    let script = "local now = math.floor(redis.call('TIME')[1] / 60)
        local function fill(key)
          for _, kind in ipairs({ 'provision', 'cleanup', 'heartbeat-sync', 'provision-main' }) do
            for bucket = 0, 15 do
              redis.call('HSET', key, kind .. '|wait|' .. bucket, 7, kind .. '|run|' .. bucket, 7)
            end
            redis.call('HSET', key, kind .. '|done', 100, kind .. '|enqueued', 100,
              kind .. '|retrying', 5)
          end
        end
        for i = 0, 1439 do fill(KEYS[1] .. ':minute:' .. (now - i)) end
        for i = 0, 95 do fill(KEYS[1] .. ':quarter:' .. (math.floor(now / 15) - i)) end
        for i = 0, 167 do fill(KEYS[1] .. ':hour:' .. (math.floor(now / 60) - i)) end
        redis.call('SET', KEYS[1] .. ':rolled', now - 1)";
    Script::new(script).key("{test}").invoke_async::<()>(&mut patient(redis).await).await.unwrap();
}

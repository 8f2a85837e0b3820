// The measurements: peers as processes beside a private Redis, and `worker bench`.
'use strict';

const { spawn } = require('node:child_process');
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { createInterface } = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const { output, QUIET } = require('./peers.js');

const CONCURRENCY = [10, 50, 100];
const SINGLES = 2000;
const LATENCIES = 300;
// The numbers of ended jobs that stay, where a queue can limit them.
const KEEP = 10_000;
const KEEP_COUNTED = 100;
// As in crates/jobs/src/private_redis.rs.
const REDIS = [
  '--port', '0', '--unixsocketperm', '700', '--daemonize', 'no', '--appendonly', 'yes',
  '--appendfsync', 'everysec', '--maxmemory-policy', 'noeviction',
  '--zset-max-listpack-entries', '32', '--save', '',
];

// Returns the same document as `worker bench`.
function document(number) {
  const gateway = number % 50;
  const id = (family, number) =>
    `0000000${family}-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
  return {
    version: 1,
    kind: 'provision',
    gateway: {
      id: id(1, gateway), name: `Gateway ${gateway}`, url: 'ws://127.0.0.1:9',
      token: 'token-of-the-gateway', workspace_root: '/srv/openclaw',
    },
    agent: {
      id: id(2, number), name: `Agent ${number}`, heartbeat_config: { every: '10m' },
      identity_profile: { role: 'Release manager', communication_style: 'direct, concise' },
    },
    board: {
      id: id(3, gateway), name: 'Launch', objective: 'Ship version 2',
      success_metrics: { open_bugs: 0 },
    },
    user: { name: 'Sam Rivera', timezone: 'Europe/Berlin' },
    auth_token: 'token-of-this-agent',
  };
}

// A private Redis with a peer that is connected to it.
class Arena {
  // Starts both, runs a function with them, and ends both. With `counted`, Redis runs under
  // callgrind, and the result of the function is the number of its instructions.
  static async with(peer, jobs, counted, use) {
    const arena = new Arena();
    arena.dir = mkdtempSync(join(tmpdir(), 'peers-'));
    arena.socket = join(arena.dir, 'redis.sock');
    const counts = join(arena.dir, 'counts');
    const valgrind = ['valgrind', '--tool=callgrind', '--quiet', `--callgrind-out-file=${counts}`];
    const [program, ...args] = [
      ...(counted ? valgrind : []), 'redis-server', ...REDIS, '--unixsocket', arena.socket,
      '--dir', arena.dir,
    ];
    const server = spawn(program, args, { stdio: 'ignore' });
    const ended = new Promise((resolve, reject) => {
      server.once('exit', resolve);
      server.once('error', reject);
    });
    // Whoever waits for the end learns of an error; until then it is not unhandled.
    ended.catch(() => {});
    try {
      await arena.answering(ended);
      await arena.startPeer(peer, jobs, counted);
      const result = await use(arena);
      await arena.endPeer();
      if (!counted) return result;
      arena.redis('shutdown', 'nosave');
      await ended;
      return Number(/^(?:totals|summary): (\d+)/m.exec(readFileSync(counts, 'utf8'))[1]);
    } finally {
      arena.peer?.kill();
      server.kill();
      await ended.catch(() => {});
      rmSync(arena.dir, { recursive: true });
    }
  }

  redis(...args) {
    return output('redis-cli', ['-s', this.socket, ...args], QUIET);
  }

  async answering(ended) {
    for (let tries = 0; tries < 600; tries += 1) {
      try {
        if (this.redis('ping').startsWith('PONG')) return;
      } catch {
        // It does not listen yet.
      }
      await Promise.race([sleep(100), ended]);
    }
    throw new Error('redis-server did not start');
  }

  async startPeer({ name, command: [program, ...args] }, jobs, counted) {
    const file = join(this.dir, 'documents');
    const documents = Array.from({ length: jobs }, (_, number) => JSON.stringify(document(number)));
    writeFileSync(file, `${documents.join('\n')}\n`);
    const env = { ...process.env, ...(counted ? { PEER_COUNTED: '1' } : {}) };
    this.peer = spawn(program, [...args, this.socket, file], {
      env, stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.peerName = name;
    this.peerEnded = new Promise((resolve) => this.peer.once('exit', resolve));
    this.lines = createInterface({ input: this.peer.stdout })[Symbol.asyncIterator]();
    await this.line('ready');
  }

  async endPeer() {
    this.peer.stdin.end();
    await this.peerEnded;
  }

  // Waits for a line that begins with a word, and returns its rest.
  async line(word) {
    const { value } = await this.lines.next();
    if (!value?.startsWith(word)) throw new Error(`${this.peerName} ended, or said: ${value}`);
    return value.slice(word.length).trim();
  }

  // Lets the peer carry out a command. Returns its answer, and the costs of each of `count` jobs.
  async ask(command, count, ...numbers) {
    const before = this.usage();
    const began = process.hrtime.bigint();
    this.peer.stdin.write(`${[command, count, ...numbers].join(' ')}\n`);
    const answer = await this.line('done');
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    const after = this.usage();
    await this.line('ready');
    return {
      answer,
      cost: {
        jobs_per_second: count / seconds,
        redis_cpu_us: (after.redis - before.redis) / count,
        process_cpu_us: (after.peer - before.peer) / count,
      },
    };
  }

  // Returns the CPU used so far, in microseconds; that of the peer in steps of 10,000.
  usage() {
    const info = this.redis('info', 'cpu');
    const seconds = (name) => Number(new RegExp(`${name}:([0-9.]+)`).exec(info)[1]);
    const stat = readFileSync(`/proc/${this.peer.pid}/stat`, 'utf8')
      .replace(/.*\) /, '').split(' ');
    return {
      redis: (seconds('used_cpu_user') + seconds('used_cpu_sys')) * 1e6,
      peer: (Number(stat[11]) + Number(stat[12])) * 10_000,
    };
  }
}

// Takes all timed measurements of a peer once. Returns the figures by phase.
function roundOf(peer, wanted) {
  const jobs = Math.min(wanted, peer.most ?? wanted);
  return Arena.with(peer, Math.max(jobs, LATENCIES + 1), false, async (arena) => {
    const figures = {};
    const singles = Math.min(jobs, SINGLES);
    figures['enqueue, one at a time'] = (await arena.ask('one', singles)).cost;
    for (const concurrency of CONCURRENCY) {
      arena.redis('flushall');
      const { cost } = await arena.ask('many', jobs);
      figures['enqueue, 50 at a time'] ??= cost;
      figures[`process, ${concurrency} at once`] =
        (await arena.ask('process', jobs, concurrency, KEEP)).cost;
    }
    arena.redis('flushall');
    const values = JSON.parse((await arena.ask('latency', LATENCIES)).answer);
    values.sort((one, other) => one - other);
    const at = (percent) => values[Math.ceil((values.length * percent) / 100) - 1];
    figures['latency of an idle worker'] = {
      p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), max_ms: at(100),
    };
    return figures;
  });
}

// Counts the instructions of Redis as `worker bench count` does: each phase has a Redis of its own,
// and is compared with the one before.
async function countsOf(peer, jobs) {
  const total = (...commands) => Arena.with(peer, jobs, true, async (arena) => {
    for (const command of commands) await arena.ask(...command);
  });
  const concurrency = Math.max(...CONCURRENCY);
  const nothing = await total();
  const one = await total(['one', jobs]);
  const many = await total(['many', jobs]);
  const all = await total(['many', jobs], ['process', jobs, concurrency, 0]);
  const totals = [one - nothing, many - nothing, all - many];
  if (peer.limits) {
    const some = await total(['many', jobs], ['process', jobs, concurrency, KEEP_COUNTED]);
    totals.push(some - many);
  }
  return counts(jobs, ...totals);
}

function counts(jobs, ...totals) {
  const names = [
    'enqueue, one at a time', 'enqueue, 50 at a time', 'process, 100 at once',
    'process, 100 at once, an old one removed',
  ];
  return Object.fromEntries(totals.map((total, index) =>
    [names[index], { instructions: Math.round(total / jobs) }]));
}

// Returns the results of `worker bench`, by measurement.
function workerBench(worker, ...args) {
  const lines = output(worker, ['bench', ...args.map(String), '--json'], QUIET);
  return Object.assign({}, ...lines.trim().split('\n').map((line) => JSON.parse(line)));
}

function roundOfWorker(worker, jobs) {
  const { throughput } = workerBench(worker, 'throughput', '--jobs', jobs, '--rounds', '1',
    '--concurrency', CONCURRENCY.join(','));
  const figures = {};
  for (const { name, per_second, per_job } of throughput.phases) {
    figures[name] = {
      jobs_per_second: per_second.p50,
      redis_cpu_us: per_job.redis_cpu_us,
      process_cpu_us: per_job.worker_cpu_us,
    };
  }
  const { milliseconds } = workerBench(worker, 'latency', '--jobs', LATENCIES).latency;
  const { p50, p95, p99, max } = milliseconds;
  figures['latency of an idle worker'] = { p50_ms: p50, p95_ms: p95, p99_ms: p99, max_ms: max };
  return figures;
}

function countsOfWorker(worker, jobs) {
  const { count } = workerBench(worker, 'count', '--jobs', jobs);
  return counts(1, count.enqueue_one, count.enqueue_50, count.process, count.process_and_remove);
}

module.exports = { countsOf, countsOfWorker, roundOf, roundOfWorker, workerBench };

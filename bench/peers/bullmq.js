// The peer BullMQ. It obeys commands of `run` on the standard input; the arguments are a socket of
// Redis and a file with a document in each line.
'use strict';

const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const { setTimeout: sleep } = require('node:timers/promises');
const { Queue, Worker } = require('bullmq');

const [path, file] = process.argv.slice(2);
const connection = { path, maxRetriesPerRequest: null };
const jobs = readFileSync(file, 'utf8').trim().split('\n')
  .map((line) => ({ name: 'provision', data: JSON.parse(line) }));
const queue = new Queue('bench', { connection });
// Nothing periodic may happen while instructions are counted.
const leisure = process.env.PEER_COUNTED
  ? { lockDuration: 4 * 3_600_000, stalledInterval: 3_600_000 } : {};

const commands = {
  async one(count) {
    for (const { name, data } of jobs.slice(0, count)) await queue.add(name, data);
  },

  async many(count) {
    for (let first = 0; first < count; first += 50) {
      await queue.addBulk(jobs.slice(first, Math.min(first + 50, count)));
    }
  },

  // The latest `keep` ended jobs stay; all of them without it.
  async process(count, concurrency, keep) {
    let left = count;
    const handler = async () => ({ summary: 'nothing to change' });
    const removeOnComplete = keep ? { count: keep } : false;
    const worker = new Worker('bench', handler, {
      connection, concurrency, removeOnComplete, autorun: false, ...leisure,
    });
    // Fires when the end of the job is in Redis.
    const all = new Promise((resolve) => worker.on('completed', () => {
      left -= 1;
      if (left === 0) resolve();
    }));
    worker.run();
    await all;
    return { after: () => worker.close() };
  },

  async latency(count) {
    let begins;
    const handler = async () => begins(process.hrtime.bigint());
    const worker = new Worker('bench', handler, { connection, concurrency: 16 });
    await worker.waitUntilReady();
    const values = [];
    for (const { name, data } of jobs.slice(0, count + 1)) {
      await sleep(10);
      const begun = new Promise((resolve) => { begins = resolve; });
      const before = process.hrtime.bigint();
      await queue.add(name, data);
      values.push(Number((await begun) - before) / 1e6);
    }
    // The first one loads the scripts and is not counted.
    return { answer: JSON.stringify(values.slice(1)), after: () => worker.close() };
  },
};

async function main() {
  await queue.waitUntilReady();
  console.log('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, ...numbers] = line.split(' ');
    const { answer = '', after } = await commands[command](...numbers.map(Number)) ?? {};
    console.log(`done ${answer}`);
    await after?.();
    console.log('ready');
  }
  await queue.close();
}

main();

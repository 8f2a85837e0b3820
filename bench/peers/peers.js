// The queues that are measured beside `worker bench`, and what they need to run.
'use strict';

const { execFileSync } = require('node:child_process');
const { existsSync } = require('node:fs');
const { join, resolve } = require('node:path');

const TARGET = resolve(process.env.CARGO_TARGET_DIR ?? join(__dirname, '../../target'), 'peers');
const RUST = join(__dirname, 'rust');

// Options of a program whose errors belong into the message if it fails.
const QUIET = { stdio: ['ignore', 'pipe', 'pipe'] };

// The reason why a peer is skipped.
class Missing extends Error {}

// Runs a program to its end, and returns what it prints.
function output(program, args, options = {}) {
  return execFileSync(program, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options })
    .toString();
}

// Returns the result of a function, or throws with this reason.
function orMissing(reason, get) {
  try {
    return get();
  } catch (error) {
    throw new Missing(`${reason} (${error.message.split('\n')[0]})`);
  }
}

function bullmq() {
  if (!existsSync(join(__dirname, 'node_modules'))) {
    orMissing('its package cannot be installed with npm', () => output(
      'npm', ['install', '--no-package-lock', '--no-audit', '--no-fund'],
      { cwd: __dirname }));
  }
  const { version } = orMissing(
    'its package is not in bench/peers/node_modules; remove that folder to install it again',
    () => require('bullmq/package.json'));
  return {
    version: `BullMQ ${version} on Node.js ${process.version.slice(1)}`,
    command: [process.execPath, join(__dirname, 'bullmq.js')],
    limits: true,
  };
}

function sidekiq() {
  const version = orMissing(
    'it is not installed; the Debian package is ruby-sidekiq',
    () => output('ruby', ['-rsidekiq', '-e', 'print Sidekiq::VERSION, " on Ruby ", RUBY_VERSION'],
      QUIET));
  return { version: `Sidekiq ${version}`, command: ['ruby', join(__dirname, 'sidekiq.rb')] };
}

// Builds a peer in Rust. The crate has one program for each, behind a feature of the same name.
function inRust(program, crate) {
  orMissing('it cannot be built with cargo', () => output('cargo',
    ['build', '--quiet', '--locked', '--release', '--features', program, '--bin', program],
    { cwd: RUST, env: { ...process.env, CARGO_TARGET_DIR: TARGET } }));
  const version = output('cargo', ['pkgid', '--locked', crate], { cwd: RUST }).trim();
  return {
    version: `${crate} ${version.replace(/.*[@#]/, '')}`,
    command: [join(TARGET, 'release', program)],
  };
}

function chasquimq(redis) {
  const [major, minor] = redis.split('.').map(Number);
  if (major < 8 || (major === 8 && minor < 6)) {
    throw new Missing(`it needs Redis 8.6 or newer, and redis-server is ${redis}`);
  }
  return inRust('chasquimq', 'chasquimq');
}

const ALL = {
  BullMQ: bullmq,
  // Its worker makes all due jobs ready with one call in Lua, which fails with some 8,000.
  'apalis-redis': () => ({ ...inRust('apalis', 'apalis-redis'), most: 7000 }),
  ChasquiMQ: chasquimq,
  Sidekiq: sidekiq,
};

// Prepares all peers for this version of Redis. Returns those that can run, and why others are
// skipped. A peer has a name, a version and a command; `limits` if it can limit the ended jobs that
// stay; and `most` if it cannot have more jobs at once.
function prepare(redis) {
  const peers = [];
  const skipped = {};
  for (const [name, get] of Object.entries(ALL)) {
    try {
      peers.push({ name, ...get(redis) });
    } catch (error) {
      if (!(error instanceof Missing)) throw error;
      skipped[name] = error.message;
    }
  }
  return { peers, skipped };
}

module.exports = { output, prepare, QUIET };

"""A Redis and a worker of their own for the tests that want them."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import redis

from mission_worker import AsyncClient, Client

ROOT = Path(__file__).parents[3]
# How long anything may take before a test fails. Nothing needs a tenth of it.
PATIENCE = 60.0


# The codes of states in a job's head, see docs/protocol.md.
STATES = ["scheduled", "ready", "running", "retrying", "snoozed", "blocked", "done", "dead", "superseded", "cancelled"]
CHANGE = """
local jobs, others, id = KEYS[1] .. ':job', KEYS[1] .. ':more', ARGV[1]
local head, packed = redis.call('HGET', jobs, id), redis.call('HGET', others, id)
local more = packed and cmsgpack.unpack(packed) or {}
for i = 3, #ARGV, 2 do more[ARGV[i]] = ARGV[i + 1] end
if more.payload then
  local lane = head:sub(42, 41 + head:byte(27))
  redis.call('HSET', KEYS[1] .. ':document:' .. lane, id, more.payload)
  more.payload = nil
end
local state = ARGV[2] ~= '' and string.char(ARGV[2]) or head:sub(7, 7)
local flags = string.char(bit.bor(head:byte(8), 2))
redis.call('HSET', jobs, id, head:sub(1, 6) .. state .. flags .. head:sub(9))
redis.call('HSET', others, id, cmsgpack.pack(more))
"""


def document_of(connection: redis.Redis, job: UUID, gateway: object) -> Any:
    """Return a job's document as Redis has it."""
    return connection.hget(f"{{mission}}:document:{gateway}", str(job))


def change(connection: redis.Redis, job: UUID, **fields: str) -> None:
    """Change what the queue knows of a job, behind its back, also its `payload` and its `history`."""
    if "history" in fields:
        connection.hset("{mission}:out", str(job), f"\n{fields.pop('history')}\n")
    state = str(STATES.index(fields.pop("state")) + 1) if "state" in fields else ""
    words = [word for field in fields.items() for word in field]
    connection.eval(CHANGE, 1, "{mission}", str(job), state, *words)


class RedisServer:
    """Runs on a unix socket in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        words = ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "yes"]
        self.process = subprocess.Popen([*words, "--dir", str(self.folder)], cwd=self.folder, stdout=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        with redis.Redis(unix_socket_path=str(self.socket)) as connection:
            while True:
                try:
                    connection.ping()
                    return
                except redis.exceptions.ConnectionError:
                    assert time.monotonic() < until and self.process.poll() is None, "redis-server does not start"
                    time.sleep(0.01)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Worker:
    """A `worker run` on a Redis."""

    def __init__(self, redis: RedisServer, folder: Path, **more: str) -> None:
        environment = more | {
            "PATH": os.environ["PATH"],
            "MISSION_REDIS_URL": redis.url,
            "MISSION_DATA_DIR": str(folder / "worker"),
            "MISSION_HTTP_ADDR": "127.0.0.1:0",
        }
        log = (folder / "worker.log").open("wb")
        self.process = subprocess.Popen([worker_binary(), "run"], env=environment, stdout=log, stderr=log)
        log.close()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()


def worker_binary() -> Path:
    """The worker that is tested with: `MISSION_WORKER`, or the one in the target folder."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("MISSION_WORKER", target / "debug/worker"))
    assert path.is_file(), f"{path} is missing; run `cargo build --workspace --bins`, or set MISSION_WORKER"
    return path


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own, whose path can be too long for a socket.
    path = Path(tempfile.mkdtemp(prefix="mission-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(folder: Path) -> Iterator[RedisServer]:
    started = RedisServer(folder)
    yield started
    started.stop()


@pytest.fixture
def worker(server: RedisServer, folder: Path) -> Iterator[Worker]:
    started = Worker(server, folder)
    yield started
    started.stop()


class InLoop:
    """An `AsyncClient` with the methods of a `Client`: one set of tests for both."""

    def __init__(self, url: str, **options: Any) -> None:
        self.client = AsyncClient.from_url(url, **options)
        self.loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)

        def call(*args: Any, **options: Any) -> Any:
            result = method(*args, **options)
            return self._iterate(result) if inspect.isasyncgen(result) else self.loop.run_until_complete(result)

        return call

    def _iterate(self, events: Any) -> Iterator[Any]:
        try:
            while True:
                yield self.loop.run_until_complete(anext(events))
        except StopAsyncIteration:
            return
        finally:
            self.loop.run_until_complete(events.aclose())

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


Open = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def open_client(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Open]:
    opened: list[Any] = []

    def open_one(url: str = server.url, **options: Any) -> Any:
        opened.append(Client.from_url(url, **options) if request.param == "sync" else InLoop(url, **options))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def client(open_client: Open) -> Any:
    return open_client()


@pytest.fixture
def connection(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(server.socket), decode_responses=True) as connection:
        yield connection

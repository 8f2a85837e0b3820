"""The wire format: keys, arguments and answers of the scripts. See docs/protocol.md of the project."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from typing import Any, TypeAlias
from uuid import UUID

from . import document
from ._schema import is_blank
from .errors import UNPRINTABLE, GatewayInUse, InvalidJob, QueueError
from .job import Action, Gateway, Job, Kind
from .record import Enqueued, StoredConnection
from .seal import Keyring, fingerprint

WIRE_VERSION = 2
"""Version of the arguments of `enqueue.lua`."""
ENVELOPE_VERSION = 1
"""Version of the stored form of a job, not of its document."""
SEALED_VERSION = 2
"""Version of the stored form if the document has sealed secrets."""
MAX_JOBS = 50
"""Maximum number of jobs in one call."""
MAX_BYTES = 64 * 1024 * 1024
"""Maximum bytes of documents in one call."""
MAX_ATTEMPTS = 12
"""Failed runs after which a job is dead."""
MAX_SHARDS = 64
"""Maximum number of shards of a queue."""
MAX_REPLICAS = 9
"""Maximum number of replicas that `enqueue` waits for."""
VALUES = 17
"""Arguments of `enqueue.lua` for each job."""

Document: TypeAlias = Job | Mapping[str, Any] | str | bytes
"""An argument of `enqueue`: a job, or its document as a mapping or as text."""
Duration: TypeAlias = timedelta | float
"""A duration; a number means seconds."""

_MAX_TIME = timedelta(days=30)
_KEY_LIFE = (timedelta(seconds=1), _MAX_TIME)


class Script:
    """A script of the queue, the same as the workers'."""

    def __init__(self, file: str) -> None:
        """Read the script from the package."""
        self.text = resources.files(__package__).joinpath(file).read_bytes()
        self.sha1 = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


ENQUEUE = Script("enqueue.lua")
CONNECTION = Script("connection.lua")
FORGET = Script("forget.lua")
GET = Script("get.lua")


@dataclass(frozen=True)
class Keys:
    """The keys of one queue that this package reads."""

    prefix: str
    events: str

    @classmethod
    def of(cls, queue: str, shard: int) -> Keys:
        """Return the keys of a shard."""
        prefix = f"{{{queue}/{shard}}}" if shard else f"{{{queue}}}"
        return cls(prefix=prefix, events=f"{prefix}:events")


class Shards:
    """The shards of a queue. Each is a queue of its own, and has all jobs of its gateways."""

    def __init__(self, queue: str, count: int) -> None:
        """Check the queue's name and the number of its shards."""
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", queue):
            raise ValueError(f"the queue name {queue!r} cannot be used; take letters, digits, -, _ and ., at most 64")
        if type(count) is not int or not 1 <= count <= MAX_SHARDS:
            raise ValueError(f"{count!r} shards cannot be; use 1 to {MAX_SHARDS}, as the workers do (MISSION_SHARDS)")
        self.all = [Keys.of(queue, shard) for shard in range(count)]
        self.first = self.all[0]
        self.agreed = False
        """True once Redis has confirmed the number."""

    def of(self, text: str | bytes) -> Keys:
        """Return the shard of a gateway's id, or of an idempotency key."""
        return self.all[_hash(text) % len(self.all)]

    def of_job(self, job_id: UUID) -> Keys:
        """Return the shard that the id of a job names, if this package or a worker made the id."""
        return self.all[job_id.int % 2**16 % len(self.all)]


@dataclass(frozen=True, kw_only=True)
class When:
    """The scheduling options of jobs."""

    delay: Duration = 0
    priority: int = 5
    expires_in: Duration | None = None
    idempotency_key: str | None = None
    idempotency_life: Duration = timedelta(hours=24)

    def words(self) -> tuple[object, ...]:
        """Check the values. Returns delay, priority, expiry, key and its life as the script expects them."""
        delay = _milliseconds("delay", self.delay, timedelta(0), _MAX_TIME)
        if type(self.priority) is not int or not 0 <= self.priority <= 9:
            raise ValueError(f"priority {self.priority!r} does not fit; use 0 (first) to 9, 5 is usual")
        expiry = 0
        if self.expires_in is not None:
            expiry = _milliseconds("expires_in", self.expires_in, timedelta(milliseconds=1), _MAX_TIME)
            if expiry <= delay:
                problem = f"expires_in {self.expires_in!r} is not longer than delay {self.delay!r}"
                raise ValueError(f"{problem}, so the job would expire before it is due; raise it, or lower the delay")
        key = (self.idempotency_key or "").encode()
        if self.idempotency_key is not None and not 1 <= len(key) <= 200:
            raise ValueError(f"an idempotency key of {len(key)} bytes does not fit; use 1 to 200")
        life = _milliseconds("idempotency_life", self.idempotency_life, *_KEY_LIFE)
        return delay, self.priority, expiry, key, life


def arguments(
    jobs: Sequence[Document], when: When, keyring: Keyring | None, *, listed: bool
) -> tuple[list[UUID], list[Any]]:
    """Check the jobs, give them ids and seal their secrets. Returns the ids and the arguments of `enqueue.lua`."""
    if len(jobs) > MAX_JOBS:
        raise ValueError(f"{len(jobs)} jobs are too many for one call; send {MAX_JOBS} at most")
    if when.idempotency_key is not None and len(jobs) > 1:
        raise ValueError("an idempotency key is for one job; enqueue these one by one, each with its own")
    delay, priority, expiry, key, life = when.words()
    ids, words, size = list[UUID](), list[Any]([WIRE_VERSION]), 0
    for index, job in enumerate(jobs):
        try:
            text, content = document.read(job)
        except InvalidJob as error:
            raise InvalidJob(error.problems, index if listed else None) from None
        lane, subject = _place(content)
        job_id = new_id(lane)
        ids.append(job_id)
        text, is_sealed = keyring.seal(content, text) if keyring else (text, False)
        size += len(text)
        version = SEALED_VERSION if is_sealed else ENVELOPE_VERSION
        words += [str(job_id), version, content["kind"], lane, subject, MAX_ATTEMPTS]
        words += [delay, priority, expiry, key, life, _parts(content), *_numbers(content), _heartbeats(content)]
        words += [_fingerprint(content, keyring), text]
    if size > MAX_BYTES:
        raise ValueError(f"{size} bytes of documents are too many for one call; send {MAX_BYTES} at most")
    return ids, words


def connection(gateway: Gateway | Mapping[str, Any], keyring: Keyring | None, by: str, why: str) -> list[Any]:
    """Check a connection and seal its token. Returns the arguments of `connection.lua`."""
    text, content = document.read(document.of_gateway(gateway))
    _, revision = _numbers(content)
    lane, _ = _place(content)
    mark = _fingerprint(content, keyring)
    if keyring:
        text, _ = keyring.seal(content, text)
    return [*_author(by, why), lane, str(new_id(lane)), revision, mark, text]


def stored_connection(answer: Any) -> StoredConnection:
    """Read the answer of `connection.lua`."""
    try:
        result, revision = (_text(value) for value in answer)
        return StoredConnection(
            stored=result != "outdated", changed=result == "changed", revision=int(revision) if revision else None
        )
    except (TypeError, ValueError) as error:
        raise QueueError(f"the script connection answered something unknown ({error})") from error


def forget(gateway: UUID | str, force: bool, by: str, why: str) -> list[Any]:
    """Return the arguments of `forget.lua` without the place where it stopped."""
    known = gateway if isinstance(gateway, UUID) else UUID(gateway)
    return [*_author(by, why), str(known), int(force)]


def forgotten(gateway: UUID | str, answer: Any) -> str | None:
    """Read the answer of `forget.lua`. Returns where it stopped, or none if it is done."""
    result, rest = (_text(value) for value in answer)
    if result in ("forgotten", "more"):
        return rest if result == "more" else None
    why = {
        "unknown": "nothing is known of it",
        "running": f"{rest} of its jobs are running; wait until they have ended, or cancel them",
        "agents": f"{rest} of its agents are not deleted; enqueue a cleanup for each, or set force",
        "jobs": f"{rest} of its jobs are waiting; let them end, or set force to cancel them",
    }
    raise GatewayInUse(f"gateway {gateway} cannot be forgotten: {why.get(result, result)}", result)


def enqueued(ids: Sequence[UUID], answer: Any) -> list[Enqueued]:
    """Read the answer of `enqueue.lua`."""
    try:
        results = []
        for sent, (job_id, state, superseded) in zip(ids, answer, strict=True):
            stored = UUID(_text(job_id))
            replaced = [UUID(_text(old)) for old in superseded or ()]
            results.append(
                Enqueued(id=stored, state=_text(state) or None, superseded=replaced, duplicate=stored != sent)
            )
    except (TypeError, ValueError) as error:
        raise QueueError(f"the script enqueue answered something unknown ({error})") from error
    return results


def stored(answer: Any) -> tuple[dict[str, bytes], list[bytes]]:
    """Read the answer of `get.lua`: fields and history."""
    pairs, history = answer[0], answer[1]
    if isinstance(pairs, Mapping):
        return {_text(name): value for name, value in pairs.items()}, list(history)
    return {_text(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}, list(history)


def entries(answer: Any) -> list[tuple[str, dict[str, bytes] | None]]:
    """Read entries of one stream; the client library returns them in several forms. Deleted entries have no fields."""
    if not answer:
        return []
    of_stream = next(iter(answer.values())) if isinstance(answer, Mapping) else answer[0][1]
    if len(of_stream) == 1 and isinstance(of_stream[0], list):
        of_stream = of_stream[0]
    return [entry(item) for item in of_stream]


def entry(item: Any) -> tuple[str, dict[str, bytes] | None]:
    """Read one entry of a stream."""
    cursor, fields = item
    if not fields:
        return _text(cursor), None
    pairs = fields.items() if isinstance(fields, Mapping) else zip(fields[::2], fields[1::2], strict=True)
    return _text(cursor), {_text(name): value for name, value in pairs}


def new_id(gateway: str) -> UUID:
    """Create a UUID version 7, which orders ids by creation. Its last 16 bits lead to the gateway's shard."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds & (2**48 - 1)) << 80 | secrets.randbits(64) << 16 | _hash(gateway)
    number = number & ~(0xF << 76) | 7 << 76
    return UUID(int=number & ~(0b11 << 62) | 0b10 << 62)


def _hash(text: str | bytes) -> int:
    """Return the first 16 bits of the SHA-256 of a text."""
    return int.from_bytes(hashlib.sha256(text.encode() if isinstance(text, str) else text).digest()[:2], "big")


def _place(content: Mapping[str, Any]) -> tuple[str, str]:
    """Return lane and subject of a checked document."""
    lane = str(UUID(content["gateway"]["id"]))
    about = "heartbeats" if content["kind"] == Kind.HEARTBEAT_SYNC else UUID(content["agent"]["id"])
    return lane, f"{lane}/{about}"


def _parts(content: Mapping[str, Any]) -> str:
    """Return the letters of the parts that records keep apart; see docs/protocol.md of the project."""
    provisions = content["kind"] in (Kind.PROVISION, Kind.PROVISION_MAIN)
    options = content.get("options") or {}
    marks = {
        "c": not is_blank(content["gateway"].get("url")),
        "t": provisions and content.get("auth_token") is not None,
        "f": provisions and options.get("force_bootstrap"),
        "r": provisions and options.get("reset_session"),
        "w": provisions and options.get("wake") is not None,
        "p": provisions and (options.get("action") or Action.PROVISION) == Action.PROVISION,
    }
    return "".join(mark for mark, is_set in marks.items() if is_set)


def _numbers(content: Mapping[str, Any]) -> tuple[int | str, int | str]:
    """Return the generation of the agent and the revision of the gateway; empty if the producer does not count."""
    given = (content.get("agent") or {}).get("generation"), content["gateway"].get("revision")
    generation, revision = ("" if number is None else number for number in given)
    return generation, revision


def _fingerprint(content: Mapping[str, Any], keyring: Keyring | None) -> str:
    """Return the fingerprint of a connection, with the key mixed in if there is one."""
    plain = fingerprint(content)
    return keyring.fingerprint(plain) if keyring else plain


def _author(by: str, why: str) -> tuple[str, str, str]:
    """Return author, origin and reason for the audit, each on one line of some length."""
    texts = ((by, 100), (f"python {socket.gethostname()}", 100), (why, 500))
    name, origin, reason = (UNPRINTABLE.sub(" ", text)[:longest].strip() for text, longest in texts)
    return name, origin, reason


def _heartbeats(content: Mapping[str, Any]) -> str:
    """Return the heartbeats of a heartbeat-sync by agent, as JSON; empty for other kinds."""
    may_be_fast = (content.get("options") or {}).get("allow_fast_heartbeat") is True
    kept = {
        str(UUID(agent["id"])): json.dumps({"config": agent.get("heartbeat_config"), "fast": may_be_fast})
        for agent in content.get("agents") or ()
    }
    return json.dumps(kept) if kept else ""


def _milliseconds(name: str, length: Duration, least: timedelta, most: timedelta) -> int:
    try:
        given = length if isinstance(length, timedelta) else timedelta(seconds=length)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{name} {length!r} is not a length of time; use seconds or a timedelta") from None
    if not least <= given <= most:
        raise ValueError(f"{name} {length!r} does not fit; use {least} to {most}")
    return -(-given // timedelta(milliseconds=1))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

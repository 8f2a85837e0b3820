"""The sequences of requests to Redis, without the I/O: `Client` and `AsyncClient` run the same flows.

A flow yields `Command`s and receives their answers, or an error is thrown at its `yield`. Streams yield `Event`s too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

from . import wire
from .errors import ConnectionLost, JobNotFound, QueueError, ScriptMissing
from .event import Event, resume
from .job import Gateway
from .record import Enqueued, JobRecord, StoredConnection
from .seal import Keyring
from .wire import Document, Keys, Script, When

_BLOCK = 2.0
_BATCH = 100
_GROUP_BATCH = 16


@dataclass(frozen=True)
class Command:
    """One command for Redis."""

    words: tuple[Any, ...]


_Result = TypeVar("_Result")
Flow: TypeAlias = Generator[Command, Any, _Result]
Stream: TypeAlias = Generator[Command | Event, Any, None]


def enqueue(
    keys: Keys, jobs: Sequence[Document], when: When, keyring: Keyring | None, *, listed: bool
) -> Flow[list[Enqueued]]:
    """Store jobs, all or none."""
    ids, words = wire.arguments(jobs, when, keyring, listed=listed)
    if not ids:
        return []
    try:
        return wire.enqueued(ids, (yield from _script(wire.ENQUEUE, keys, words)))
    except ConnectionLost:
        # The request may have succeeded anyway. The jobs keep their ids, and an id is stored once.
        again = _script(wire.ENQUEUE, keys, words)
    return wire.enqueued(ids, (yield from again))


def put_gateway(
    keys: Keys, gateway: Gateway | Mapping[str, Any], keyring: Keyring | None, by: str, why: str
) -> Flow[StoredConnection]:
    """Store the connection of a gateway. The same call can be sent twice."""
    words = wire.connection(gateway, keyring, by, why)
    try:
        return wire.stored_connection((yield from _script(wire.CONNECTION, keys, words)))
    except ConnectionLost:
        again = _script(wire.CONNECTION, keys, words)
    return wire.stored_connection((yield from again))


def forget_gateway(keys: Keys, gateway: UUID | str, force: bool, by: str, why: str) -> Flow[None]:
    """Forget a gateway step by step. Each step can be sent twice."""
    words = wire.forget(gateway, force, by, why)
    place: str | None = ""
    while place is not None:
        place = wire.forgotten(gateway, (yield from _script(wire.FORGET, keys, [*words, place])))


def get(keys: Keys, job_id: UUID | str) -> Flow[JobRecord | None]:
    """Read one job."""
    known = job_id if isinstance(job_id, UUID) else UUID(job_id)
    answer = yield from _script(wire.GET, keys, [str(known)])
    return JobRecord.read(known, *wire.stored(answer))


def wait(keys: Keys, job_id: UUID | str, timeout: float, block: float) -> Flow[JobRecord]:
    """Read one job when it has ended. Events trigger the reads, and a timer does so without them."""
    until = time.monotonic() + timeout
    cursor = yield from last(keys)
    while True:
        job = yield from get(keys, job_id)
        if job is None:
            raise JobNotFound(f"there is no job {job_id}; it may have ended and been removed")
        if job.ended:
            return job
        look_again = min(time.monotonic() + 5 * block, until)
        heard = False
        while not heard:
            left = look_again - time.monotonic()
            if left <= 0:
                break
            found = yield from _read(keys, cursor, min(left, block))
            for cursor, fields in found:  # noqa: B007 - where the last one stands is wanted
                heard = heard or (fields is not None and str(job.id).encode() in fields.get("event", b""))
        if not heard and time.monotonic() >= until:
            raise TimeoutError(f"job {job_id} is {job.state} after {timeout} s")


def last(keys: Keys) -> Flow[str]:
    """Return the current end of the events."""
    answer = yield Command(("XREVRANGE", keys.events, "+", "-", "COUNT", 1))
    return wire.entry(answer[0])[0] if answer else "0-0"


def events(keys: Keys, after: str | None, timeout: float | None, block: float) -> Stream:
    """Read events, from now on or after a cursor."""
    cursor, told = resume((yield from last(keys)) if after is None else after)
    begun = after.partition("/")[0] if after else None
    silent_since = time.monotonic()
    while True:
        pause = block if timeout is None else min(block, silent_since + timeout - time.monotonic())
        if pause <= 0:
            return
        found = yield from _read(keys, cursor, pause)
        for cursor, fields in found:
            events_of_entry = Event.read(cursor, fields) if fields else []
            yield from events_of_entry[told if cursor == begun else 0 :]
        if found:
            silent_since = time.monotonic()


def consume(
    keys: Keys, group: str, consumer: str, start: str, timeout: float | None, claim_after: float, block: float
) -> Stream:
    """Read events as a member of a consumer group: first its unacknowledged events, then new ones."""
    yield from _create_group(keys, group, start)
    read = ("XREADGROUP", "GROUP", group, consumer, "COUNT", _GROUP_BATCH)
    cursor = "0-0"
    while found := wire.entries((yield Command((*read, "STREAMS", keys.events, cursor)))):
        cursor = found[-1][0]
        yield from _deliver(keys, group, found)
    silent_since = time.monotonic()
    claimed_at = silent_since - claim_after
    while True:
        now = time.monotonic()
        if now - claimed_at >= claim_after:
            if (yield from _take_over(keys, group, consumer, claim_after)):
                silent_since = time.monotonic()
            claimed_at = now = time.monotonic()
        pause = block if timeout is None else min(block, silent_since + timeout - now)
        if pause <= 0:
            return
        found = wire.entries((yield Command((*read, "BLOCK", _ms(pause), "STREAMS", keys.events, ">"))))
        if found:
            yield from _deliver(keys, group, found)
            silent_since = time.monotonic()


def ack(keys: Keys, group: str, cursors: Sequence[str]) -> Flow[int]:
    """Acknowledge events of a group. Of several events in one entry, the last one counts for all."""
    entries = [cursor for cursor in cursors if "/" not in cursor]
    if not entries:
        return 0
    answer = yield Command(("XACK", keys.events, group, *entries))
    return int(answer)


def _script(script: Script, keys: Keys, words: Sequence[Any]) -> Flow[Any]:
    with contextlib.suppress(ScriptMissing):
        return (yield Command(("EVALSHA", script.sha1, 1, keys.prefix, *words)))
    return (yield Command(("EVAL", script.text, 1, keys.prefix, *words)))


def _read(keys: Keys, cursor: str, pause: float) -> Flow[list[tuple[str, dict[str, bytes] | None]]]:
    answer = yield Command(("XREAD", "COUNT", _BATCH, "BLOCK", _ms(pause), "STREAMS", keys.events, cursor))
    return wire.entries(answer)


def _create_group(keys: Keys, group: str, start: str) -> Flow[None]:
    try:
        yield Command(("XGROUP", "CREATE", keys.events, group, resume(start)[0], "MKSTREAM"))
    except QueueError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _take_over(keys: Keys, group: str, consumer: str, idle: float) -> Generator[Command | Event, Any, bool]:
    """Deliver events that members have not acknowledged for that time. Returns whether there were any."""
    cursor, any_found = "0-0", False
    while True:
        words = ("XAUTOCLAIM", keys.events, group, consumer, _ms(idle), cursor, "COUNT", _GROUP_BATCH)
        answer = yield Command(words)
        found = [wire.entry(item) for item in answer[1] if item]
        any_found = any_found or bool(found)
        yield from _deliver(keys, group, found)
        cursor = answer[0].decode()
        if cursor == "0-0":
            return any_found


def _deliver(keys: Keys, group: str, found: Sequence[tuple[str, dict[str, bytes] | None]]) -> Stream:
    for cursor, fields in found:
        found_events = Event.read(cursor, fields) if fields else []
        yield from found_events
        if not found_events:
            # It was removed from the stream since, or is not an event: no member will ever acknowledge it.
            yield from ack(keys, group, [cursor])


def blocking(socket_timeout: float | None) -> float:
    """Return the time that one command may block: less than the client library waits for an answer."""
    return _BLOCK if not socket_timeout else min(_BLOCK, socket_timeout / 2)


def _ms(seconds: float) -> int:
    # Redis reads 0 as no limit.
    return max(1, round(seconds * 1000))

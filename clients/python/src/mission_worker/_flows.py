"""The sequences of requests to Redis, without the I/O: `Client` and `AsyncClient` run the same flows.

A flow yields `Command`s and receives their answers, or an error is thrown at its `yield`. Streams yield `Event`s too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from . import wire
from ._requests import Command, Flow, Stream, Together, milliseconds, read_events, run_script
from .errors import ConnectionLost, JobNotFound, NotReplicated, QueueError
from .event import Event, resume
from .job import Gateway
from .record import Enqueued, JobRecord, StoredConnection
from .seal import Keyring
from .wire import Document, Keys, Shards, When

_GROUP_BATCH = 16
_MOMENT = 0.1
_WAIT_MS = 1000


def enqueue(
    shards: Shards, jobs: Sequence[Document], when: When, keyring: Keyring | None, replicas: int, *, listed: bool
) -> Flow[list[Enqueued]]:
    """Store jobs, all or none of each shard."""
    if type(replicas) is not int or not 0 <= replicas <= wire.MAX_REPLICAS:
        raise ValueError(f"replicas {replicas!r} does not fit; use 0 to {wire.MAX_REPLICAS}")
    ids, words = wire.arguments(jobs, when, keyring, listed=listed)
    if not ids:
        return []
    yield from _agree(shards, creates=True)
    values = [words[i : i + wire.VALUES] for i in range(1, len(words), wire.VALUES)]
    if len(shards.all) == 1:
        stored = yield from _enqueue(shards.first, ids, values)
    elif when.idempotency_key is not None:
        stored = [(yield from _enqueue_once(shards, ids[0], values[0], when))]
    else:
        found: dict[int, Enqueued] = {}
        for keys in shards.all:
            mine = [i for i, job in enumerate(values) if shards.of(job[3]) is keys]
            if mine:
                answers = yield from _enqueue(keys, [ids[i] for i in mine], [values[i] for i in mine])
                found.update(zip(mine, answers, strict=True))
        stored = [found[i] for i in range(len(ids))]
    if replicas:
        yield from _confirm(shards, stored, replicas)
    return stored


def _enqueue(keys: Keys, ids: Sequence[UUID], jobs: Sequence[Sequence[Any]]) -> Flow[list[Enqueued]]:
    words = [wire.WIRE_VERSION, *(value for job in jobs for value in job)]
    try:
        return wire.enqueued(ids, (yield from run_script(wire.ENQUEUE, keys, words)))
    except ConnectionLost:
        # The request may have succeeded anyway. The jobs keep their ids, and an id is stored once.
        again = run_script(wire.ENQUEUE, keys, words)
    return wire.enqueued(ids, (yield from again))


def _enqueue_once(shards: Shards, job_id: UUID, job: list[Any], when: When) -> Flow[Enqueued]:
    """Store a job with an idempotency key, which the shard of the key keeps; see docs/protocol.md of the project."""
    text, life = job[9], job[10]
    home = f"{shards.of(text).prefix}:key:".encode() + text
    taken = yield Command(("SET", home, f"?{job_id}", "NX", "PX", life))
    holder = str(job_id).encode() if taken else (yield Command(("GET", home))) or str(job_id).encode()
    first = UUID(holder.lstrip(b"?").decode())
    if first != job_id:
        found = yield from get(shards, first)
        if found or not holder.startswith(b"?"):
            if holder.startswith(b"?"):
                yield Command(("SET", home, str(first), "XX", "KEEPTTL"))
            return Enqueued(id=first, state=found.state if found else None, duplicate=True)
        job = [str(first), *job[1:]]
    stored = (yield from _enqueue(shards.of(job[3]), [first], [job]))[0]
    yield Command(("SET", home, str(stored.id), "XX", "KEEPTTL"))
    return stored


def _confirm(shards: Shards, stored: Sequence[Enqueued], replicas: int) -> Flow[None]:
    """Wait for replicas, shard by shard, a second at most for each."""
    by_shard: dict[str, list[str]] = {}
    for job in stored:
        if job.state is not None:
            keys = yield from _home(shards, job.id)
            by_shard.setdefault(keys.prefix, []).append(str(job.id))
    least = replicas
    for prefix, ids in by_shard.items():
        # Without a write of this connection WAIT would mean nothing.
        commands = (
            ("HMGET", f"{prefix}:job", *ids),
            ("SET", f"{prefix}:confirmed", 1),
            ("WAIT", replicas, _WAIT_MS),
        )
        jobs, _, confirmed = yield Together(f"{prefix}:job", commands)
        least = min(least, int(confirmed) if None not in jobs else 0)
    if least < replicas:
        raise NotReplicated(least, replicas, stored)


def _agree(shards: Shards, *, creates: bool) -> Flow[None]:
    """Check that the queue in Redis has that many shards. A new queue gets the number with its first job."""
    if shards.agreed:
        return
    prefix, count = shards.first.prefix, len(shards.all)
    ask = Command(("MGET", f"{prefix}:shards", f"{prefix}:layout"))
    try:
        stored, layout = yield ask
    except ConnectionLost:
        stored, layout = yield ask
    if not stored and not layout and creates and count > 1:
        yield Command(("SET", f"{prefix}:shards", count, "NX"))
        stored, layout = yield ask
    if not stored and not layout:
        return
    text = stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored or 1)
    known = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= known <= 64:
        raise QueueError(
            f"the key {prefix}:shards holds {text!r}, but it must be a number of shards from 1 to 64; "
            "`worker doctor --repair` with the redis.shards of the workers corrects it"
        )
    if known != count:
        has = f"{known} {'shard' if known == 1 else 'shards'}"
        raise QueueError(
            f"the queue has {has}, but this client was made with shards={count}; use {known}, because the "
            "number is fixed when a queue is created"
        )
    shards.agreed = True


def _home(shards: Shards, job_id: UUID) -> Flow[Keys]:
    """Return the shard that has a job. Ids that others made do not name it."""
    named = shards.of_job(job_id)
    if len(shards.all) == 1:
        return named
    for keys in [named, *(keys for keys in shards.all if keys is not named)]:
        if (yield Command(("HEXISTS", f"{keys.prefix}:job", str(job_id)))):
            return keys
    return named


def put_gateway(
    shards: Shards, gateway: Gateway | Mapping[str, Any], keyring: Keyring | None, by: str, why: str
) -> Flow[StoredConnection]:
    """Store the connection of a gateway. The same call can be sent twice."""
    words = wire.connection(gateway, keyring, by, why)
    yield from _agree(shards, creates=True)
    keys = shards.of(words[3])
    try:
        return wire.stored_connection((yield from run_script(wire.CONNECTION, keys, words)))
    except ConnectionLost:
        again = run_script(wire.CONNECTION, keys, words)
    return wire.stored_connection((yield from again))


def forget_gateway(shards: Shards, gateway: UUID | str, force: bool, by: str, why: str) -> Flow[None]:
    """Forget a gateway step by step. Each step can be sent twice."""
    words = wire.forget(gateway, force, by, why)
    yield from _agree(shards, creates=False)
    keys = shards.of(words[3])
    place: str | None = ""
    while place is not None:
        place = wire.forgotten(gateway, (yield from run_script(wire.FORGET, keys, [*words, place])))


def get(shards: Shards, job_id: UUID | str) -> Flow[JobRecord | None]:
    """Read one job."""
    known = job_id if isinstance(job_id, UUID) else UUID(job_id)
    yield from _agree(shards, creates=False)
    return (yield from _get((yield from _home(shards, known)), known))


def _get(keys: Keys, known: UUID) -> Flow[JobRecord | None]:
    answer = yield from run_script(wire.GET, keys, [str(known)])
    return JobRecord.read(known, *wire.stored(answer))


def wait(shards: Shards, job_id: UUID | str, timeout: float, block: float) -> Flow[JobRecord]:
    """Read one job when it has ended. Events trigger the reads, and a timer does so without them."""
    until = time.monotonic() + timeout
    known = job_id if isinstance(job_id, UUID) else UUID(job_id)
    yield from _agree(shards, creates=False)
    keys = yield from _home(shards, known)
    cursor = yield from _last(keys)
    while True:
        job = yield from _get(keys, known)
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
            found = yield from read_events(keys, cursor, min(left, block))
            for cursor, fields in found:  # noqa: B007 - where the last one stands is wanted
                heard = heard or (fields is not None and str(job.id).encode() in fields.get("event", b""))
        if not heard and time.monotonic() >= until:
            raise TimeoutError(f"job {job_id} is {job.state} after {timeout} s")


def last(shards: Shards) -> Flow[str]:
    """Return the current end of the events: a place in each shard."""
    yield from _agree(shards, creates=False)
    places = []
    for keys in shards.all:
        places.append((yield from _last(keys)))
    return ",".join(places)


def _last(keys: Keys) -> Flow[str]:
    answer = yield Command(("XREVRANGE", keys.events, "+", "-", "COUNT", 1))
    return wire.entry(answer[0])[0] if answer else "0-0"


def events(shards: Shards, after: str | None, timeout: float | None, block: float) -> Stream:
    """Read events, from now on or after a cursor."""
    yield from _agree(shards, creates=False)
    given = after.split(",") if after is not None else (yield from last(shards)).split(",")
    places = given * len(shards.all) if len(given) == 1 else given
    if len(places) != len(shards.all):
        raise ValueError(f"the cursor {after!r} is not one of a queue with {len(shards.all)} shards")
    resumed = [resume(place) for place in places]
    ids, told = [entry for entry, _ in resumed], [count for _, count in resumed]
    begun = [place.partition("/")[0] for place in places]
    silent_since = time.monotonic()
    turns = _turns(shards, block)
    while True:
        left = block if timeout is None else silent_since + timeout - time.monotonic()
        if left <= 0:
            return
        shard, pause = next(turns)
        found = yield from read_events(shards.all[shard], ids[shard], min(pause, left))
        for entry, fields in found:
            ids[shard] = entry
            events_of_entry = Event.read(entry, fields) if fields else []
            for event in events_of_entry[told[shard] if entry == begun[shard] else 0 :]:
                places[shard] = event.cursor
                yield replace(event, cursor=",".join(places))
        if found:
            silent_since = time.monotonic()


def _turns(shards: Shards, block: float) -> Iterator[tuple[int, float]]:
    """Return which shard is read next, and how long it may block: of several all at once, and one for a moment."""
    count = len(shards.all)
    if count == 1:
        while True:
            yield 0, block
    for waiting in itertools.cycle(range(count)):
        for shard in range(count):
            yield shard, min(block, _MOMENT) if shard == waiting else 0


def consume(
    shards: Shards, group: str, consumer: str, start: str, timeout: float | None, claim_after: float, block: float
) -> Stream:
    """Read events as a member of a consumer group: first its unacknowledged events, then new ones."""
    yield from _agree(shards, creates=False)
    read = ("XREADGROUP", "GROUP", group, consumer, "COUNT", _GROUP_BATCH)
    members = [_Member(keys, group, f".{i}" if len(shards.all) > 1 else "") for i, keys in enumerate(shards.all)]
    for member in members:
        yield from _create_group(member.keys, group, start)
        cursor = "0-0"
        while found := wire.entries((yield Command((*read, "STREAMS", member.keys.events, cursor)))):
            cursor = found[-1][0]
            yield from _deliver(member, found)
    silent_since = time.monotonic()
    claimed_at = silent_since - claim_after
    turns = _turns(shards, block)
    while True:
        now = time.monotonic()
        if now - claimed_at >= claim_after:
            for member in members:
                if (yield from _take_over(member, consumer, claim_after)):
                    silent_since = time.monotonic()
            claimed_at = now = time.monotonic()
        left = block if timeout is None else silent_since + timeout - now
        if left <= 0:
            return
        shard, pause = next(turns)
        member = members[shard]
        blocking = ("BLOCK", milliseconds(min(pause, left))) if pause else ()
        found = wire.entries((yield Command((*read, *blocking, "STREAMS", member.keys.events, ">"))))
        if found:
            yield from _deliver(member, found)
            silent_since = time.monotonic()


@dataclass(frozen=True)
class _Member:
    """The membership in a group of the readers of a shard."""

    keys: Keys
    group: str
    suffix: str
    """What follows the ids of its entries, so that `ack` knows the shard."""


def ack(shards: Shards, group: str, cursors: Sequence[str]) -> Flow[int]:
    """Acknowledge events of a group. Of several events in one entry, the last one counts for all."""
    by_shard: dict[int, list[str]] = {}
    for cursor in cursors:
        entry, _, shard = cursor.partition(".")
        if "/" in entry:
            continue
        by_shard.setdefault(int(shard or 0), []).append(entry)
    count = 0
    for number, entries in by_shard.items():
        if number >= len(shards.all):
            raise ValueError(f"the queue has no shard {number}")
        count += yield from _ack(shards.all[number], group, entries)
    return count


def _ack(keys: Keys, group: str, entries: Sequence[str]) -> Flow[int]:
    answer = yield Command(("XACK", keys.events, group, *entries))
    return int(answer)


def _create_group(keys: Keys, group: str, start: str) -> Flow[None]:
    try:
        yield Command(("XGROUP", "CREATE", keys.events, group, resume(start)[0], "MKSTREAM"))
    except QueueError as error:
        if "BUSYGROUP" not in str(error):
            raise


def _take_over(member: _Member, consumer: str, idle: float) -> Generator[Command | Together | Event, Any, bool]:
    """Deliver events that members have not acknowledged for that time. Returns whether there were any."""
    cursor, any_found = "0-0", False
    while True:
        words = (
            "XAUTOCLAIM",
            member.keys.events,
            member.group,
            consumer,
            milliseconds(idle),
            cursor,
            "COUNT",
            _GROUP_BATCH,
        )
        answer = yield Command(words)
        found = [wire.entry(item) for item in answer[1] if item]
        any_found = any_found or bool(found)
        yield from _deliver(member, found)
        cursor = answer[0].decode()
        if cursor == "0-0":
            return any_found


def _deliver(member: _Member, found: Sequence[tuple[str, dict[str, bytes] | None]]) -> Stream:
    for cursor, fields in found:
        events_of_entry = Event.read(cursor, fields) if fields else []
        for event in events_of_entry:
            yield replace(event, cursor=event.cursor + member.suffix)
        if not events_of_entry:
            # It was removed from the stream since, or is not an event: no member will ever acknowledge it.
            yield from _ack(member.keys, member.group, [cursor])

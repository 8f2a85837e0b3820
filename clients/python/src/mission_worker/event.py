"""The queue's events about changes of its jobs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from .errors import ProtocolMismatch
from .record import ENDED, Failure, uuid_or_none

VERSION, TOGETHER = 1, 2
"""The versions of events that this package reads: of one event, and of several in one entry."""

_CURSOR = re.compile("([0-9]{1,20})(?:-([0-9]{1,20}))?(?:/([0-9]{1,20}))?")
"""The cursor of an event: the two numbers of its entry, and its place there."""
_LAST = 2**64 - 1
"""The greatest number of an entry."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event, usually the transition of a job from one state to another.

    Events of unknown kinds are passed on unchanged: check `event` first.
    """

    cursor: str
    """Its position; reading can continue after it. It is the id of an entry of the stream, with `/` and a number for
    each but the last of several events in one entry."""
    event: str
    """The kind of event: `job`, `paused`, `resumed`, or one of a newer version."""
    at_ms: int
    """The time of the event, in milliseconds since 1970 by Redis's clock."""
    id: UUID | None = None
    """The job's id."""
    kind: str | None = None
    """The job's kind."""
    gateway: str | None = None
    """The gateway's id."""
    subject: str | None = None
    """The subject of the job: `<gateway id>/<agent id>`, or `<gateway id>/heartbeats`."""
    from_state: str | None = None
    """The previous state; none on enqueueing."""
    to_state: str | None = None
    """The new state."""
    run: int | None = None
    """The number of the run, from 1."""
    attempts: int | None = None
    """The number of runs that counted."""
    worker: str | None = None
    """The worker concerned."""
    next_at_ms: int | None = None
    """The time when the job is due again."""
    reason: str | None = None
    """The reason why it is dead, such as `attempts`, or the reason of a pause."""
    failure: Failure | None = None
    """The failure that caused it."""
    superseded_by: UUID | None = None
    """The newer job that replaced it."""
    by: str | None = None
    """The person or program that did it."""
    scope: str | None = None
    """The scope of a pause or resume: `all`, `kind:<kind>` or `gateway:<id>`."""
    raw: Mapping[str, Any] = field(repr=False)
    """The whole event, including unknown members."""

    @property
    def at(self) -> datetime:
        """Return the time of the event."""
        return datetime.fromtimestamp(self.at_ms / 1000, timezone.utc)

    @property
    def ended(self) -> bool:
        """Return whether the job has ended."""
        return self.event == "job" and self.to_state in ENDED

    @classmethod
    def read(cls, entry: str, fields: Mapping[str, bytes]) -> list[Event]:
        """Read the events of an entry of the stream; none, with a log message, if it has no event."""
        try:
            raw = json.loads(fields["event"])
            version = raw["v"]
            # The names of the other members are those of the version.
            if version == VERSION:
                return [cls._read_one(entry, raw)]
            if version == TOGETHER and str(raw["event"]) == "jobs":
                return cls._read_together(entry, raw)
        except (KeyError, TypeError, ValueError):
            _log.warning("entry %s of the queue's events is not an event; left out", entry)
            return []
        raise ProtocolMismatch(f"events have version {version!r}, not {VERSION}; upgrade mission-worker-client")

    @classmethod
    def _read_together(cls, entry: str, raw: Mapping[str, Any]) -> list[Event]:
        """Read the events of jobs that went from one state to another in the same call."""
        shared = {name: raw[name] for name in ("at_ms", "from", "to", "worker") if name in raw}
        events = []
        for place, (job, kind, subject, run, attempts) in enumerate(raw["jobs"], start=1):
            gateway = subject.partition("/")[0]
            names = {"id": job, "kind": kind, "gateway": gateway, "subject": subject, "run": run, "attempts": attempts}
            cursor = entry if place == len(raw["jobs"]) else f"{entry}/{place - 1}"
            events.append(cls._read_one(cursor, {"v": VERSION, "event": "job", **shared, **names}))
        return events

    @classmethod
    def _read_one(cls, cursor: str, raw: Mapping[str, Any]) -> Event:
        return cls(
            cursor=cursor,
            event=str(raw["event"]),
            at_ms=int(raw["at_ms"]),
            id=uuid_or_none(raw.get("id")),
            kind=_text(raw.get("kind")),
            gateway=_text(raw.get("gateway")),
            subject=_text(raw.get("subject")),
            from_state=_text(raw.get("from")),
            to_state=_text(raw.get("to")),
            run=_number(raw.get("run")),
            attempts=_number(raw.get("attempts")),
            worker=_text(raw.get("worker")),
            next_at_ms=_number(raw.get("next_at_ms")),
            reason=_text(raw.get("reason")),
            failure=Failure.read(raw.get("failure")),
            superseded_by=uuid_or_none(raw.get("superseded_by")),
            by=_text(raw.get("by")),
            scope=_text(raw.get("scope")),
            raw=raw,
        )


def resume(cursor: str) -> tuple[str, int]:
    """Split the cursor of an event: the id to read on after, and how many events of the next entry to skip."""
    if cursor == "$":
        return cursor, 0
    found = _CURSOR.fullmatch(cursor)
    time, count, place = (int(number or 0) for number in found.groups()) if found else (_LAST + 1, 0, 0)
    told = "/" in cursor
    if max(time, count) > _LAST or (told and time == count == 0):
        raise ValueError(f"{cursor!r} is not the cursor of an event")
    if not told:
        return cursor, 0
    return f"{time}-{count - 1}" if count else f"{time - 1}-{_LAST}", place + 1


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

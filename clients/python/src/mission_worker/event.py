"""The queue's events about changes of its jobs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from .errors import ProtocolMismatch
from .record import ENDED, Failure, uuid_or_none

VERSION = 1
"""The version of events that this package reads."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event, usually the transition of a job from one state to another.

    Events of unknown kinds are passed on unchanged: check `event` first.
    """

    cursor: str
    """Its position in the stream; reading can continue after it."""
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
    def read(cls, cursor: str, fields: Mapping[str, bytes]) -> Event | None:
        """Read an entry of the stream; none, with a log message, if it is not an event."""
        try:
            raw = json.loads(fields["event"])
            version, name, at_ms = raw["v"], str(raw["event"]), int(raw["at_ms"])
        except (KeyError, TypeError, ValueError):
            _log.warning("entry %s of the queue's events is not an event; left out", cursor)
            return None
        if version != VERSION:
            raise ProtocolMismatch(f"events have version {version!r}, not {VERSION}; upgrade mission-worker-client")
        return cls(
            cursor=cursor,
            event=name,
            at_ms=at_ms,
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


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

"""What the queue tells of its jobs, as they change."""

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
    """Something that happened, most often a job that went from one state to another.

    Events of kinds that this package does not know are passed on as they are: look at `event` first.
    """

    cursor: str
    """Where it stands in the stream; reading can go on after it."""
    event: str
    """What kind of event it is: `job`, `paused`, `resumed`, or one that is not known yet."""
    at_ms: int
    """When it happened, in milliseconds since 1970 by Redis's clock."""
    id: UUID | None = None
    """The job's id."""
    kind: str | None = None
    """The job's kind."""
    gateway: str | None = None
    """The gateway's id."""
    subject: str | None = None
    """What the job is about: `<gateway id>/<agent id>`, or `<gateway id>/heartbeats`."""
    from_state: str | None = None
    """The state that it left; none when it was enqueued."""
    to_state: str | None = None
    """The state that it is in now."""
    run: int | None = None
    """The number of the run, from 1."""
    attempts: int | None = None
    """How many runs counted."""
    worker: str | None = None
    """The worker concerned."""
    next_at_ms: int | None = None
    """When the job is due again."""
    reason: str | None = None
    """Why it is dead, such as `attempts`; why a pause was made."""
    failure: Failure | None = None
    """What went wrong."""
    superseded_by: UUID | None = None
    """The newer job that took its place."""
    by: str | None = None
    """The person or program that did it."""
    scope: str | None = None
    """What was paused or resumed: `all`, `kind:<kind>` or `gateway:<id>`."""
    raw: Mapping[str, Any] = field(repr=False)
    """The whole event, with members that are not known here."""

    @property
    def at(self) -> datetime:
        """When it happened."""
        return datetime.fromtimestamp(self.at_ms / 1000, timezone.utc)

    @property
    def ended(self) -> bool:
        """Whether a job has ended with it."""
        return self.event == "job" and self.to_state in ENDED

    @classmethod
    def read(cls, cursor: str, fields: Mapping[str, bytes]) -> Event | None:
        """Read an entry of the stream; none, with a word in the log, if it is no event."""
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

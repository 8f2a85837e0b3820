"""A stored job as the queue knows it, without its secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import UUID

from . import document


class State(str, Enum):
    """Where a job is. Other names are possible: workers may be newer than this package."""

    SCHEDULED = "scheduled"
    """Waiting for its first time."""
    READY = "ready"
    """Could run now, as soon as a worker and its subject are free."""
    RUNNING = "running"
    """Held by a worker."""
    RETRYING = "retrying"
    """Waiting to be tried again after a failure."""
    SNOOZED = "snoozed"
    """Waiting because the gateway or a person asked for it."""
    BLOCKED = "blocked"
    """Waiting for a person; tried again now and then all the same."""
    DONE = "done"
    """Ended: the gateway is as it should be."""
    DEAD = "dead"
    """Ended: given up, with a reason. An operator can retry it."""
    SUPERSEDED = "superseded"
    """Ended: a newer job took its place."""
    CANCELLED = "cancelled"
    """Ended: an operator did not want it any more."""

    __str__ = str.__str__


ENDED = frozenset({State.DONE, State.DEAD, State.SUPERSEDED, State.CANCELLED})
"""The states in which nothing happens to a job any more, unless an operator retries a dead one."""


@dataclass(frozen=True, kw_only=True)
class Enqueued:
    """What became of an enqueued job."""

    id: UUID
    """The job's id: that of the first job, if its idempotency key was in use."""
    state: str | None
    """`ready` or `scheduled`; the present state of the first job, if its idempotency key was in use, or none if that
    has been removed since."""
    superseded: Sequence[UUID] = ()
    """Older jobs that this one replaced."""
    duplicate: bool = False
    """Whether its idempotency key was in use, so that nothing was stored."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What went wrong."""

    code: str
    """Stable name for programs."""
    message: str
    """One sentence."""
    action: str | None = None
    """The next action of a person, where there is one."""
    method: str | None = None
    """The request to the gateway that failed, where that is known."""

    @classmethod
    def read(cls, value: object) -> Failure | None:
        """Read the JSON form."""
        if not isinstance(value, Mapping) or "code" not in value:
            return None
        action, method = value.get("action"), value.get("method")
        return cls(
            code=str(value["code"]),
            message=str(value.get("message", "")),
            action=None if action is None else str(action),
            method=None if method is None else str(method),
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that ended."""

    number: int
    """The number of the run, from 1."""
    worker: str
    """The worker that ran it."""
    started_at_ms: int
    """When it began."""
    ended_at_ms: int
    """When it ended, or was found to have been lost."""
    outcome: str
    """How it ended: `done`, `transient`, `busy`, `blocked`, `permanent`, `ambiguous`, `lost`, `released`, …"""
    failure: Failure | None
    """What went wrong, if it failed."""
    raw: Mapping[str, Any] = field(repr=False)
    """All that was noted, with the steps that it took."""

    @classmethod
    def read(cls, value: Any) -> Run | None:
        """Read the JSON form; none if it cannot be read."""
        try:
            result = value["result"]
            return cls(
                number=int(value["number"]),
                worker=str(value["worker"]),
                started_at_ms=int(value["started_at_ms"]),
                ended_at_ms=int(value["ended_at_ms"]),
                outcome=str(result["outcome"]),
                failure=Failure.read(result),
                raw=value,
            )
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A job as the queue knows it. Times are milliseconds since 1970 by Redis's clock."""

    id: UUID
    """The job's id."""
    state: str
    """Where it is: one of `State`, or of a newer worker's."""
    kind: str
    """One of `Kind`, or of a newer worker's."""
    gateway: str
    """The gateway's id: the job's lane."""
    subject: str
    """What it is about: jobs of one subject run one after another."""
    attempts: int
    """Runs that counted, the current one included."""
    max_attempts: int
    """How many may count before it is dead."""
    runs: int
    """All runs, the uncounted ones included."""
    enqueued_at_ms: int
    """When it was enqueued."""
    next_at_ms: int | None
    """When it is due, while it waits."""
    started_at_ms: int | None
    """When the last run began."""
    finished_at_ms: int | None
    """When it ended."""
    expires_at_ms: int | None
    """When it is given up if it still waits then."""
    priority: int
    """Where it stands among the jobs of its gateway: 0 to 9, 0 first."""
    worker: str | None
    """The worker that runs it now."""
    cancel: str | None
    """Who wants the running job to be cancelled, and why."""
    reason: str | None
    """Why it is dead, such as `attempts`, `permanent`, `invalid`, `poison`, `expired`."""
    superseded_by: UUID | None
    """The newer job that took its place."""
    inherited: str
    """What it took over from jobs that it replaced: letters, see docs/protocol.md."""
    idempotency_key: str | None
    """The key that it was enqueued with."""
    failure: Failure | None
    """What went wrong last, if anything ever did."""
    report: Mapping[str, Any] | None
    """What the successful run found and did; its `summary` is one sentence."""
    timeline: Sequence[tuple[str, int]]
    """The states that it has been in and since when, oldest first; about the last 40."""
    history: Sequence[Run]
    """The last 20 runs that ended, oldest first."""
    document: Mapping[str, Any] | None = field(repr=False)
    """The document with its secrets masked; none if it is not valid."""
    raw: Mapping[str, str] = field(repr=False)
    """All fields that are stored, but for the document."""

    @property
    def ended(self) -> bool:
        """Whether nothing happens to it any more by itself."""
        return self.state in ENDED

    @classmethod
    def read(cls, job_id: UUID, stored: Mapping[str, bytes], history: Sequence[bytes]) -> JobRecord | None:
        """Read what Redis holds; none if there is no such job. What cannot be read is left out."""
        raw = {name: value.decode(errors="replace") for name, value in stored.items() if name != "payload"}
        if "state" not in raw:
            return None
        report = _json(raw.get("report"))
        runs = (Run.read(_json(run)) for run in history)
        return cls(
            id=job_id,
            state=raw["state"],
            kind=raw.get("kind", ""),
            gateway=raw.get("lane", ""),
            subject=raw.get("subject", ""),
            attempts=_number(raw, "attempts") or 0,
            max_attempts=_number(raw, "max_attempts") or 0,
            runs=_number(raw, "runs") or 0,
            enqueued_at_ms=_number(raw, "enqueued_at") or 0,
            next_at_ms=_number(raw, "next_at"),
            started_at_ms=_number(raw, "started_at"),
            finished_at_ms=_number(raw, "finished_at"),
            expires_at_ms=_number(raw, "expires_at") or None,
            priority=_number(raw, "priority") or 0,
            worker=raw.get("worker") if raw.get("state") == State.RUNNING else None,
            cancel=raw.get("cancel"),
            reason=raw.get("reason") or None,
            superseded_by=uuid_or_none(raw.get("superseded_by")),
            inherited=raw.get("inherited", ""),
            idempotency_key=raw.get("idempotency_key"),
            failure=Failure.read(_json(raw.get("failure"))),
            report=report if isinstance(report, Mapping) else None,
            timeline=_timeline(raw.get("timeline", "")),
            history=[run for run in runs if run is not None],
            document=document.masked(stored.get("payload", b"")),
            raw=raw,
        )


def uuid_or_none(text: object) -> UUID | None:
    """Read an id; none if it is not one."""
    try:
        return UUID(str(text)) if text else None
    except ValueError:
        return None


def _number(raw: Mapping[str, str], name: str) -> int | None:
    try:
        return int(raw[name])
    except (KeyError, ValueError):
        return None


def _timeline(text: str) -> list[tuple[str, int]]:
    """Read `ready 1763859600000;running 1763859600004`."""
    entries = (entry.partition(" ") for entry in text.split(";"))
    return [(state, int(at)) for state, _, at in entries if at.isdecimal()]


def _json(text: str | bytes | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None

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
    """The state of a job. Other names are possible, because workers can be newer than this package."""

    SCHEDULED = "scheduled"
    """It waits for its first run."""
    READY = "ready"
    """It can run as soon as a worker and its subject are free."""
    RUNNING = "running"
    """It is leased by a worker."""
    RETRYING = "retrying"
    """It waits for a retry after a failure."""
    SNOOZED = "snoozed"
    """It waits because the gateway or a person asked for it."""
    BLOCKED = "blocked"
    """It needs a person; it is retried occasionally anyway."""
    DONE = "done"
    """It ended: the gateway has the desired state."""
    DEAD = "dead"
    """It ended: given up, with a reason. An operator can retry it."""
    SUPERSEDED = "superseded"
    """It ended: a newer job replaced it."""
    CANCELLED = "cancelled"
    """It ended: an operator cancelled it."""

    __str__ = str.__str__


ENDED = frozenset({State.DONE, State.DEAD, State.SUPERSEDED, State.CANCELLED})
"""The final states, unless an operator retries a dead job."""


@dataclass(frozen=True, kw_only=True)
class Enqueued:
    """The result of enqueueing a job."""

    id: UUID
    """The job's id: that of the first job, if its idempotency key was in use."""
    state: str | None
    """`ready` or `scheduled`; if its idempotency key was in use, the current state of the first job, or none if that
    has been removed."""
    superseded: Sequence[UUID] = ()
    """Older jobs that this one replaced."""
    duplicate: bool = False
    """True if its idempotency key was in use, so that nothing was stored."""


@dataclass(frozen=True, kw_only=True)
class StoredConnection:
    """The result of storing a gateway's connection."""

    stored: bool
    """False if a newer revision is in force, so that nothing was stored."""
    changed: bool
    """True if the gateway has another address, token or way of checking its certificate now. Its blocked jobs are tried
    again."""
    revision: int | None
    """The revision that is in force now, if the producer counts."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """The way out of a failure, as data; `Failure.action` is its text."""

    actor: str
    """The place where somebody has to act: `backend`, `gateway_host`, `worker`, `nobody`, or one of a newer worker."""
    command: str | None = None
    """The command to run there, if there is one that can be run as it is."""
    retry_helps: bool = True
    """True if the same job can succeed after the action; false if a new job is needed."""

    @classmethod
    def read(cls, value: object) -> Remedy | None:
        """Read the JSON form."""
        if not isinstance(value, Mapping) or "actor" not in value:
            return None
        command = value.get("command")
        return cls(
            actor=str(value["actor"]),
            command=None if command is None else str(command),
            retry_helps=value.get("retry_helps") is not False,
        )


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure of a job."""

    code: str
    """Stable name for programs."""
    message: str
    """The error in one sentence."""
    action: str | None = None
    """The remedy, if a person can act."""
    method: str | None = None
    """The failed request to the gateway, if known."""
    remedy: Remedy | None = None
    """The remedy as data; none if the failure passes by itself."""

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
            remedy=Remedy.read(value.get("remedy")),
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A completed run."""

    number: int
    """The number of the run, from 1."""
    worker: str
    """The worker that ran it."""
    started_at_ms: int
    """The start time."""
    ended_at_ms: int
    """The end time, or the time when it was found lost."""
    outcome: str
    """The outcome: `done`, `transient`, `busy`, `blocked`, `permanent`, `ambiguous`, `lost`, `released`, …"""
    failure: Failure | None
    """The failure, if it failed."""
    raw: Mapping[str, Any] = field(repr=False)
    """All recorded data, including its steps."""

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
    """Its state: one of `State`, or one of a newer worker."""
    kind: str
    """Its kind: one of `Kind`, or one of a newer worker."""
    gateway: str
    """The gateway's id: the job's lane."""
    subject: str
    """Its subject: jobs of one subject run one after another."""
    attempts: int
    """Runs that counted, including the current one."""
    max_attempts: int
    """The number of attempts after which it is dead."""
    runs: int
    """All runs, including uncounted ones."""
    enqueued_at_ms: int
    """The time of enqueueing."""
    next_at_ms: int | None
    """The time when it is due, while it waits."""
    started_at_ms: int | None
    """The start of the last run."""
    finished_at_ms: int | None
    """The time when it ended."""
    expires_at_ms: int | None
    """The time of expiry, if it still waits then."""
    priority: int
    """Its priority among the jobs of its gateway: 0 to 9, 0 first."""
    worker: str | None
    """The worker that runs it now."""
    cancel: str | None
    """The person who asked to cancel the running job, and the reason."""
    reason: str | None
    """The reason why it is dead, such as `attempts`, `permanent`, `invalid`, `poison`, `expired`."""
    superseded_by: UUID | None
    """The newer job that replaced it."""
    idempotency_key: str | None
    """Its idempotency key."""
    failure: Failure | None
    """The last failure, if there was one."""
    report: Mapping[str, Any] | None
    """The result of the successful run; its `summary` is one sentence."""
    timeline: Sequence[tuple[str, int]]
    """Its states with their times, oldest first; about the last 40."""
    history: Sequence[Run]
    """The last 20 completed runs, oldest first."""
    document: Mapping[str, Any] | None = field(repr=False)
    """The document with its secrets masked; none if it is not valid."""
    raw: Mapping[str, str] = field(repr=False)
    """All stored fields except the document."""

    @property
    def ended(self) -> bool:
        """Return whether the job is in a final state."""
        return self.state in ENDED

    @classmethod
    def read(cls, job_id: UUID, stored: Mapping[str, bytes], history: Sequence[bytes]) -> JobRecord | None:
        """Read the stored form; none if the job does not exist. Unreadable parts are omitted."""
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
            idempotency_key=raw.get("idempotency_key"),
            failure=Failure.read(_json(raw.get("failure"))),
            report=report if isinstance(report, Mapping) else None,
            timeline=_timeline(raw.get("timeline", "")),
            history=[run for run in runs if run is not None],
            document=document.masked(stored.get("payload", b"")),
            raw=raw,
        )


def uuid_or_none(text: object) -> UUID | None:
    """Read an id; none if it is invalid."""
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

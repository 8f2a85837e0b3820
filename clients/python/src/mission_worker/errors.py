"""The errors of this package, divided by what a caller can do about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis.exceptions

if TYPE_CHECKING:
    from .record import Enqueued

# First words of the error replies of a Redis that answers but cannot work at the moment.
_CONDITIONS = {
    "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH", "NOPERM", "NOREPLICAS", "OOM", "READONLY",
    "TRYAGAIN", "UNBLOCKED", "WRONGPASS",
}  # fmt: skip


# Characters that change how the text around them is shown, and the maximum length of a path.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_MAX_PATH = 200


class MissionError(Exception):
    """Base class of this package's errors, except for wrong arguments, which raise `ValueError`."""


@dataclass(frozen=True)
class Problem:
    """One fault of a document: its path, the problem and the remedy."""

    path: str
    """Path of the field, such as `agents[1].name`; `$` is the document itself."""
    problem: str
    """The fault. Never contains values of the document, which may be secret."""
    remedy: str
    """The remedy."""

    def __post_init__(self) -> None:
        """Put the path on one line, because it can contain arbitrary names."""
        path = UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", self.path)
        object.__setattr__(self, "path", path if len(path) <= _MAX_PATH else path[:_MAX_PATH] + "…")

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}; {self.remedy}"


class InvalidJob(MissionError, ValueError):
    """A job document that no worker would accept. Nothing was enqueued."""

    problems: list[Problem]
    """All faults found; at least one."""
    index: int | None
    """Index of the job in a list, from 0; none if there was only one."""

    def __init__(self, problems: Sequence[Problem], index: int | None = None) -> None:
        """Collect the problems of one document."""
        super().__init__(list(problems), index)
        self.problems = list(problems)
        self.index = index

    def __str__(self) -> str:
        place = "" if self.index is None else f"job {self.index}: "
        return "\n".join(f"{place}{problem}" for problem in self.problems)


class QueueError(MissionError):
    """Redis refused a request, and a retry does not help."""


class QueueUnavailable(QueueError):
    """Redis does not answer, or cannot work at the moment. A later retry can help."""


class ConnectionLost(QueueUnavailable):
    """The connection failed or timed out; the request may or may not have been carried out."""


class ProtocolMismatch(QueueError):
    """The queue in Redis has another version than this package. The message says what to upgrade."""


class NotReplicated(QueueError):
    """The jobs are stored, but fewer replicas than asked for have confirmed them, so a failover may lose them.

    Enqueueing the same again is safe: newer jobs take the place of older ones of the same agent.
    """

    def __init__(self, confirmed: int, wanted: int, jobs: Sequence[Enqueued]) -> None:
        """Keep the number of replicas and the jobs."""
        super().__init__(f"the jobs are stored, but only {confirmed} of {wanted} replicas have confirmed them")
        self.confirmed = confirmed
        """The number of replicas that have confirmed all of the jobs."""
        self.jobs = list(jobs)
        """What `enqueue` would have returned."""


class GatewayInUse(MissionError):
    """A gateway cannot be forgotten."""

    def __init__(self, message: str, reason: str) -> None:
        """Keep the reason: `unknown`, `running`, `agents` or `jobs`."""
        super().__init__(message)
        self.reason = reason
        """The reason, for programs: `unknown`, `running`, `agents` or `jobs`."""


class JobNotFound(MissionError, LookupError):
    """There is no such job; it may have ended and been removed."""


class ScriptMissing(QueueError):
    """Redis does not have the script yet. Never leaves this package."""


def translate(error: Exception) -> MissionError:
    """Convert an error of the Redis client to a type of this package."""
    reason = str(error) or type(error).__name__
    if isinstance(error, redis.exceptions.NoScriptError):
        return ScriptMissing(reason)
    hint = "check that it runs, is reachable and may be written to"
    if isinstance(error, (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)):
        return ConnectionLost(f"Redis cannot be used ({reason}); {hint}")
    # Redis before 7 puts the error of a command in a script after the command's position.
    words = re.findall(r"(?:^|: -)([A-Z]+) ", reason)
    if words[:1] == ["PROTOCOL"]:
        return ProtocolMismatch(f"{reason}; upgrade mission-worker-client")
    if words[:1] == ["LAYOUT"]:
        # Its text says whether the keys or the programs are too old.
        return ProtocolMismatch(reason)
    if words[:1] == ["WRONGTYPE"]:
        return QueueError(f"a key of the queue has a wrong type ({reason}); run `worker doctor --repair`")
    if words[:1] == ["UNREADABLE"]:
        return QueueError(reason)
    known = (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError, redis.exceptions.NoPermissionError)
    if _CONDITIONS.intersection(words) or isinstance(error, known):
        return QueueUnavailable(f"Redis cannot be used ({reason}); {hint}")
    return QueueError(f"Redis refused ({reason}); something else writes to this queue's keys, or this is a fault")

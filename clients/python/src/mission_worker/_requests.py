"""The requests to Redis that flows are made of, and the types of flows."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from . import wire
from .errors import ScriptMissing
from .event import Event
from .wire import Keys, Script

_BLOCK = 2.0
_BATCH = 100


@dataclass(frozen=True)
class Command:
    """One command for Redis."""

    words: tuple[Any, ...]


@dataclass(frozen=True)
class Together:
    """Commands that go to one Redis over one connection, one after the other. The answer has that of each."""

    key: str
    commands: tuple[tuple[Any, ...], ...]


_Result = TypeVar("_Result")
Flow: TypeAlias = "Generator[Command | Together, Any, _Result]"
Stream: TypeAlias = "Generator[Command | Together | Event, Any, None]"


def run_script(script: Script, keys: Keys, words: Sequence[Any]) -> Flow[Any]:
    """Run a script, which Redis may have already."""
    with contextlib.suppress(ScriptMissing):
        return (yield Command(("EVALSHA", script.sha1, 1, keys.prefix, *words)))
    return (yield Command(("EVAL", script.text, 1, keys.prefix, *words)))


def read_events(keys: Keys, cursor: str, pause: float) -> Flow[list[tuple[str, dict[str, bytes] | None]]]:
    """Read the entries of the stream of events after a cursor, and wait that long for the first."""
    blocking = ("BLOCK", milliseconds(pause)) if pause else ()
    answer = yield Command(("XREAD", "COUNT", _BATCH, *blocking, "STREAMS", keys.events, cursor))
    return wire.entries(answer)


def blocking(socket_timeout: float | None) -> float:
    """Return the time that one command may block: less than the client library waits for an answer."""
    return _BLOCK if not socket_timeout else min(_BLOCK, socket_timeout / 2)


def milliseconds(seconds: float) -> int:
    """Return a time as Redis takes it."""
    # Redis reads 0 as no limit.
    return max(1, round(seconds * 1000))

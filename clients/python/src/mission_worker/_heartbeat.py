"""Checks the heartbeat settings of a job, as workers do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ._schema import WHITE_SPACE, nested
from .errors import Problem

SHORTEST = 30
"""The minimum seconds between heartbeats without `options.allow_fast_heartbeat`."""

_MIN_TOKEN_CHARS = 6
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def problems(path: str, agent: dict[str, Any], token: str | None, allow_fast: bool) -> list[Problem]:
    """Return the faults of an agent's heartbeat at that path."""
    config = agent.get("heartbeat_config")
    every = config.get("every") if isinstance(config, dict) else None
    found = []
    if not allow_fast and isinstance(every, str) and (seconds := interval(every)) is not None and seconds < SHORTEST:
        problem = f"shorter than {SHORTEST} seconds"
        remedy = f"use {SHORTEST}s or more, or set `options.allow_fast_heartbeat`"
        found.append(Problem(f"{path}.heartbeat_config.every", problem, remedy))
    if token is not None and len(token) >= _MIN_TOKEN_CHARS and any(token in text for text in _texts(config)):
        problem = "contains the agent's `auth_token`, and other people can read the gateway's config"
        remedy = "remove it; the agent finds its token in TOOLS.md or AGENTS.md"
        found.append(Problem(f"{path}.heartbeat_config", problem, remedy))
    return found


def interval(text: str) -> float | None:
    """Return the seconds of an interval as gateways read it; none if it is disabled or not understood."""
    text = text.strip(WHITE_SPACE).lower()
    parts: list[tuple[str, str]] = re.findall(r"([0-9.]+)([^0-9.]*)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    nanoseconds = 0
    for number, unit in parts:
        factor = 60.0 if unit == "" and number == text else _UNITS.get(unit)
        try:
            seconds = float(number) * factor if factor is not None else float("nan")
        except ValueError:
            return None
        if not seconds < 2**64:
            return None
        nanoseconds += round(seconds * 1e9)
    return nanoseconds / 1e9 if nanoseconds else None


def _texts(config: Any) -> Iterator[str]:
    """Yield all texts in a config: those of its values, and the names of members."""
    for value in nested(config):
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value

"""Checks what a schema does not express, as workers do: what a kind of job needs, and what fields ask of each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from . import _urls
from ._schema import WHITE_SPACE, is_blank, nested
from .errors import Problem
from .job import Action, Kind

_SHORTEST = 30
"""The minimum seconds between heartbeats without `options.allow_fast_heartbeat`."""

_MIN_TOKEN_CHARS = 6
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def problems(document: dict[str, Any]) -> list[Problem]:
    """Return all faults of a document that fits the schema."""
    kind, gateway, options = document["kind"], document["gateway"], document.get("options") or {}
    found: list[Problem] = []

    def refuse(path: str, problem: str, remedy: str) -> None:
        found.append(Problem(path, problem, remedy))

    wanted, unwanted = ("agents", "agent") if kind == Kind.HEARTBEAT_SYNC else ("agent", "agents")
    if document.get(wanted) is None:
        refuse(wanted, "missing", f"add it; a {kind} job needs it")
    if document.get(unwanted) is not None:
        refuse(unwanted, f"not part of a {kind} job", f"use `{wanted}`")
    url = (gateway.get("url") or "").strip(WHITE_SPACE)
    if not url and kind != Kind.HEARTBEAT_SYNC and not found:
        return []
    fault = _urls.fault(url) if url else "missing"
    if fault is not None:
        refuse("gateway.url", fault, "give its address, such as ws://host:18789 or wss://host")
    if is_blank(gateway.get("workspace_root")):
        remedy = "set the folder on the gateway's machine under which workspaces are made"
        refuse("gateway.workspace_root", "missing", remedy)
    if gateway.get("tls_fingerprint") is not None:
        if gateway.get("allow_insecure_tls"):
            problem = "`gateway.allow_insecure_tls` accepts any certificate"
            refuse("gateway.tls_fingerprint", problem, "remove one of the two")
        elif fault is None and not _urls.is_secure(url):
            problem = "`gateway.url` is not wss, so there is no certificate"
            refuse("gateway.tls_fingerprint", problem, "use wss://, or remove it")
    needs_token = kind in (Kind.PROVISION, Kind.PROVISION_MAIN) and options.get("action") != Action.UPDATE
    if needs_token and document.get("auth_token") is None:
        remedy = "add the agent's token for the main backend's API; only an update can keep the one it has"
        refuse("auth_token", "missing", remedy)
    if kind == Kind.PROVISION and document.get("board") is None:
        refuse("board", "missing", "add the board, or use kind `provision-main`")
    if kind == Kind.CLEANUP:
        return found
    token = document.get("auth_token") or ""
    for path, config in _heartbeats(document):
        every = config.get("every") if isinstance(config, dict) else None
        if not options.get("allow_fast_heartbeat") and isinstance(every, str) and 0 < _seconds(every) < _SHORTEST:
            remedy = f"use {_SHORTEST}s or more, or set `options.allow_fast_heartbeat`"
            refuse(f"{path}.every", f"shorter than {_SHORTEST} seconds", remedy)
        if len(token) >= _MIN_TOKEN_CHARS and any(token in text for text in _texts(config)):
            problem = "contains the agent's `auth_token`, and other people can read the gateway's config"
            refuse(path, problem, "remove it; the agent finds its token in TOOLS.md or AGENTS.md")
    return found


def _heartbeats(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the heartbeats of all agents with their paths."""
    if (agent := document.get("agent")) is not None:
        yield "agent.heartbeat_config", agent.get("heartbeat_config")
    for index, agent in enumerate(document.get("agents") or ()):
        yield f"agents[{index}].heartbeat_config", agent.get("heartbeat_config")


def _seconds(interval: str) -> float:
    """Return the seconds of an interval as gateways read it; 0 if it is disabled or not understood."""
    interval = interval.strip(WHITE_SPACE).lower()
    parts: list[tuple[str, str]] = re.findall(r"([0-9.]+)([^0-9.]*)", interval)
    if "".join(number + unit for number, unit in parts) != interval:
        return 0
    try:
        seconds = [float(number) * (60.0 if number == interval else _UNITS[unit]) for number, unit in parts]
        return sum(round(part * 1e9) for part in seconds) / 1e9
    except (KeyError, OverflowError, ValueError):
        return 0


def _texts(config: Any) -> Iterator[str]:
    """Yield all texts in a heartbeat: those of its values, and the names of members."""
    for value in nested(config):
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from value

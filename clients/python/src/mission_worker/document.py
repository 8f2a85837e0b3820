"""Converts documents to jobs and back, with the same checks as workers, so that a bad document is refused early.

A worker checks every document again; its result is the one that counts.
"""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from . import _heartbeat, _schema, _urls
from ._schema import WHITE_SPACE
from .errors import UNPRINTABLE, InvalidJob, Problem
from .job import (
    Action,
    Agent,
    Board,
    Cleanup,
    Gateway,
    HeartbeatSync,
    Job,
    Kind,
    Nothing,
    Options,
    Provision,
    ProvisionMain,
    User,
    Wake,
)

MAX_DOCUMENT_BYTES = 1024 * 1024
"""Largest accepted job document in bytes."""

_MAX_DEPTH = 127

_JOBS: dict[str, type[Any]] = {job.kind: job for job in (Provision, ProvisionMain, Cleanup, HeartbeatSync)}
_PARTS: dict[str, type[Any]] = {
    "gateway": Gateway,
    "agent": Agent,
    "board": Board,
    "user": User,
    "options": Options,
    "wake": Wake,
}


def parse_job(document: Mapping[str, Any] | str | bytes) -> Job:
    """Check a job document and return its job. Raises `InvalidJob` with all faults found.

    A document for a gateway without a URL becomes `Nothing`, because it may lack fields that other jobs need.
    """
    _, value = read(document)
    is_nothing = value["kind"] != Kind.HEARTBEAT_SYNC and is_blank(value["gateway"].get("url"))
    job: Job = _made(Nothing if is_nothing else _JOBS[value["kind"]], value)
    return job


def _made(made: type[Any], value: dict[str, Any]) -> Any:
    """Build a job, or a part of one, from the members of a checked object that it has."""
    names = [field.name for field in dataclasses.fields(made)]
    return made(**{name: _member(name, value[name]) for name in names if value.get(name) is not None})


def _member(name: str, value: Any) -> Any:
    if name in _PARTS:
        return _made(_PARTS[name], value)
    match name:
        case "agents":
            return [_made(Agent, agent) for agent in value]
        case "id" | "board_id":
            return UUID(value)
        case "token" | "auth_token":
            return value.strip(WHITE_SPACE)
        case "kind":
            return Kind(value)
        case "action":
            return Action(value)
    return value


def to_document(job: Job) -> dict[str, Any]:
    """Return the document of a job, unchecked. Secret. Fields with their default are omitted."""
    return {"version": 1, "kind": str(job.kind), **_members(job)}


def read(job: Job | Mapping[str, Any] | str | bytes) -> tuple[bytes, dict[str, Any]]:
    """Check a job or a document. Returns its text, byte for byte as given if it was text, and its content.

    Warns about blanks around tokens, which workers remove.
    """
    text, value = _checked(job)
    _warn_of_blanks(value)
    return text, value


def _checked(job: Job | Mapping[str, Any] | str | bytes) -> tuple[bytes, dict[str, Any]]:
    if isinstance(job, bytes):
        text = job
    elif isinstance(job, str):
        text = _encoded(job)
    elif isinstance(job, Mapping):
        text = _encoded(_dumped(dict(job)))
    elif dataclasses.is_dataclass(job):
        text = _encoded(_dumped(to_document(job)))
    else:
        raise TypeError(f"a {type(job).__name__} is not a job; give a Provision, a Cleanup, … or a document")
    if len(text) > MAX_DOCUMENT_BYTES:
        problem = f"the document has {len(text)} bytes, more than {MAX_DOCUMENT_BYTES}"
        raise InvalidJob([Problem("$", problem, "shorten the templates or texts in it")])
    value = _loaded(text)
    problems = _head_problems(value) or _schema.problems(value) or _needs(value)
    if problems:
        raise InvalidJob(problems)
    return text, value


def _warn_of_blanks(value: dict[str, Any]) -> None:
    for path, token in (("auth_token", value.get("auth_token")), ("gateway.token", value["gateway"].get("token"))):
        if token is not None and token != token.strip(WHITE_SPACE):
            warnings.warn(f"{path}: the blanks or line breaks around the token are left away", stacklevel=3)


_SEALED_URL = re.compile(rb'("url":\s*)"sealed:[^"]*"')
_SOME_URL = "wss://sealed.invalid"


def masked(text: bytes) -> dict[str, Any] | None:
    """Return a document without its secrets; none if it is invalid, because its secrets cannot be located then."""
    try:
        _, value = _checked(_SEALED_URL.sub(rb'\1"' + _SOME_URL.encode() + b'"', text))
    except InvalidJob:
        return None
    for holder, name in ((value, "auth_token"), (value["gateway"], "token")):
        if holder.get(name) is not None:
            holder[name] = "***"
    if not is_blank(url := value["gateway"].get("url")):
        value["gateway"]["url"] = "***" if url == _SOME_URL else _urls.masked(url)
    return value


def _head_problems(value: Any) -> list[Problem]:
    """Return the fault of the version or the kind, by which the rest is read."""
    if not isinstance(value, dict):
        return [Problem("$", "not an object", "send one JSON object")]
    version, kind, kinds = value.get("version"), value.get("kind"), f"use one of {', '.join(Kind)}"
    if "version" not in value:
        return [Problem("version", "missing", 'add `"version": 1`')]
    if type(version) is not int or version != 1:
        remedy = "send version 1; this version of mission-worker-client knows no other"
        return [Problem("version", f"{_brief(version)} is not a known version", remedy)]
    if "kind" not in value:
        return [Problem("kind", "missing", kinds)]
    if not isinstance(kind, str):
        return [Problem("kind", f"{_brief(kind)} is not a string", kinds)]
    return [] if kind in _JOBS else [Problem("kind", f"`{_shorten(kind)}` is not a known kind", kinds)]


def _brief(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "an array" if isinstance(value, list) else "an object"
    return f'"{_shorten(value)}"' if isinstance(value, str) else json.dumps(value)


def _shorten(text: str) -> str:
    return UNPRINTABLE.sub("", text)[:40]


def _needs(value: dict[str, Any]) -> list[Problem]:
    """Return the fields that a document of the right shape lacks for its kind."""
    kind, gateway, problems = value["kind"], value["gateway"], list[Problem]()
    sync = kind == Kind.HEARTBEAT_SYNC
    wanted, unwanted = ("agents", "agent") if sync else ("agent", "agents")
    if value.get(wanted) is None:
        problems.append(Problem(wanted, "missing", f"add it; a {kind} job needs it"))
    if value.get(unwanted) is not None:
        problems.append(Problem(unwanted, f"not part of a {kind} job", f"use `{wanted}`"))
    url = (gateway.get("url") or "").strip(WHITE_SPACE)
    if not url and not sync and not problems:
        return []
    if (fault := _urls.fault(url) if url else "missing") is not None:
        problems.append(Problem("gateway.url", fault, "give its address, such as ws://host:18789 or wss://host"))
    if is_blank(gateway.get("workspace_root")):
        remedy = "set the folder on the gateway's machine under which workspaces are made"
        problems.append(Problem("gateway.workspace_root", "missing", remedy))
    if gateway.get("tls_fingerprint") is not None:
        problems += _pin_problems(gateway, url)
    update = (value.get("options") or {}).get("action") == Action.UPDATE
    if kind in (Kind.PROVISION, Kind.PROVISION_MAIN) and not update and value.get("auth_token") is None:
        remedy = "add the agent's token for the main backend's API; only an update can keep the one it has"
        problems.append(Problem("auth_token", "missing", remedy))
    if kind == Kind.PROVISION and value.get("board") is None:
        problems.append(Problem("board", "missing", "add the board, or use kind `provision-main`"))
    if kind != Kind.CLEANUP:
        problems += _heartbeat_problems(value)
    return problems


def _heartbeat_problems(value: dict[str, Any]) -> list[Problem]:
    allow_fast = bool((value.get("options") or {}).get("allow_fast_heartbeat"))
    agents = [("agent", agent)] if (agent := value.get("agent")) is not None else []
    agents += [(f"agents[{index}]", agent) for index, agent in enumerate(value.get("agents") or [])]
    token = value.get("auth_token")
    return [problem for path, agent in agents for problem in _heartbeat.problems(path, agent, token, allow_fast)]


def _pin_problems(gateway: dict[str, Any], url: str) -> list[Problem]:
    """Return the fault of a pinned certificate."""
    path = "gateway.tls_fingerprint"
    if gateway.get("allow_insecure_tls"):
        problem = "`gateway.allow_insecure_tls` accepts any certificate"
        return [Problem(path, problem, "remove one of the two")]
    if _urls.fault(url) is None and not _urls.is_secure(url):
        problem = "`gateway.url` is not wss, so there is no certificate"
        return [Problem(path, problem, "use wss://, or remove it")]
    return []


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _not_json("half a surrogate pair") from None


def _dumped(document: dict[str, Any]) -> str:
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise _not_json(str(error)) from None


def _plain(value: object) -> str:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _loaded(text: bytes) -> Any:
    """Parse JSON like `json.loads`, but as strictly as the workers' reader."""

    def refuse(_: str) -> Any:
        raise ValueError("a number that JSON does not have")

    def number(digits: str) -> float:
        if (value := float(digits)) in (float("inf"), float("-inf")):
            raise ValueError("number out of range")
        return value

    def integer(digits: str) -> int | float:
        approximate = number(digits)
        value = int(digits)
        return value if -(2**63) <= value < 2**64 else approximate

    try:
        value = json.loads(text.decode(), parse_constant=refuse, parse_float=number, parse_int=integer)
        _check(value, _MAX_DEPTH)
    except UnicodeError:
        raise _not_json("not UTF-8, or half a surrogate pair") from None
    except json.JSONDecodeError as error:
        # Its text gives the position, but not the content.
        raise _not_json(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise _not_json("nested too deeply" if isinstance(error, RecursionError) else str(error)) from None
    return value


def _check(value: Any, depth: int) -> None:
    """Refuse deep nesting and half surrogate pairs, which Python accepts and workers do not."""
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, (dict, list)):
        if depth == 0:
            raise RecursionError
        for item in value:
            _check(item, depth - 1)
        if isinstance(value, dict):
            for item in value.values():
                _check(item, depth - 1)


def _not_json(why: str) -> InvalidJob:
    return InvalidJob([Problem("$", f"not JSON ({why})", "send one JSON object")])


def _members(part: Any) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        default = field.default_factory() if callable(field.default_factory) else field.default
        if field.name != "kind" and (value is not None and (value != default or field.name == "name")):
            members[field.name] = _jsonable(value)
    return members


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _members(value)
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    return dict(value) if isinstance(value, Mapping) else value


def is_blank(text: str | None) -> bool:
    """Return whether a text is blank."""
    return not (text or "").strip(WHITE_SPACE)

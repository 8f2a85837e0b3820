"""Converts documents to jobs and back, with the same checks as workers, so that a bad document is refused early.

A worker checks every document again; its result is the one that counts.
"""

from __future__ import annotations

import codecs
import dataclasses
import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from . import _rules, _schema, _urls
from ._schema import WHITE_SPACE, is_blank, items
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


def of_gateway(gateway: Gateway | Mapping[str, Any]) -> dict[str, Any]:
    """Return the document that stores a gateway's connection: a heartbeat-sync without agents."""
    members = _members(gateway) if isinstance(gateway, Gateway) else gateway
    return {"version": 1, "kind": str(Kind.HEARTBEAT_SYNC), "gateway": members, "agents": []}


def read(job: Job | Mapping[str, Any] | str | bytes) -> tuple[bytes, dict[str, Any]]:
    """Check a job or a document. Returns its text, byte for byte as given if it was text, and its content.

    A byte order mark at the beginning of a text is left away.

    Warns about blanks around tokens, which workers remove.
    """
    text, value = _checked(job)
    _warn_of_blanks(value)
    return text, value


def _checked(job: Job | Mapping[str, Any] | str | bytes) -> tuple[bytes, dict[str, Any]]:
    if isinstance(job, bytes):
        text = job.removeprefix(codecs.BOM_UTF8)
    elif isinstance(job, str):
        text = _encoded(job.removeprefix("\ufeff"))
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
    problems = _head_problems(value) or _schema.problems(value) or _rules.problems(value)
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


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _not_json("half a surrogate pair") from None


def _dumped(document: Any) -> str:
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
    """Parse JSON as strictly as the workers' reader."""
    try:
        value = json.loads(text.decode(), parse_int=_number, object_pairs_hook=_object)
    except UnicodeError:
        raise _not_json("not UTF-8") from None
    except RecursionError:
        raise _not_json("nested too deeply") from None
    except json.JSONDecodeError as error:
        # Its text gives the position, but not the content.
        raise _not_json(str(error)) from None
    # Only this refuses half surrogate pairs, and numbers that are out of range or that JSON does not have.
    _encoded(_dumped(value))
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [item for outer in level for item in items(outer)]
    if any(isinstance(item, (list, dict)) for item in level):
        raise _not_json("nested too deeply")
    if (path := _twice(value)) is not None:
        raise InvalidJob([Problem(path, "occurs twice", "remove one of the two members")])
    return value


class _Twice(dict[str, Any]):
    """An object of which two members have the same name."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    object_ = _Twice(members)
    object_.name = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return object_


def _twice(value: Any, path: str = "") -> str | None:
    """Return the path of the first member that has the name of another of its object, if there is any."""
    if isinstance(value, dict):
        inside = [(f"{path}.{name}" if path else name, member) for name, member in value.items()]
    else:
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else []
    if isinstance(value, _Twice):
        return f"{path}.{value.name}" if path else value.name
    return next((found for place, item in inside if (found := _twice(item, place)) is not None), None)


def _number(digits: str) -> int | float:
    value = int(digits) if len(digits) <= len(str(2**64)) else 2**64
    return value if -(2**63) <= value < 2**64 else float(digits)


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

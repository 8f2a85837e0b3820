"""Checks the shape of a document: its fields and their types. Stops at the first fault, as workers do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from . import _limits
from ._dates import is_date
from ._limits import WHITE_SPACE
from ._limits import Fault as _Fault
from .errors import Problem
from .job import Action, Kind

_Rule: TypeAlias = Callable[[Any, str], None]
_UUID = re.compile(
    r"[0-9a-f]{32}|(?P<open>\{|urn:uuid:)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?P<close>\})?",
    re.IGNORECASE | re.ASCII,
)
_FINGERPRINT = re.compile(r"sha256:([0-9a-fA-F]{64}|[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){31})")
_MAX_VERB = 64
_KINDS = ", ".join(Kind)


def problems(value: Any) -> list[Problem]:
    """Return the first fault of a document's shape, if it has one."""
    try:
        if not isinstance(value, dict):
            raise _Fault("$", "not an object", "send one JSON object")
        _check_version(value)
        _check_kind(value)
        _check_lists(value)
        _limits.check(value)
        _DOCUMENT(value, "")
    except _Fault as fault:
        return [fault.problem]
    return []


def _check_version(document: dict[str, Any]) -> None:
    if "version" not in document:
        raise _Fault("version", "missing", 'add `"version": 1`')
    version = document["version"]
    if type(version) is not int or version != 1:
        remedy = "send version 1; this version of mission-worker-client knows no other"
        raise _Fault("version", f"{_brief(version)} is not a known version", remedy)


def _check_kind(document: dict[str, Any]) -> None:
    if "kind" not in document:
        raise _Fault("kind", "missing", f"use one of {_KINDS}")
    kind = document["kind"]
    if not isinstance(kind, str):
        raise _Fault("kind", f"{_brief(kind)} is not a string", f"use one of {_KINDS}")
    if kind not in list(Kind):
        raise _Fault("kind", f"`{_shorten(kind)}` is not a known kind", f"use one of {_KINDS}")


def _check_lists(document: dict[str, Any]) -> None:
    """Find lists in the place of objects, before the other checks, as workers do."""
    for name in ("gateway", "agent", "board", "user", "options"):
        if isinstance(document.get(name), list):
            raise _Fault(name, "wrong type (sequence)", "use an object")
    agents = document.get("agents")
    for index, agent in enumerate(agents if isinstance(agents, list) else ()):
        if isinstance(agent, list):
            raise _Fault(f"agents[{index}]", "wrong type (sequence)", "use an object")
    options = document.get("options")
    if isinstance(options, dict) and isinstance(options.get("wake"), list):
        raise _Fault("options.wake", "wrong type (sequence)", "use an object")
    if isinstance(options, dict) and isinstance(options.get("action"), dict):
        raise _Fault("options.action", "wrong type (map)", "use `provision` or `update`")


def _anything(value: Any, path: str) -> None:
    pass


def _string(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise _Fault(path, f"wrong type ({_type_of(value)})", "use a string")


def _boolean(value: Any, path: str) -> None:
    if not isinstance(value, bool):
        raise _Fault(path, f"wrong type ({_type_of(value)})", "use a boolean")


def _uuid(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise _Fault(path, f"wrong type ({_type_of(value)})", "use a UUID as a string")
    match = _UUID.fullmatch(value)
    opened, closed = (match["open"], match["close"]) if match else (None, None)
    braces = (opened == "{") == (closed == "}")
    if match is None or not braces or (opened not in (None, "{") and opened != "urn:uuid:"):
        raise _Fault(path, "not a UUID", "use a UUID such as 0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d02")


def _date(value: Any, path: str) -> None:
    _string(value, path)
    if value and not is_date(value):
        raise _Fault(path, "not a date", "use ISO 8601 such as 2026-03-01T09:00:00+00:00")


def _action(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise _Fault(path, f"wrong type ({_type_of(value)})", "use `provision` or `update`")
    if value not in list(Action):
        raise _Fault(path, "unknown variant", "use `provision` or `update`")


def _fingerprint(value: Any, path: str) -> None:
    _string(value, path)
    if _FINGERPRINT.fullmatch(value) is None:
        raise _Fault(path, "not a fingerprint", "use `sha256:` and 64 hex digits, with or without colons between bytes")


def _verb(value: Any, path: str) -> None:
    _string(value, path)
    if is_blank(value):
        problem = "blank"
    elif len(value) > _MAX_VERB:
        problem = "too long"
    elif any(c < " " or "\x7f" <= c <= "\x9f" for c in value):
        problem = "not printable"
    else:
        return
    raise _Fault(path, problem, f"use 1 to {_MAX_VERB} printable characters")


def _nullable(rule: _Rule) -> _Rule:
    def check(value: Any, path: str) -> None:
        if value is not None:
            rule(value, path)

    return check


def _list_of(rule: _Rule) -> _Rule:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise _Fault(path, f"wrong type ({_type_of(value)})", "use a list")
        for index, item in enumerate(value):
            rule(item, f"{path}[{index}]")

    return check


def _object(required: dict[str, _Rule], optional: dict[str, _Rule]) -> _Rule:
    rules = required | optional

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _Fault(path, f"wrong type ({_type_of(value)})", "use an object")
        for name, item in value.items():
            at = f"{path}.{name}" if path else name
            if name not in rules:
                raise _Fault(at, "unknown field", f"remove it, or use one of {', '.join(rules)}")
            rules[name](item, at)
        for name in required:
            if name not in value:
                raise _Fault(f"{path}.{name}" if path else name, "missing", "add it")

    return check


_GATEWAY = _object(
    {"id": _uuid},
    {
        "name": _nullable(_string),
        "url": _nullable(_string),
        "token": _nullable(_string),
        "workspace_root": _nullable(_string),
        "allow_insecure_tls": _nullable(_boolean),
        "tls_fingerprint": _nullable(_fingerprint),
    },
)
_AGENT = _object(
    {"id": _uuid, "name": _string},
    {
        "board_id": _nullable(_uuid),
        "openclaw_session_id": _nullable(_string),
        "is_board_lead": _nullable(_boolean),
        "heartbeat_config": _anything,
        "identity_profile": _anything,
        "identity_template": _nullable(_string),
        "soul_template": _nullable(_string),
    },
)
_BOARD = _object(
    {"id": _uuid, "name": _string},
    {
        "board_type": _string,
        "objective": _nullable(_string),
        "success_metrics": _anything,
        "target_date": _nullable(_date),
        "goal_confirmed": _nullable(_boolean),
    },
)
_USER = _object(
    {},
    {name: _nullable(_string) for name in ("name", "preferred_name", "pronouns", "timezone", "notes", "context")},
)
_WAKE = _object({}, {"deliver": _nullable(_boolean), "verb": _nullable(_verb)})
_OPTIONS = _object(
    {},
    {
        "action": _nullable(_action),
        "force_bootstrap": _nullable(_boolean),
        "reset_session": _nullable(_boolean),
        "wake": _nullable(_WAKE),
        "allow_fast_heartbeat": _nullable(_boolean),
        "adopt": _nullable(_boolean),
        "move_workspace": _nullable(_boolean),
    },
)
_DOCUMENT = _object(
    {"version": _anything, "kind": _anything, "gateway": _GATEWAY},
    {
        "agent": _nullable(_AGENT),
        "agents": _nullable(_list_of(_AGENT)),
        "board": _nullable(_BOARD),
        "user": _nullable(_USER),
        "auth_token": _nullable(_string),
        "session_key": _nullable(_string),
        "options": _nullable(_OPTIONS),
    },
)


def is_blank(text: str | None) -> bool:
    """Return whether a text is blank."""
    return not (text or "").strip(WHITE_SPACE)


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "floating", str: "string", list: "sequence", dict: "map"}
    return names.get(type(value), "null")


def _brief(value: Any) -> str:
    if isinstance(value, str):
        return f'"{_shorten(value)}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return str(value)
    return "an array" if isinstance(value, list) else "an object"


def _shorten(text: str) -> str:
    return "".join(c for c in text if c >= " " and not "\x7f" <= c <= "\x9f")[:40]

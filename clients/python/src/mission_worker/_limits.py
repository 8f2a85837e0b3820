"""Limits the lengths and counts in a document, as workers do."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .errors import UNPRINTABLE, Problem

MAX_NAME = 2_000
MAX_TOKEN = 8_000
MAX_TEXT = 64_000
MAX_TEMPLATE_BYTES = 256 * 1024
MAX_VALUES = 1_000
MAX_AGENTS = 5_000
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
# White space as Unicode defines it. Python's `str.strip` also removes four ASCII separators.
WHITE_SPACE = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class Fault(Exception):
    """Reports the first fault of a document."""

    def __init__(self, path: str, problem: str, remedy: str) -> None:
        super().__init__()
        self.problem = Problem(path, problem, remedy)


class _Rule(NamedTuple):
    limit: int = MAX_TEXT
    bytes: bool = False
    # It is shown on a line, so nothing in it may change the line.
    line: bool = False
    # Blanks around it are removed; control characters inside it are refused.
    token: bool = False
    json: bool = False


_NAME, _TOKEN, _TEXT = _Rule(MAX_NAME), _Rule(MAX_TOKEN, token=True), _Rule(MAX_TEXT)
_LINE, _TEMPLATE, _ANY = _Rule(MAX_NAME, line=True), _Rule(MAX_TEMPLATE_BYTES, bytes=True), _Rule(json=True)
_DOCUMENT = {"auth_token": _TOKEN, "session_key": _LINE}
_AGENT = {
    "name": _LINE,
    "openclaw_session_id": _LINE,
    "heartbeat_config": _ANY,
    "identity_profile": _ANY,
    "identity_template": _TEMPLATE,
    "soul_template": _TEMPLATE,
}
_PARTS = {
    "gateway": {"name": _LINE, "url": _NAME, "token": _TOKEN, "workspace_root": _LINE},
    "agent": _AGENT,
    "board": {"name": _LINE, "board_type": _NAME, "objective": _TEXT, "success_metrics": _ANY},
    "user": {
        "name": _NAME,
        "preferred_name": _NAME,
        "pronouns": _NAME,
        "timezone": _NAME,
        "notes": _TEXT,
        "context": _TEXT,
    },
}


def check(document: dict[str, Any]) -> None:
    """Raise for the first exceeded limit. Values of a wrong type are skipped."""
    _check_fields(document, "", _DOCUMENT)
    for name, rules in _PARTS.items():
        if isinstance(part := document.get(name), dict):
            _check_fields(part, f"{name}.", rules)
    gateway = document.get("gateway")
    root = gateway.get("workspace_root") if isinstance(gateway, dict) else None
    if isinstance(root, str) and ".." in re.split(r"[/\\]", root):
        raise Fault("gateway.workspace_root", "contains `..`", "use the folder's real path, without `..`")
    agents = document.get("agents")
    if not isinstance(agents, list):
        return
    if len(agents) > MAX_AGENTS:
        raise Fault("agents", f"{len(agents)} agents, more than {MAX_AGENTS}", "send them in several jobs")
    for index, agent in enumerate(agents):
        if isinstance(agent, dict):
            _check_fields(agent, f"agents[{index}].", _AGENT)


def _check_fields(part: dict[str, Any], parent: str, rules: dict[str, _Rule]) -> None:
    for name, rule in rules.items():
        value = part.get(name)
        if rule.json and name in part:
            _check_json(value, parent + name)
        elif isinstance(value, str):
            _check_text(value, parent + name, rule)


def _check_text(text: str, path: str, rule: _Rule, before: str = "") -> None:
    length, unit = (len(text.encode()), "bytes") if rule.bytes else (len(text), "characters")
    if length > rule.limit:
        raise Fault(path, f"{before}{length} {unit}, more than {rule.limit}", "shorten it")
    control, remedy = None, ""
    if rule.line:
        control, remedy = UNPRINTABLE.search(text), "remove them"
    elif rule.token:
        control, remedy = _CONTROL.search(text.strip(WHITE_SPACE)), "use only the token, as it was issued"
    if control:
        raise Fault(path, f"contains control characters (U+{ord(control[0]):04X})", remedy)


def _check_json(value: Any, path: str) -> None:
    rest, seen = [value], 0
    while rest:
        value = rest.pop()
        seen += 1
        if isinstance(value, str):
            _check_text(value, path, _TEXT, "a text of ")
        elif isinstance(value, list):
            rest.extend(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
        if seen + len(rest) > MAX_VALUES:
            raise Fault(path, f"more than {MAX_VALUES} values", "make it smaller")

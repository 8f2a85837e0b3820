"""The documents that this package and the workers judge alike. The file says how it is to be read."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parents[3] / "crates/core/tests/corpus/documents.json"
_CORPUS = json.loads(_FILE.read_text())
SECRET: str = _CORPUS["secret"]


def document(kind: str) -> dict[str, Any]:
    """A valid document of that kind."""
    made: dict[str, Any] = copy.deepcopy(_CORPUS["documents"][kind])
    return made


def cases() -> Iterator[tuple[dict[str, Any], bytes]]:
    """All cases, each with its text."""
    for case in _CORPUS["cases"]:
        text = case["text"] if "text" in case else json.dumps(_edited(case))
        for mark, (filling, times) in sorted(case.get("fill", {}).items()):
            text = text.replace(mark, filling * times, 1)
        yield case, text.encode()


def _edited(case: dict[str, Any]) -> dict[str, Any]:
    made = document(case["of"])
    for path, value in case.get("set", {}).items():
        *parents, name = path.split("/")[1:]
        _inner(made, parents)[name] = value
    for path in case.get("remove", ()):
        *parents, name = path.split("/")[1:]
        del _inner(made, parents)[name]
    return made


def _inner(made: dict[str, Any], path: list[str]) -> Any:
    for name in path:
        made = made[name]
    return made

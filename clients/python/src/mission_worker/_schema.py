"""Checks documents by the JSON Schema that is made from the workers' types, and puts the first fault into words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from importlib import resources
from typing import Any, NamedTuple

from jsonschema_rs import ValidationError, ValidationErrorKind, validator_for

from .errors import Problem

# White space as Unicode defines it. Python's `str.strip` also removes four ASCII separators.
WHITE_SPACE = "\t\n\v\f\r \u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

_SCHEMA: dict[str, Any] = json.loads(resources.files(__package__).joinpath("job.schema.json").read_bytes())
_TYPES = {bool: "boolean", int: "integer", float: "floating", str: "string", list: "sequence", dict: "map"}
# RFC 3339, and the calendar dates of ISO 8601, as workers read them.
_DATE = re.compile(
    r"(?!-000000)([0-9]{4}|[+-]00[0-9]{4})(-?)(0[1-9]|1[0-2])\2([0-3][0-9])"
    r"(?:[ Tt]([01][0-9]|2[0-3])(?:(:?)([0-5][0-9])(?:\6([0-5][0-9]|60)(?:[.,][0-9]{1,9})?)?)?"
    r"(?:([zZ])|[+-](?:[01][0-9]|2[0-5])(?:(:?)[0-5][0-9](?:\10[0-5][0-9](?:[.,][0-9]{1,9})?)?)?)?)?"
    r"(?:\[!?[A-Za-z._][A-Za-z0-9._+/-]*\])?"
)
# The places of an object's own faults, before those of its fields.
_UNKNOWN, _MISSING = -2, -1
# The instants that a worker can represent; only a time with `Z` must be one of them.
_FIRST, _LAST = (-9999, 1, 2, 1, 59, 59), (9999, 12, 30, 22, 0, 0)


def is_blank(text: str | None) -> bool:
    """Return whether a text is absent or blank."""
    return not (text or "").strip(WHITE_SPACE)


def items(value: Any) -> Iterable[Any]:
    """Return the values in a list or an object."""
    return value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()


def nested(value: Any) -> Iterator[Any]:
    """Yield a JSON value and all values in it."""
    yield value
    for item in items(value):
        yield from nested(item)


def _bytes_fault(value: Any, limit: int) -> str | None:
    size = len(value.encode()) if isinstance(value, str) else 0
    return f"{size} bytes, more than {limit}" if size > limit else None


def _values_fault(value: Any, limit: int) -> str | None:
    return f"more than {limit} values" if sum(1 for _ in nested(value)) > limit else None


def _text_fault(value: Any, limit: int) -> str | None:
    longest = max((len(item) for item in nested(value) if isinstance(item, str)), default=0)
    return f"a text of {longest} characters, more than {limit}" if longest > limit else None


def _date_fault(value: Any, _: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    if (match := _DATE.fullmatch(value)) is None:
        return "not a date"
    year, month, day, *clock = (int(part or 0) for part in match.group(1, 3, 4, 5, 7, 8))
    try:
        # The calendar repeats after 400 years, and Python does not know the years before 1.
        date(2000 + year % 400, month, day)
    except ValueError:
        return "not a date"
    return "not a date" if match[9] and not _FIRST <= (year, month, day, *clock) <= _LAST else None


def _whole_fault(value: Any, _: Any) -> str | None:
    return "wrong type (floating)" if isinstance(value, float) else None


def _keyword(fault: Callable[[Any, Any], str | None]) -> type:
    """Make a keyword of the schema from the function that finds the fault of a value."""

    class Keyword:
        def __init__(self, schema: dict[str, Any], setting: Any, path: list[str | int]) -> None:
            self.setting = setting

        def validate(self, value: Any) -> None:
            if (problem := fault(value, self.setting)) is not None:
                raise ValueError(problem)

    return Keyword


_KEYWORDS = {
    "x-maxBytes": _keyword(_bytes_fault),
    "x-maxValues": _keyword(_values_fault),
    "x-maxTextLength": _keyword(_text_fault),
    "x-date": _keyword(_date_fault),
    "x-whole": _keyword(_whole_fault),
}
_VALIDATOR = validator_for(_SCHEMA, keywords=_KEYWORDS)


class _Fault(NamedTuple):
    rank: tuple[bool, list[int], int]
    path: list[str | int]
    value: Any
    schema: dict[str, Any]
    error: ValidationError


def problems(document: dict[str, Any]) -> list[Problem]:
    """Return the first fault of a document, if it has one.

    As for workers, faults of content come first (also lists in the place of objects), then those of shape, each in the
    order of the document.
    """
    faults = [_located(document, error) for error in _VALIDATOR.iter_errors(document)]
    if not faults:
        return []
    first = min(faults, key=lambda fault: fault.rank)
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first.path)
    return [Problem(path.removeprefix("."), *_words(first))]


def _located(document: dict[str, Any], error: ValidationError) -> _Fault:
    value: Any = document
    places = []
    for step in error.instance_path:
        places.append(step if isinstance(step, int) else list(value).index(step))
        value = value[step]
    schema: Any = _SCHEMA
    for step in error.schema_path[:-1]:
        schema = schema[step]
    path, keyword = error.instance_path, error.kind.name
    match error.kind:
        case ValidationErrorKind.AdditionalProperties(unknown):
            path, places = [*path, next(name for name in value if name in unknown)], [*places, _UNKNOWN]
        case ValidationErrorKind.Required(name):
            path, places = [*path, name], [*places, _MISSING]
    is_list_for_object = isinstance(value, list) and keyword == "type" and "object" in schema["type"]
    is_of_shape = keyword in ("type", "enum", "required", "additionalProperties") and not is_list_for_object
    return _Fault((is_of_shape, places, list(schema).index(keyword)), path, value, schema, error)


def _words(fault: _Fault) -> tuple[str, str]:
    """Return the problem and the remedy of a fault."""
    value, schema, kind = fault.value, fault.schema, fault.error.kind
    match kind:
        case ValidationErrorKind.Required():
            return "missing", "add it"
        case ValidationErrorKind.AdditionalProperties():
            return "unknown field", f"remove it, or use one of {', '.join(schema['properties'])}"
        case ValidationErrorKind.Type(types):
            # The validator sorts the types that it names.
            name = next(name for name in types if name != "null")
            wanted = {"object": "an object", "array": "a list", "integer": "an integer"}.get(name, f"a {name}")
            return f"wrong type ({_TYPES.get(type(value), 'null')})", f"use {wanted}"
        case ValidationErrorKind.Enum(options):
            return "unknown variant", f"use one of {', '.join(str(option) for option in options if option)}"
        case ValidationErrorKind.MaxLength(limit):
            return f"{len(value)} characters, more than {limit}", "shorten it"
        case ValidationErrorKind.MaxItems(limit):
            return f"{len(value)} {fault.path[-1]}, more than {limit}", schema["x-remedy"]
        case ValidationErrorKind.Custom(_, problem):
            return problem, schema.get("x-remedy", "shorten it")
        case ValidationErrorKind.Not():
            return schema["not"]["x-problem"], schema["not"]["x-remedy"]
    problem = schema["x-problem"]
    if refused := schema.get("x-refuses"):
        found = re.search(refused, value.strip(WHITE_SPACE)) or re.search(refused, value)
        problem += f" (U+{ord(found[0]):04X})" if found else ""
    return problem, schema["x-remedy"]

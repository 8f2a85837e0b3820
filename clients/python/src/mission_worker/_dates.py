"""Recognizes dates as workers do: RFC 3339, and the calendar dates of ISO 8601."""

from __future__ import annotations

import re

_TIME = (
    r"(?P<hour>\d\d)(?::(?P<m1>\d\d)(?::(?P<s1>\d\d)(?:[.,]\d{1,9})?)?|(?P<m2>\d\d)(?:(?P<s2>\d\d)(?:[.,]\d{1,9})?)?)?"
)
_OFFSET = (
    r"(?P<zulu>[zZ])|[+-](?P<oh>\d\d)"
    r"(?::(?P<om1>\d\d)(?::(?P<os1>\d\d)(?:[.,]\d{1,9})?)?|(?P<om2>\d\d)(?:(?P<os2>\d\d)(?:[.,]\d{1,9})?)?)?"
)
_DATE_TIME = re.compile(
    r"(?P<year>\d{4}|[+-]\d{6})(?:-(?P<mo1>\d\d)-(?P<d1>\d\d)|(?P<mo2>\d\d)(?P<d2>\d\d))"
    rf"(?:[ Tt]{_TIME}(?:{_OFFSET})?)?"
    r"(?:\[!?[A-Za-z._][A-Za-z0-9._+/-]*\])?",
    re.ASCII,
)
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# The instants that a worker can represent; only a time with `Z` must be one of them.
_FIRST, _LAST = (-9999, 1, 2, 1, 59, 59), (9999, 12, 30, 22, 0, 0)


def is_date(text: str) -> bool:
    """Return whether a worker reads the text as a date or a date-time."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return False

    def part(*names: str) -> int:
        return next((int(match[name]) for name in names if match[name] is not None), 0)

    if match["year"] == "-000000":
        return False
    year, month, day = part("year"), part("mo1", "mo2"), part("d1", "d2")
    if not (-9999 <= year <= 9999 and 1 <= month <= 12):
        return False
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = 29 if month == 2 and leap else _DAYS[month - 1]
    hour, minute, second = part("hour"), part("m1", "m2"), part("s1", "s2")
    within = 1 <= day <= days and hour <= 23 and minute <= 59 and second <= 60
    offset_within = part("oh") <= 25 and part("om1", "om2") <= 59 and part("os1", "os2") <= 59
    moment = (year, month, day, hour, minute, min(second, 59))
    return within and offset_within and (match["zulu"] is None or _FIRST <= moment <= _LAST)

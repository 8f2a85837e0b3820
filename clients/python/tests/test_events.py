"""The queue's events, with a real Redis, by both clients."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any
from uuid import UUID

import pytest
import redis

from mission_worker import ProtocolMismatch

GATEWAY = UUID("7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01")
AGENT = UUID("0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d02")
EVENT = {"v": 1, "event": "job", "at_ms": 1_700_000_000_123, "id": str(AGENT), "from": "running", "to": "done"}


def test_events_are_read_on_from_where_one_was(client: Any, connection: redis.Redis) -> None:
    for number in range(3):
        connection.xadd("{mission}:events", {"event": json.dumps(EVENT | {"run": number})})
    first = next(client.events("0"))
    assert [event.run for event in client.events(first.cursor, timeout=0.05)] == [1, 2]
    assert list(client.events(client.cursor(), timeout=0.05)) == []
    assert list(client.events(timeout=0.05)) == []


def test_an_event_has_types(client: Any, connection: redis.Redis) -> None:
    failure = {"code": "refused", "message": "no", "action": None}
    more = {"gateway": str(GATEWAY), "failure": failure, "superseded_by": str(GATEWAY), "mood": "fine"}
    connection.xadd("{mission}:events", {"event": json.dumps(EVENT | more)})
    event = next(client.events("0"))
    assert (event.id, event.superseded_by, event.from_state, event.ended) == (AGENT, GATEWAY, "running", True)
    assert event.at.isoformat() == "2023-11-14T22:13:20.123000+00:00"
    assert event.failure.code == "refused"
    assert event.raw["mood"] == "fine"


def test_unknown_events_are_passed_on_and_nonsense_is_not(client: Any, connection: redis.Redis) -> None:
    connection.xadd("{mission}:events", {"event": '{"v": 1, "event": "eclipse", "at_ms": 5, "who": "sun"}'})
    connection.xadd("{mission}:events", {"event": "no JSON"})
    connection.xadd("{mission}:events", {"other": "field"})
    (event,) = client.events("0", timeout=0.05)
    assert (event.event, event.id, event.ended, event.raw["who"]) == ("eclipse", None, False, "sun")
    taken = list(client.consume("g", "c", start="0", timeout=0.05))
    assert client.ack("g", *taken) == 1
    pending: Any = connection.xpending("{mission}:events", "g")
    assert pending["pending"] == 0, "what is no event is waited for by nobody"


def test_events_of_a_later_version_are_not_guessed_at(client: Any, connection: redis.Redis) -> None:
    for later in (EVENT | {"v": 2}, {"v": 3, "event": "jobs", "at": 1}, {"v": 3, "what": "jobs"}):
        cursor = client.cursor()
        connection.xadd("{mission}:events", {"event": json.dumps(later)})
        with pytest.raises(ProtocolMismatch, match="upgrade"):
            next(client.events(cursor))


@pytest.mark.parametrize("cursor", ["", "x", "1-", "-1", "1-0/x", "0/0", "1,x", f"{2**64}", "\u0661", "1-0.0"])
def test_a_malformed_cursor_is_named(client: Any, cursor: str) -> None:
    for events in (client.events(cursor), client.consume("g", "c", start=cursor)):
        with pytest.raises(ValueError, match="cursor"):
            next(events)


def test_several_events_in_one_entry(client: Any, connection: redis.Redis) -> None:
    one = EVENT | {"run": 1}
    jobs = [[str(AGENT), "cleanup", f"{GATEWAY}/{number}", number, 1] for number in range(3)]
    together = {"v": 2, "event": "jobs", "at_ms": 5, "from": "ready", "to": "running", "worker": "w", "jobs": jobs}
    for entry in (one, together, one):
        connection.xadd("{mission}:events", {"event": json.dumps(entry)})
    events = list(client.events("0", timeout=0.05))
    assert [event.run for event in events] == [1, 0, 1, 2, 1]
    assert (events[2].id, events[2].gateway, events[2].to_state) == (AGENT, str(GATEWAY), "running")
    for place, event in enumerate(events):
        assert list(client.events(event.cursor, timeout=0.05)) == events[place + 1 :]
    taken = list(client.consume("g", "c", start="0", timeout=0.05))
    assert [client.ack("g", event) for event in taken] == [1, 0, 0, 1, 1]
    assert len(list(client.consume("h", "c", start=events[1].cursor, timeout=0.05))) == 4
    with pytest.raises(ValueError, match="cursor"):
        next(client.events("1-0/x"))


def test_members_of_a_group_share_events(client: Any, connection: redis.Redis) -> None:
    for number in range(20):
        connection.xadd("{mission}:events", {"event": json.dumps(EVENT | {"run": number})})
    first = [next(client.consume("g", "one", start="0"))]
    assert first[0].run == 0
    second = list(client.consume("g", "two", timeout=0.05))
    assert [event.run for event in second] == [16, 17, 18, 19], "the first was given 16"
    assert list(client.consume("g", "three", timeout=0.05)) == [], "they may still be at it"
    taken_over = list(islice(client.consume("g", "three", claim_after=0.001), 20))
    assert [event.run for event in taken_over] == list(range(20))
    connection.xtrim("{mission}:events", 0)
    assert list(client.consume("g", "three", timeout=0.05)) == [], "they were removed from the stream"

"""Enqueueing and reading, with a real Redis and without a worker, by both clients."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import corpus
import pytest
import redis
import redis.asyncio
from conftest import PATIENCE, ROOT, Open, RedisServer, change, document_of

from mission_worker import (
    InvalidJob,
    JobNotFound,
    ProtocolMismatch,
    QueueError,
    QueueUnavailable,
    Remedy,
    State,
    wire,
)

GATEWAY = UUID("7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01")
AGENT = UUID("0b9f7f0e-6d5c-4a55-8c5e-2f1f0a7b3d02")
EVENT = {"v": 1, "event": "job", "at_ms": 1_700_000_000_123, "id": str(AGENT), "from": "running", "to": "done"}


def test_a_job_is_stored_as_workers_read_it(client: Any, connection: redis.Redis) -> None:
    document = corpus.document("provision")
    enqueued = client.enqueue(document)
    assert (enqueued.state, enqueued.superseded, enqueued.duplicate) == (State.READY, [], False)
    assert enqueued.id.version == 7
    stored = client.get(enqueued.id).raw
    assert json.loads(document_of(connection, enqueued.id, GATEWAY)) == document
    expected = {
        "kind": "provision",
        "lane": str(GATEWAY),
        "subject": f"{GATEWAY}/{AGENT}",
        "state": "ready",
        "max_attempts": "12",
        "priority": "5",
    }
    assert {name: stored.get(name) for name in expected} == expected


def test_text_is_stored_byte_for_byte(client: Any, connection: redis.Redis) -> None:
    text = json.dumps(corpus.document("heartbeat-sync"), indent=1)
    for given in (text, text.encode()):
        job = client.enqueue(given).id
        assert document_of(connection, job, GATEWAY) == text
        assert client.get(job).subject == f"{GATEWAY}/heartbeats"


@pytest.mark.parametrize(
    ("kind", "options", "parts"),
    [
        ("provision", {}, "ctp"),
        ("provision-main", {"action": "update", "force_bootstrap": True}, "ctf"),
        ("provision", {"force_bootstrap": True, "reset_session": True, "wake": {}}, "ctfrwp"),
        ("provision", {"action": "update"}, "ct"),
        ("provision", None, "ctp"),
        ("cleanup", {"force_bootstrap": True}, "c"),
        ("provision without a url", {"force_bootstrap": True}, "tfp"),
        ("heartbeat-sync", None, "c"),
    ],
)
def test_the_parts_that_records_keep_apart_are_marked(kind: str, options: dict[str, Any] | None, parts: str) -> None:
    document = {**corpus.document(kind.split()[0]), "options": options}
    if "without" in kind:
        del document["gateway"]["url"]
    assert wire._parts(document) == parts


def test_a_document_of_an_older_generation_is_superseded(client: Any) -> None:
    def generation(number: int) -> dict[str, Any]:
        document = corpus.document("provision")
        return {**document, "agent": {**document["agent"], "generation": number}}

    newer, older = client.enqueue(generation(2)), client.enqueue(generation(1))
    assert (newer.state, older.state) == ("ready", "superseded")
    assert client.get(older.id).superseded_by == newer.id


def test_the_heartbeats_of_a_sync_are_kept_by_agent(client: Any, connection: redis.Redis) -> None:
    document = corpus.document("heartbeat-sync")
    client.enqueue(document)
    kept: Any = connection.hgetall(f"{{mission}}:heartbeats:{GATEWAY}")
    assert set(kept) == {agent["id"] for agent in document["agents"]}
    for agent in document["agents"]:
        _, text = kept[agent["id"]].split(" ", 1)
        assert json.loads(text) == {"config": agent.get("heartbeat_config"), "fast": False}


def test_a_newer_job_takes_the_place_of_an_older_one(client: Any) -> None:
    older = client.enqueue(corpus.document("provision"))
    newer = client.enqueue(corpus.document("cleanup"))
    assert newer.superseded == [older.id]
    job = client.get(older.id)
    assert (job.state, job.superseded_by, job.ended) == (State.SUPERSEDED, newer.id, True)
    events = [(event.id, event.to_state, event.superseded_by) for event in client.events("0", timeout=0.05)]
    assert (older.id, "superseded", newer.id) in events


def test_a_job_is_read_back_without_its_secrets(client: Any) -> None:
    enqueued = client.enqueue(corpus.document("provision"), delay=timedelta(hours=1), expires_in=7200)
    job = client.get(str(enqueued.id))
    assert (job.id, job.state, job.kind, job.gateway) == (enqueued.id, State.SCHEDULED, "provision", str(GATEWAY))
    assert job.next_at_ms == job.enqueued_at_ms + 3_600_000
    assert job.expires_at_ms == job.enqueued_at_ms + 7_200_000
    assert (job.attempts, job.max_attempts, job.runs, job.ended, job.history) == (0, 12, 0, False, [])
    assert job.document["gateway"]["token"] == job.document["auth_token"] == "***"
    assert corpus.SECRET not in repr(job) + repr(job.raw) + repr(job.document)


def test_a_document_that_nobody_can_read_is_not_shown(client: Any, connection: redis.Redis) -> None:
    enqueued = client.enqueue(corpus.document("cleanup"))
    connection.hset(f"{{mission}}:document:{GATEWAY}", str(enqueued.id), b"\xff hunter2")
    job = client.get(enqueued.id)
    assert job.document is None
    assert corpus.SECRET not in repr(job.raw)


def test_what_ended_runs_left_is_read(client: Any, connection: redis.Redis) -> None:
    enqueued = client.enqueue(corpus.document("cleanup"))
    remedy = {"actor": "gateway_host", "command": "openclaw devices list", "retry_helps": False}
    failure = {"code": "unauthorized", "message": "refused", "action": "approve it", "remedy": remedy}
    run = {
        "number": 1,
        "worker": "w",
        "started_at_ms": 5,
        "ended_at_ms": 9,
        "result": {"outcome": "blocked", **failure},
    }
    history = "\n".join([json.dumps(run), "no JSON", "{}"])
    change(connection, enqueued.id, failure=json.dumps(failure), state="dead", history=history)
    job = client.get(enqueued.id)
    assert (job.failure.code, job.failure.action, job.state) == ("unauthorized", "approve it", "dead")
    assert job.failure.remedy == Remedy(actor="gateway_host", command="openclaw devices list", retry_helps=False)
    assert [(run.number, run.outcome, run.failure) for run in job.history] == [(1, "blocked", job.failure)]


def test_many_jobs_are_stored_all_or_none(client: Any, connection: redis.Redis) -> None:
    good, bad = corpus.document("cleanup"), {**corpus.document("cleanup"), "secret": 1}
    with pytest.raises(InvalidJob, match="job 1: secret: unknown field") as refused:
        client.enqueue([good, bad])
    assert refused.value.index == 1
    assert connection.keys() == []
    enqueued = client.enqueue([good] * 50)
    assert len({job.id for job in enqueued}) == 50
    assert [job.id for job in enqueued] != []
    assert client.enqueue([]) == []
    with pytest.raises(ValueError, match="51 jobs are too many"):
        client.enqueue([good] * 51)


def test_a_key_is_used_once(client: Any) -> None:
    document = corpus.document("cleanup")
    first = client.enqueue(document, idempotency_key="order 7", idempotency_life=60)
    second = client.enqueue(document, idempotency_key="order 7", idempotency_life=60)
    assert (second.id, second.state, second.duplicate) == (first.id, State.READY, True)
    assert not first.duplicate
    assert client.enqueue(document, idempotency_key="order 8").id != first.id
    with pytest.raises(ValueError, match="one job"):
        client.enqueue([document, document], idempotency_key="order 9")


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": float("nan")},
        {"priority": 10},
        {"priority": True},
        {"expires_in": 0},
        {"delay": timedelta(days=31)},
        {"idempotency_key": ""},
        {"idempotency_key": "x" * 201},
        {"idempotency_key": "x", "idempotency_life": 0.5},
        {"idempotency_key": "x", "idempotency_life": timedelta(days=31)},
    ],
)
def test_values_that_do_not_fit_are_refused(client: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"does not fit|not a length of time"):
        client.enqueue(corpus.document("cleanup"), **options)


def test_a_job_that_would_expire_before_it_is_due_is_refused(client: Any) -> None:
    for expires_in in (3600, timedelta(minutes=1)):
        with pytest.raises(ValueError, match=r"expires_in .* not longer than delay .*; raise it"):
            client.enqueue(corpus.document("cleanup"), delay=timedelta(hours=1), expires_in=expires_in)


def test_a_byte_order_mark_is_not_stored(client: Any) -> None:
    text = json.dumps(corpus.document("cleanup"))
    for marked in ("\ufeff" + text, ("\ufeff" + text).encode()):
        job = client.get(client.enqueue(marked).id)
        assert job.document["kind"] == "cleanup"


def test_a_mapping_whose_keys_become_the_same_member_is_refused(client: Any) -> None:
    document = corpus.document("provision")
    document["board"]["success_metrics"] = [{1: "a", "1": "b"}]
    with pytest.raises(InvalidJob, match=r"board.success_metrics\[0\].1: occurs twice"):
        client.enqueue(document)


@pytest.mark.parametrize("options", [{"decode_responses": True}, {"protocol": 3}, {"protocol": 2}])
def test_the_redis_client_may_be_set_up_in_any_way(open_client: Open, options: dict[str, Any]) -> None:
    client = open_client(**options)
    enqueued = client.enqueue(corpus.document("cleanup"))
    assert client.get(enqueued.id).state == "ready"
    events = [event for event in client.events("0", timeout=0.05) if event.id == enqueued.id]
    assert (events[0].from_state, events[0].to_state) == (None, "ready")
    taken = [event.id for event in client.consume("g", "c", start="0", timeout=0.05)]
    assert enqueued.id in taken
    again = list(client.consume("g", "c", timeout=0.05))
    assert [event.id for event in again] == taken, "what was not acknowledged comes again"
    assert client.ack("g", *again) == len(again)
    assert list(client.consume("g", "c", timeout=0.05)) == []


def test_one_queue_of_many(open_client: Open) -> None:
    enqueued = open_client(queue="other").enqueue(corpus.document("cleanup"))
    assert open_client().get(enqueued.id) is None
    with pytest.raises(ValueError, match="cannot be used"):
        open_client(queue="{other}")


def test_waiting_ends_with_the_job(client: Any, connection: redis.Redis) -> None:
    job = client.enqueue(corpus.document("cleanup")).id
    with pytest.raises(TimeoutError, match="is ready after"):
        client.wait(job, 0.05)
    with pytest.raises(JobNotFound):
        client.wait(AGENT, 0.05)

    def end() -> None:
        until = time.monotonic() + PATIENCE
        clients: Any = connection.info
        while clients("clients")["blocked_clients"] == 0 and time.monotonic() < until:
            time.sleep(0.01)
        change(connection, job, state="dead", reason="permanent")
        connection.xadd("{mission}:events", {"event": json.dumps(EVENT | {"id": str(job), "to": "dead"})})

    ending = threading.Thread(target=end)
    ending.start()
    ended = client.wait(job, PATIENCE)
    ending.join()
    assert (ended.state, ended.reason) == (State.DEAD, "permanent")


def test_a_redis_that_is_down_is_said_so(open_client: Open, server: RedisServer) -> None:
    client = open_client(retry=None)
    server.stop()
    for call in (lambda: client.enqueue(corpus.document("cleanup")), lambda: client.get(AGENT), client.cursor):
        with pytest.raises(QueueUnavailable, match="check that it runs"):
            call()
    server.start()
    assert client.enqueue(corpus.document("cleanup")).state == "ready", "the same client goes on"


def test_a_broken_connection_is_made_again(open_client: Open, connection: redis.Redis) -> None:
    client = open_client(retry=None)
    first = client.enqueue(corpus.document("cleanup"))
    connection.client_kill_filter(_type="normal", skipme=True)
    second = client.enqueue(corpus.document("cleanup"))
    assert client.get(first.id) is not None
    assert client.get(second.id).state == "ready"


def test_a_redis_that_may_not_be_written_to_is_unavailable(client: Any, connection: redis.Redis) -> None:
    connection.config_set("maxmemory", "1")
    with pytest.raises(QueueUnavailable):
        client.enqueue(corpus.document("cleanup"))


def test_a_queue_of_another_layout_is_left_alone(client: Any, connection: redis.Redis) -> None:
    connection.set("{mission}:layout", "99")
    with pytest.raises(ProtocolMismatch, match="upgrade"):
        client.enqueue(corpus.document("cleanup"))
    with pytest.raises(ProtocolMismatch, match="upgrade"):
        client.get(AGENT)
    assert connection.keys() == ["{mission}:layout"]


def test_a_user_with_the_documented_rights_is_enough(open_client: Open, connection: redis.Redis) -> None:
    text = (ROOT / "docs/redis.md").read_text()
    user = re.search(r"^ACL SETUSER (.*)$", text, re.MULTILINE)
    more = re.search(r"Programs that\s+read the events need\s+`(.*?)`", text)
    assert user is not None
    assert more is not None
    connection.execute_command("ACL", "SETUSER", *user[1].split(), *more[1].split())  # type: ignore[no-untyped-call]
    client = open_client(username="mission", password="PASSWORD")
    enqueued = client.enqueue(corpus.document("cleanup"))
    assert client.get(enqueued.id).state == "ready"
    with pytest.raises(TimeoutError):
        client.wait(enqueued.id, 0.05)
    for event in client.consume("g", "c", start="0", timeout=0.05, claim_after=0.02):
        assert client.ack("g", event) == 1
    connection.execute_command("ACL", "SETUSER", "mission", "-evalsha", "-eval")  # type: ignore[no-untyped-call]
    with pytest.raises(QueueUnavailable):
        client.get(enqueued.id)


def test_keys_of_the_wrong_type_are_no_matter_of_waiting(client: Any, connection: redis.Redis) -> None:
    connection.set("{mission}:events", "text")
    with pytest.raises(QueueError) as refused:
        client.cursor()
    assert not isinstance(refused.value, QueueUnavailable)

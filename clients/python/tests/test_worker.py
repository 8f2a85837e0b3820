"""With a real worker: what is enqueued here is worked there."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import corpus
import pytest
import redis
from conftest import PATIENCE, RedisServer, Worker, change

from mission_worker import Agent, AsyncClient, Board, Cleanup, Client, Gateway, HeartbeatSync, Provision, ProvisionMain
from mission_worker.job import Job


def jobs() -> list[Job]:
    """A job of each kind that succeeds at once, because its gateway has no url."""
    gateway = Gateway(id=uuid4(), name="Acme", token=corpus.SECRET)

    def agent() -> Agent:
        return Agent(id=uuid4(), name="Alice")

    return [
        Provision(gateway=gateway, agent=agent(), board=Board(id=uuid4(), name="Launch"), auth_token=corpus.SECRET),
        ProvisionMain(gateway=gateway, agent=agent(), auth_token=corpus.SECRET),
        Cleanup(gateway=gateway, agent=agent()),
    ]


def test_jobs_wait_for_a_worker_and_are_done(server: RedisServer) -> None:
    with Client.from_url(server.url) as client:
        enqueued = client.enqueue(jobs())
        worker = Worker(server, server.folder)
        try:
            ended = [client.wait(job.id, PATIENCE) for job in enqueued]
        finally:
            worker.stop()
        assert [job.state for job in ended] == ["done"] * 3
        assert [job.kind for job in ended] == ["provision", "provision-main", "cleanup"]
        for job in ended:
            assert (job.attempts, job.runs, [run.outcome for run in job.history]) == (1, 1, ["done"])
            assert [state for state, _ in job.timeline] == ["ready", "running", "done"]
            assert job.report is not None
            assert job.finished_at_ms is not None
            assert job.finished_at_ms >= job.enqueued_at_ms


def test_outcomes_are_told_to_a_group(server: RedisServer, worker: Worker) -> None:
    async def run() -> None:
        async with AsyncClient.from_url(server.url) as client:
            sent = {job.id for job in await client.enqueue(jobs(), priority=0)}
            done: set[UUID | None] = set()
            async for event in client.consume("backend", "test", start="0", timeout=PATIENCE):
                if event.ended:
                    assert (event.to_state, event.failure) == ("done", None)
                    done.add(event.id)
                await client.ack("backend", event)
                if done == sent:
                    return
            raise AssertionError("no more events came")

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


def test_a_job_that_a_gateway_refuses_says_why(server: RedisServer, worker: Worker) -> None:
    # Nobody listens on port 1 of the loopback interface.
    gateway = Gateway(id=uuid4(), url="ws://127.0.0.1:1", workspace_root="/srv")
    with Client.from_url(server.url) as client:
        enqueued = client.enqueue(HeartbeatSync(gateway=gateway, agents=[Agent(id=uuid4(), name="Alice")]))
        event = next(event for event in client.events("0", timeout=PATIENCE) if event.to_state == "retrying")
        job = client.get(enqueued.id)
    assert event.id == enqueued.id
    assert event.failure is not None
    assert job is not None
    assert job.failure == event.failure
    assert job.history[0].outcome == "transient"
    assert job.document is not None


@pytest.mark.parametrize(
    ("fields", "code", "hint"),
    [
        ({"version": "3"}, "unknown_version", "upgrade the workers"),
        ({"kind": "paint"}, "unknown_kind", "upgrade the workers"),
        ({"payload": '{"version": 2, "kind": "cleanup"}'}, "invalid_job", "upgrade the worker"),
        ({"payload": "hunter2"}, "invalid_job", "correct the document"),
    ],
)
def test_what_a_worker_cannot_read_is_buried_with_a_hint(
    server: RedisServer, fields: dict[str, str], code: str, hint: str
) -> None:
    with Client.from_url(server.url) as client, redis.Redis(unix_socket_path=str(server.socket)) as connection:
        enqueued = client.enqueue(jobs()[2])
        change(connection, enqueued.id, **fields)
        worker = Worker(server, server.folder)
        try:
            job = client.wait(enqueued.id, PATIENCE)
        finally:
            worker.stop()
    assert (job.state, job.reason) == ("dead", "invalid")
    assert job.failure is not None
    assert job.failure.code == code
    assert hint in f"{job.failure.message}; {job.failure.action}"
    assert corpus.SECRET not in repr(job)

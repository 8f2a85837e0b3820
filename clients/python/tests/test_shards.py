"""Queues with several shards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
import redis.asyncio
from conftest import PATIENCE, Open, RedisServer, Worker
from redis.cluster import RedisCluster

from mission_worker import Agent, AsyncClient, Cleanup, Client, Gateway, NotReplicated, QueueError
from mission_worker.wire import Shards, new_id


def cleanup(gateway: int, agent: int = 1) -> Cleanup:
    url = "ws://127.0.0.1:1"
    return Cleanup(
        gateway=Gateway(id=UUID(int=gateway), url=url, token="t", workspace_root="/srv"),
        agent=Agent(id=UUID(int=agent), name="Alice"),
    )


def test_the_hash_is_that_of_the_protocol() -> None:
    gateway = "7c9d5c1e-55a1-4d0e-9f0b-1d2f8a5b6c01"
    made = new_id(gateway)
    assert (made.int % 2**16, made.version) == (0x293C, 7)
    shards = Shards("q", 16)
    assert shards.of(gateway).prefix == shards.of_job(made).prefix == "{q/12}"
    for count in (0, 65, True):
        with pytest.raises(ValueError, match="1 to 64"):
            Shards("q", count)


def test_jobs_are_in_the_shards_of_their_gateways(open_client: Open, connection: redis.Redis) -> None:
    client = open_client(shards=4)
    before = client.cursor()
    jobs = client.enqueue([cleanup(number) for number in range(1, 41)])
    assert len({job.id for job in jobs}) == 40
    assert len(list(connection.scan_iter("{mission*:job"))) == 4
    assert connection.get("{mission}:shards") == "4"
    for job in jobs:
        record = client.get(job.id)
        assert record is not None
        assert record.id == job.id
    assert client.get(uuid4()) is None
    heard = list(client.events(before, timeout=0.5))
    assert {event.id for event in heard} == {job.id for job in jobs}
    rest = list(client.events(heard[29].cursor, timeout=0.5))
    assert [event.id for event in rest] == [event.id for event in heard[30:]]
    assert len(list(client.events("0", timeout=0.3))) == 40
    with pytest.raises(ValueError, match="cursor"):
        next(iter(client.events("0-0,0-0", timeout=0.3)))


def test_members_of_a_group_share_the_events_of_all_shards(open_client: Open) -> None:
    client = open_client(shards=4)
    jobs = [client.enqueue(cleanup(number)) for number in range(1, 21)]
    heard = list(client.consume("g", "one", start="0", timeout=0.5))
    assert {event.id for event in heard} == {job.id for job in jobs}
    assert client.ack("g", *heard[:15]) == 15
    again = list(client.consume("g", "one", timeout=0.5))
    assert {event.id for event in again} == {event.id for event in heard[15:]}
    assert client.ack("g", *[event.cursor for event in again]) == 5
    assert list(client.consume("g", "two", timeout=0.3, claim_after=0)) == []


def test_a_key_is_one_for_all_gateways(open_client: Open, connection: redis.Redis) -> None:
    client = open_client(shards=16)
    first = client.enqueue(cleanup(1), idempotency_key="k")
    for number in range(2, 12):
        answer = client.enqueue(cleanup(number), idempotency_key="k")
        assert (answer.id, answer.duplicate, answer.state) == (first.id, True, "ready")
    # A producer died between taking the key and storing its job.
    died = new_id(str(UUID(int=3)))
    home = Shards("mission", 16).of("died").prefix
    connection.set(f"{home}:key:died", f"?{died}", px=60_000)
    next_one = client.enqueue(cleanup(3), idempotency_key="died")
    assert (next_one.id, next_one.duplicate, next_one.state) == (died, False, "ready")
    last = client.enqueue(cleanup(4), idempotency_key="died")
    assert (last.id, last.duplicate) == (died, True)


def test_another_number_of_shards_is_refused(open_client: Open) -> None:
    open_client(shards=4).enqueue(cleanup(1))
    for wrong in (1, 8):
        with pytest.raises(QueueError, match=f"has 4 shards.*shards={wrong}"):
            open_client(shards=wrong).enqueue(cleanup(1))
    open_client(queue="old").enqueue(cleanup(1))
    with pytest.raises(QueueError, match="has 1 shard, but"):
        open_client(queue="old", shards=4).get(uuid4())


def test_missing_replicas_are_told(client: Any) -> None:
    with pytest.raises(NotReplicated, match="stored, but only 0 of 1") as caught:
        client.enqueue(cleanup(1), replicas=1)
    [job] = caught.value.jobs
    record = client.get(job.id)
    assert record is not None
    assert (caught.value.confirmed, record.state) == (0, "ready")
    with pytest.raises(ValueError, match="0 to 9"):
        client.enqueue(cleanup(1), replicas=10)


def test_a_number_of_shards_that_cannot_be_read_is_named(open_client: Open, connection: redis.Redis) -> None:
    for text in ["many", "0", "65"]:
        connection.set("{mission}:shards", text)
        with pytest.raises(QueueError, match=f"{{mission}}:shards holds '{text}'.*doctor --repair"):
            open_client(shards=4).enqueue(cleanup(1))


def test_a_worker_runs_jobs_of_all_shards(open_client: Open, server: RedisServer, folder: Any) -> None:
    client = open_client(shards=4)
    worker = Worker(server, folder, MISSION_SHARDS="4")
    try:
        client.put_gateway({"id": str(UUID(int=7)), "url": "ws://127.0.0.1:1", "token": "t", "workspace_root": "/srv"})
        for number in range(1, 5):
            job = client.enqueue(cleanup(number), expires_in=1)
            assert client.wait(job.id, timeout=60).state == "dead"
    finally:
        worker.stop()


@pytest.fixture
def cluster(folder: Path) -> Iterator[int]:
    """A Redis Cluster of three masters. Returns the port of one of them."""
    ports = [_free_port() for _ in range(6)]
    processes = []
    try:
        for port, bus in zip(ports[:3], ports[3:], strict=True):
            place = folder / str(port)
            place.mkdir()
            words = ["redis-server", "--port", str(port), "--cluster-port", str(bus), "--cluster-enabled", "yes"]
            words += ["--dir", str(place), "--save", "", "--bind", "127.0.0.1"]
            processes.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
        _join(ports[:3], ports[3:])
        yield ports[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _join(ports: list[int], buses: list[int]) -> None:
    """Make a cluster of empty nodes, and wait until it stands."""
    nodes: list[Any] = [redis.Redis(port=port) for port in ports]
    for number, node in enumerate(nodes):
        _until(node.ping)
        first = number * 5462
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, min(first + 5461, 16383))
        node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", ports[number], buses[number])
    for node in nodes:
        _until(partial(_stands, node))
        node.close()


def _stands(node: Any) -> bool:
    said = node.cluster("INFO")
    return bool(said["cluster_state"] == "ok" and said["cluster_known_nodes"] == "3")


def _until(holds: Callable[[], Any]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(redis.exceptions.ConnectionError):
            if holds():
                return
        time.sleep(0.02)
    raise AssertionError("not in time")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_queue_is_spread_over_a_cluster(cluster: int, folder: Path) -> None:
    nodes: Any = RedisCluster(host="127.0.0.1", port=cluster)
    client = Client(nodes, shards=16)
    jobs = client.enqueue([cleanup(number) for number in range(1, 41)])
    assert all(client.get(job.id) is not None for job in jobs)
    assert len(list(client.events("0", timeout=1))) == 40
    answer = client.enqueue(cleanup(50), idempotency_key="k")
    assert client.enqueue(cleanup(51), idempotency_key="k").id == answer.id
    with pytest.raises(NotReplicated, match="only 0 of 1"):
        client.enqueue([cleanup(60), cleanup(61)], replicas=1)
    used = {node.name for node in nodes.get_primaries() if nodes.execute_command("DBSIZE", target_nodes=node)}
    assert len(used) == 3
    client.close()

    async def read() -> int:
        cluster_client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster)
        async with AsyncClient(cluster_client, shards=16) as client:
            await client.enqueue([cleanup(number, 2) for number in range(1, 11)])
            with pytest.raises(ValueError, match="use Client"):
                await client.enqueue(cleanup(1), replicas=1)
            return len([event async for event in client.events("0", timeout=1)])

    assert asyncio.run(read()) > 50

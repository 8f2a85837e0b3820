"""Connections of gateways are stored without a job."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import RedisServer

from mission_worker import Agent, AsyncClient, Cleanup, Client, Gateway, GatewayInUse, InvalidJob, StoredConnection

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def connection(token: str = "hunter2", revision: int | None = None) -> Gateway:
    return Gateway(id=UUID(int=1), url="ws://127.0.0.1:1", token=token, workspace_root="/srv", revision=revision)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_connection_is_stored_and_an_older_one_is_not(server: RedisServer, key: str | None) -> None:
    with Client.from_url(server.url, secret_key=key) as client:
        first = client.put_gateway(connection(revision=2), by="ada\n", why="rotated")
        assert first == StoredConnection(stored=True, changed=True, revision=2)
        older = client.put_gateway(connection("older", 1))
        assert older == StoredConnection(stored=False, changed=False, revision=2)
        same = client.put_gateway({"id": str(UUID(int=1)), **members()})
        assert same == StoredConnection(stored=True, changed=False, revision=2)
        assert client.put_gateway(connection("another")).changed
        stored: Any = [client._redis.hvals(name) for name in client._redis.keys("*:document:*")]
        stored = [document for documents in stored for document in documents]
        assert len(stored) == 1, "the newest document alone is kept"
        assert (b"another" in (stored[0] or b"")) == (key is None)
        entries: Any = client._redis.xrevrange("{mission}:audit")
        newest, *_, oldest = [json.loads(fields[b"entry"]) for _, fields in entries]
        assert (oldest["by"], oldest["why"], oldest["action"]) == ("ada", "rotated", "put-gateway")
        assert (newest["by"], newest["after"]) == ("backend", "changed")


def members() -> dict[str, object]:
    return {"url": "ws://127.0.0.1:1", "token": "hunter2", "workspace_root": "/srv"}


def test_a_connection_is_checked_like_the_gateway_of_a_job(server: RedisServer) -> None:
    with Client.from_url(server.url) as client:
        wrong: list[tuple[Any, str]] = [
            (Gateway(id=uuid4(), workspace_root="/srv"), "gateway.url"),
            (Gateway(id=uuid4(), url="ws://host"), "gateway.workspace_root"),
            ({"id": "x", **members()}, "gateway.id"),
            ({"id": str(uuid4()), "color": "red", **members()}, "gateway.color"),
        ]
        for gateway, path in wrong:
            with pytest.raises(InvalidJob) as caught:
                client.put_gateway(gateway)
            assert [problem.path for problem in caught.value.problems] == [path]


def test_a_gateway_is_forgotten_unless_something_needs_it(server: RedisServer) -> None:
    with Client.from_url(server.url) as client:
        job = Cleanup(gateway=connection(), agent=Agent(id=uuid4(), name="Ada"))
        with pytest.raises(GatewayInUse) as caught:
            client.forget_gateway(UUID(int=1))
        assert caught.value.reason == "unknown"
        enqueued = client.enqueue(job)
        with pytest.raises(GatewayInUse, match="1 of its agents") as caught:
            client.forget_gateway(str(UUID(int=1)))
        assert caught.value.reason == "agents"
        client.forget_gateway(UUID(int=1), force=True, why="it moved")
        found = client.get(enqueued.id)
        assert found is not None
        assert (found.state, found.reason) == ("cancelled", "cancelled by backend: its gateway is forgotten: it moved")
        assert client._redis.keys("{mission}:connections") == []


def test_asyncio_has_the_same(server: RedisServer) -> None:
    async def store() -> StoredConnection:
        async with AsyncClient.from_url(server.url) as client:
            stored = await client.put_gateway(connection())
            await client.forget_gateway(UUID(int=1))
            return stored

    assert asyncio.run(store()) == StoredConnection(stored=True, changed=True, revision=None)

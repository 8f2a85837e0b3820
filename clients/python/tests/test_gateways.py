"""Connections of gateways are stored without a job."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import pytest
from conftest import RedisServer

from mission_worker import AsyncClient, Client, Gateway, InvalidJob, StoredConnection

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
        stored = [client._redis.hget(name, "payload") for name in client._redis.keys("*:job:*")]
        assert len(stored) == 1, "the newest document alone is kept"
        assert (b"another" in (stored[0] or b"")) == (key is None)
        newest, *_, oldest = [json.loads(fields[b"entry"]) for _, fields in client._redis.xrevrange("{mission}:audit")]
        assert (oldest["by"], oldest["why"], oldest["action"]) == ("ada", "rotated", "put-gateway")
        assert (newest["by"], newest["after"]) == ("backend", "changed")


def members() -> dict[str, object]:
    return {"url": "ws://127.0.0.1:1", "token": "hunter2", "workspace_root": "/srv"}


def test_a_connection_is_checked_like_the_gateway_of_a_job(server: RedisServer) -> None:
    with Client.from_url(server.url) as client:
        for gateway, path in [
            (Gateway(id=uuid4()), "gateway.url"),
            (Gateway(id=uuid4(), url="ws://host"), "gateway.workspace_root"),
            ({"id": "x", **members()}, "gateway.id"),
            ({"id": str(uuid4()), "color": "red", **members()}, "gateway.color"),
        ]:
            with pytest.raises(InvalidJob) as caught:
                client.put_gateway(gateway)
            assert [problem.path for problem in caught.value.problems] == [path]


def test_asyncio_has_the_same(server: RedisServer) -> None:
    async def store() -> StoredConnection:
        async with AsyncClient.from_url(server.url) as client:
            return await client.put_gateway(connection())

    assert asyncio.run(store()) == StoredConnection(stored=True, changed=True, revision=None)

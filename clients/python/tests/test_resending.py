"""An answer that is lost on the way: the job is sent again and stored once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import corpus
import pytest
import redis
import redis.asyncio
from conftest import RedisServer

from mission_worker import AsyncClient, Client, QueueUnavailable


class Flaky:
    """Loses the first answers to scripts, after they were run."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.sent: list[Any] = []

    def check(self, words: tuple[Any, ...]) -> None:
        if words[0] in ("EVALSHA", "EVAL"):
            self.sent.append(words)
            if len(self.sent) <= self.lost:
                raise redis.exceptions.TimeoutError("no answer")


@pytest.fixture
def connection(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(server.socket)) as connection:
        # The scripts are there, so that each is sent once.
        with Client(connection) as client:
            client.enqueue(corpus.document("cleanup"), delay=1000)
        yield connection


def enqueue(kind: str, server: RedisServer, flaky: Flaky) -> Any:
    document = corpus.document("cleanup")
    if kind == "sync":
        with redis.Redis(unix_socket_path=str(server.socket)) as connection:
            execute: Any = connection.execute_command

            def lossy(*words: Any, **options: Any) -> Any:
                answer = execute(*words, **options)
                flaky.check(words)
                return answer

            setattr(connection, "execute_command", lossy)  # noqa: B010 - the type checker minds an assignment
            return Client(connection).enqueue(document, idempotency_key="k")

    async def run() -> Any:
        async with redis.asyncio.Redis(unix_socket_path=str(server.socket)) as connection:
            execute: Any = connection.execute_command

            async def lossy(*words: Any, **options: Any) -> Any:
                answer = await execute(*words, **options)
                flaky.check(words)
                return answer

            setattr(connection, "execute_command", lossy)  # noqa: B010 - the type checker minds an assignment
            return await AsyncClient(connection).enqueue(document, idempotency_key="k")

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_job_is_sent_once_more_under_its_id(kind: str, server: RedisServer, connection: redis.Redis) -> None:
    flaky = Flaky(lost=1)
    enqueued = enqueue(kind, server, flaky)
    assert len(flaky.sent) == 2
    assert flaky.sent[0] == flaky.sent[1]
    assert (enqueued.state, enqueued.duplicate) == ("ready", False)
    assert connection.hlen("{mission}:job") == 2, "one is there from the start"


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_but_not_for_ever(kind: str, server: RedisServer, connection: redis.Redis) -> None:
    with pytest.raises(QueueUnavailable, match="no answer"):
        enqueue(kind, server, Flaky(lost=2))

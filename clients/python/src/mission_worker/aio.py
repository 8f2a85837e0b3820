"""The queue for programs with asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar, overload
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError

from . import _flows, _requests
from ._requests import Command, Flow, Stream, Together
from .errors import MissionError, translate
from .event import Event
from .job import Gateway
from .record import Enqueued, JobRecord, StoredConnection
from .seal import Keyring
from .wire import Document, Duration, Shards, When

_Result = TypeVar("_Result")


class AsyncClient:
    """Enqueues jobs and reads their results. Redis must be running; a worker need not be.

    It belongs to one event loop, like the given `redis.asyncio.Redis`.
    """

    def __init__(
        self, redis: redis.asyncio.Redis, queue: str = "mission", *, secret_key: str | None = None, shards: int = 1
    ) -> None:
        """Use an existing Redis client; `queue` is the name in the workers' settings.

        `secret_key` is the workers' `MISSION_SECRET_KEY`; it seals tokens before they reach Redis. `shards` is the
        workers' `MISSION_SHARDS`; another number than the queue has in Redis raises `QueueError`.
        """
        self._redis = redis
        self._shards = Shards(queue, shards)
        self._keyring = Keyring(secret_key) if secret_key is not None else None
        # The types of the client library differ between versions.
        self._execute: Any = redis.execute_command
        settings: Any = getattr(redis, "get_connection_kwargs", dict)
        self._block = _requests.blocking(settings().get("socket_timeout"))

    @classmethod
    def from_url(
        cls, url: str, queue: str = "mission", *, secret_key: str | None = None, shards: int = 1, **options: Any
    ) -> AsyncClient:
        """Create a Redis client from a URL: `redis://`, `rediss://` (TLS) or `unix://`.

        Connects on the first call. `options` go to `redis.asyncio.Redis.from_url`.
        """
        options = {"socket_connect_timeout": 5, "socket_timeout": 15} | options
        return cls(redis.asyncio.Redis.from_url(url, **options), queue, secret_key=secret_key, shards=shards)

    @overload
    async def enqueue(  # type: ignore[overload-overlap]
        self,
        job: Document,
        *,
        delay: Duration = ...,
        priority: int = ...,
        expires_in: Duration | None = ...,
        idempotency_key: str | None = ...,
        idempotency_life: Duration = ...,
        replicas: int = ...,
    ) -> Enqueued: ...

    @overload
    async def enqueue(
        self,
        job: Sequence[Document],
        *,
        delay: Duration = ...,
        priority: int = ...,
        expires_in: Duration | None = ...,
        idempotency_key: str | None = ...,
        idempotency_life: Duration = ...,
        replicas: int = ...,
    ) -> list[Enqueued]: ...

    async def enqueue(
        self,
        job: Document | Sequence[Document],
        *,
        delay: Duration = 0,
        priority: int = 5,
        expires_in: Duration | None = None,
        idempotency_key: str | None = None,
        idempotency_life: Duration = timedelta(hours=24),
        replicas: int = 0,
    ) -> Enqueued | list[Enqueued]:
        """Check and store a job, or up to 50 of them: all or none, in a queue with shards all or none of each shard.

        A job is one of the dataclasses or a document (mapping, text). If the connection breaks, the request is repeated
        once; a job is still stored only once, because its id stays the same.

        `delay`            the time before the first run
        `priority`         0 (first) to 9 among the jobs of a gateway
        `expires_in`       a job that still waits after that time is dead with the reason `expired`; longer than `delay`
        `idempotency_key`  while it is in use, no other job with it is stored: the answer is a `duplicate` with the id
                           and the state of the first one, whatever the document
        `idempotency_life` the time that the key is in use: 1 second to 30 days
        `replicas`         waits until that many replicas of Redis have the jobs, a second at most for each shard, and
                           else raises `NotReplicated`: the jobs are stored, but a failover may lose them

        Raises `InvalidJob`, `ValueError`, `QueueUnavailable`, `NotReplicated`, `ProtocolMismatch`.
        """
        if replicas and hasattr(self._redis, "get_node_from_key"):
            # The library has no way to send several commands to one node over one connection.
            raise ValueError("replicas cannot be waited for with an asynchronous client of a cluster; use Client")
        when = When(
            delay=delay,
            priority=priority,
            expires_in=expires_in,
            idempotency_key=idempotency_key,
            idempotency_life=idempotency_life,
        )
        if isinstance(job, (list, tuple)):
            return await self._run(_flows.enqueue(self._shards, job, when, self._keyring, replicas, listed=True))
        return (await self._run(_flows.enqueue(self._shards, [job], when, self._keyring, replicas, listed=False)))[0]  # type: ignore[list-item]

    async def put_gateway(
        self, gateway: Gateway | Mapping[str, Any], *, by: str = "backend", why: str = ""
    ) -> StoredConnection:
        """Check and store the connection of a gateway, which all of its jobs use from then on.

        Jobs may then name the gateway by its id alone. If the connection is another one than before, blocked jobs of
        the gateway are tried again. `by` and `why` are for the audit.

        Raises `InvalidJob`, `QueueUnavailable`, `ProtocolMismatch`.
        """
        return await self._run(_flows.put_gateway(self._shards, gateway, self._keyring, by, why))

    async def forget_gateway(
        self, gateway: UUID | str, *, force: bool = False, by: str = "backend", why: str = ""
    ) -> None:
        """Forget a gateway: its connection, its agents and its figures. Nothing is changed on the gateway itself.

        With `force`, agents that are not deleted are forgotten as well, and waiting jobs are cancelled. `by` and `why`
        are for the audit. Raises `GatewayInUse` if that is not possible, `QueueUnavailable`, `ProtocolMismatch`.
        """
        await self._run(_flows.forget_gateway(self._shards, gateway, force, by, why))

    async def get(self, job_id: UUID | str) -> JobRecord | None:
        """Return a job; none if it does not exist, or no longer exists."""
        return await self._run(_flows.get(self._shards, job_id))

    async def wait(self, job_id: UUID | str, timeout: float) -> JobRecord:
        """Return a job when it is done, dead, superseded or cancelled. A blocked job has not ended.

        Raises `TimeoutError` after `timeout` seconds, and `JobNotFound`.
        """
        return await self._run(_flows.wait(self._shards, job_id, timeout, self._block))

    async def cursor(self) -> str:
        """Return the current end of the events, to read from there later."""
        return await self._run(_flows.last(self._shards))

    def events(self, after: str | None = None, *, timeout: float | None = None) -> AsyncIterator[Event]:
        """Read events as they happen, from the first `await` on, or after a cursor (`"0"` for all kept ones).

        Ends only if no event came for `timeout` seconds. If Redis cannot be used, it raises
        `QueueUnavailable`; then continue after the last event's cursor.
        """
        return self._stream(_flows.events(self._shards, after, timeout, self._block))

    def consume(
        self, group: str, consumer: str, *, start: str = "$", timeout: float | None = None, claim_after: float = 60
    ) -> AsyncIterator[Event]:
        """Read events as one member of a group: each event goes to one of its members, again until it is acknowledged.

        Creates the group, with events from now on, or those after the cursor `start`. Unacknowledged events of this
        `consumer` come first; it takes over events that others have not acknowledged for `claim_after` seconds.
        So an event can arrive twice.
        """
        return self._stream(_flows.consume(self._shards, group, consumer, start, timeout, claim_after, self._block))

    async def ack(self, group: str, *events: Event | str) -> int:
        """Acknowledge events of the group. Returns the number of entries that were pending before.

        Of several events in one entry, the last one counts for all.
        """
        return await self._run(
            _flows.ack(self._shards, group, [event.cursor if isinstance(event, Event) else event for event in events])
        )

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[_Result]) -> _Result:
        try:
            command = next(flow)
            while True:
                answer, error = await self._ask(command)
                command = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _stream(self, flow: Stream) -> AsyncIterator[Event]:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Event):
                    yield step
                    step = next(flow)
                else:
                    answer, error = await self._ask(step)
                    step = flow.send(answer) if error is None else flow.throw(error)
        except StopIteration:
            return

    async def _ask(self, command: Command | Together) -> tuple[Any, MissionError | None]:
        try:
            if isinstance(command, Together):
                return await self._together(command), None
            return await self._execute(*command.words, NEVER_DECODE=True), None
        except (RedisError, OSError) as error:
            return None, translate(error)

    async def _together(self, together: Together) -> list[Any]:
        client: Any = self._redis
        pipeline: Any = client.pipeline(transaction=False)
        for words in together.commands:
            pipeline.execute_command(*words, NEVER_DECODE=True)
        return list(await pipeline.execute())

"""Enqueues jobs for OpenClaw gateways on the queue of mission-worker, and reads their results.

`Client` and `AsyncClient` enqueue `Provision`, `ProvisionMain`, `Cleanup` and `HeartbeatSync` jobs. Redis must be
running; a worker need not be. Without `secret_key`, tokens are stored in Redis as plain text, so protect your Redis.
"""

from .aio import AsyncClient
from .client import Client
from .document import MAX_DOCUMENT_BYTES, parse_job, to_document
from .errors import (
    GatewayInUse,
    InvalidJob,
    JobNotFound,
    MissionError,
    NotReplicated,
    Problem,
    ProtocolMismatch,
    QueueError,
    QueueUnavailable,
)
from .event import Event
from .job import (
    Action,
    Agent,
    Board,
    Cleanup,
    Gateway,
    HeartbeatSync,
    Job,
    Kind,
    Nothing,
    Options,
    Provision,
    ProvisionMain,
    User,
    Wake,
)
from .record import ENDED, Enqueued, Failure, JobRecord, Remedy, Run, State, StoredConnection

__all__ = [
    "ENDED",
    "MAX_DOCUMENT_BYTES",
    "Action",
    "Agent",
    "AsyncClient",
    "Board",
    "Cleanup",
    "Client",
    "Enqueued",
    "Event",
    "Failure",
    "Gateway",
    "GatewayInUse",
    "HeartbeatSync",
    "InvalidJob",
    "Job",
    "JobNotFound",
    "JobRecord",
    "Kind",
    "MissionError",
    "NotReplicated",
    "Nothing",
    "Options",
    "Problem",
    "ProtocolMismatch",
    "Provision",
    "ProvisionMain",
    "QueueError",
    "QueueUnavailable",
    "Remedy",
    "Run",
    "State",
    "StoredConnection",
    "User",
    "Wake",
    "parse_job",
    "to_document",
]

"""The job document, version 1, as dataclasses. Their fields have the names of the document.

They are checked on enqueueing, or by `parse_job`. `repr` omits tokens and URLs (people put tokens into URLs);
`dataclasses.asdict` does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any, ClassVar, TypeAlias
from uuid import UUID


class Kind(str, Enum):
    """The four kinds of job, by the names used on the wire."""

    PROVISION = "provision"
    """Create or update a board-scoped agent."""
    PROVISION_MAIN = "provision-main"
    """Create or update the main agent of a gateway."""
    CLEANUP = "cleanup"
    """Remove an agent, its files and its session."""
    HEARTBEAT_SYNC = "heartbeat-sync"
    """Write the heartbeats of many agents in one config write."""

    __str__ = str.__str__


class Action(str, Enum):
    """First provisioning or a later update."""

    PROVISION = "provision"
    """The agent is new, or is provisioned like a new one."""
    UPDATE = "update"
    """The agent exists; BOOTSTRAP.md is left alone."""

    __str__ = str.__str__


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The gateway that agents live on."""

    id: UUID
    """Its id in the main backend."""
    name: str = ""
    """Its name, for people."""
    url: str | None = field(default=None, repr=False)
    """`ws://` or `wss://`. Without it, a job uses the newest connection of the gateway; if there is none, every job
    except a heartbeat-sync succeeds immediately and does nothing."""
    token: str | None = field(default=None, repr=False)
    """The gateway's token. Secret."""
    workspace_root: str | None = None
    """Folder on the gateway's machine for workspaces. Required with a URL."""
    allow_insecure_tls: bool = False
    """Accept a certificate that cannot be verified."""
    tls_fingerprint: str | None = None
    """Accept only this certificate: `sha256:` and the 64 hex digits of its SHA-256, with or without colons."""
    revision: int | None = None
    """The backend's number of this connection. A lower one than an earlier job's is not used."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent as the main backend knows it."""

    id: UUID
    """Its id in the main backend."""
    name: str
    """Its name, for people; may be empty."""
    generation: int | None = None
    """The backend's number of this state of the agent. A job with a lower one than an earlier job's is superseded."""
    board_id: UUID | None = None
    """Its board, for information only."""
    openclaw_session_id: str | None = None
    """Session key given by the main backend, such as `agent:lead-7:main`."""
    is_board_lead: bool = False
    """Leads get a different heartbeat document."""
    heartbeat_config: Mapping[str, Any] | None = None
    """Settings merged over the default heartbeat."""
    identity_profile: Mapping[str, Any] | None = None
    """Role, style and charter."""
    identity_template: str | None = None
    """Jinja template that replaces IDENTITY.md."""
    soul_template: str | None = None
    """Jinja template that replaces SOUL.md."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """The board that an agent works on."""

    id: UUID
    """Its id in the main backend."""
    name: str
    """Its name."""
    board_type: str = "goal"
    """Type of board, such as `goal`."""
    objective: str | None = None
    """The goal of the board."""
    success_metrics: Any = None
    """The success metrics; any JSON, shown to the agent unchanged."""
    target_date: date | str | None = None
    """A date or date-time, or its ISO 8601 form, which is shown as given."""
    goal_confirmed: bool = False
    """True if a person has confirmed the goal."""


@dataclass(frozen=True, kw_only=True)
class User:
    """The person that an agent works for; every field may be unknown."""

    name: str | None = None
    """Full name."""
    preferred_name: str | None = None
    """The preferred name; the first word is used."""
    pronouns: str | None = None
    """Pronouns, such as `she/her`."""
    timezone: str | None = None
    """IANA name, for information only."""
    notes: str | None = None
    """Free text."""
    context: str | None = None
    """Free text."""


@dataclass(frozen=True, kw_only=True)
class Wake:
    """Options of the message that wakes the agent once it has the desired state."""

    deliver: bool = True
    """True if the agent's answer goes to the channel that its session last used."""
    verb: str | None = None
    """The verb of the message, 1 to 64 printable characters; by default it follows the action."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a provisioning."""

    action: Action = Action.PROVISION
    """First provisioning or a later update."""
    force_bootstrap: bool = False
    """Write BOOTSTRAP.md even in an update, which normally omits it."""
    reset_session: bool = False
    """Reset the agent's session at the end."""
    wake: Wake | None = None
    """Send the agent a start message as the last step."""
    allow_fast_heartbeat: bool = False
    """Accept a heartbeat interval below 30 seconds. Also valid for heartbeat-syncs."""
    adopt: bool = False
    """Take over an agent of that id on the gateway that was not made for this job. Also valid for cleanups."""
    move_workspace: bool = False
    """Move an agent to another folder on the gateway's machine. Its memory stays in the old one."""


@dataclass(frozen=True, kw_only=True)
class Provision:
    """Create or update a board-scoped agent."""

    kind: ClassVar[Kind] = Kind.PROVISION
    gateway: Gateway
    """The gateway that the agent lives on."""
    agent: Agent
    """The agent."""
    board: Board
    """The agent's board."""
    user: User | None = None
    """The person that the agent works for."""
    auth_token: str | None = field(default=None, repr=False)
    """The agent's token for the main backend's API. Secret. Only an update can omit it: the agent keeps its token."""
    options: Options = field(default_factory=Options)
    """Options of the run."""


@dataclass(frozen=True, kw_only=True)
class ProvisionMain:
    """Create or update the main agent of a gateway."""

    kind: ClassVar[Kind] = Kind.PROVISION_MAIN
    gateway: Gateway
    """The gateway that the agent lives on."""
    agent: Agent
    """The agent."""
    user: User | None = None
    """The person that the agent works for."""
    auth_token: str | None = field(default=None, repr=False)
    """The agent's token for the main backend's API. Secret. Only an update can omit it: the agent keeps its token."""
    session_key: str | None = None
    """Session key to use instead of the one derived from the gateway's id."""
    options: Options = field(default_factory=Options)
    """Options of the run."""


@dataclass(frozen=True, kw_only=True)
class Cleanup:
    """Remove an agent."""

    kind: ClassVar[Kind] = Kind.CLEANUP
    gateway: Gateway
    """The gateway that the agent lives on."""
    agent: Agent
    """The agent."""
    options: Options = field(default_factory=Options)
    """Only `adopt` applies here."""


@dataclass(frozen=True, kw_only=True)
class HeartbeatSync:
    """Write the heartbeats of many agents."""

    kind: ClassVar[Kind] = Kind.HEARTBEAT_SYNC
    gateway: Gateway
    """The gateway that the agents live on. Needs a URL."""
    agents: Sequence[Agent]
    """The agents. May be empty."""
    options: Options = field(default_factory=Options)
    """Only `allow_fast_heartbeat` applies here."""


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A job for a gateway without a URL, which succeeds without doing anything. Only `parse_job` creates it."""

    kind: Kind
    """The requested kind."""
    gateway: Gateway
    """The gateway, which has no URL."""
    agent: Agent
    """The agent."""


Job: TypeAlias = Provision | ProvisionMain | Cleanup | HeartbeatSync | Nothing
"""A job of any kind."""

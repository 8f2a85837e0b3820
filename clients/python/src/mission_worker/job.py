"""The job document, version 1, as dataclasses. Their fields are those of the document, by the same names.

They are checked when they are enqueued, or by `parse_job`. `repr` leaves out tokens and urls (people put tokens into
urls); `dataclasses.asdict` does not.
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
    """The agent is new, or is to be made as if it were."""
    UPDATE = "update"
    """The agent exists; BOOTSTRAP.md is left alone."""

    __str__ = str.__str__


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """Where agents live."""

    id: UUID
    """The main backend's id of it."""
    name: str = ""
    """Its name, for people."""
    url: str | None = field(default=None, repr=False)
    """`ws://` or `wss://`. Without one, every job but a heartbeat-sync succeeds at once and does nothing."""
    token: str | None = field(default=None, repr=False)
    """The gateway's token. Secret."""
    workspace_root: str | None = None
    """Folder on the gateway's machine under which workspaces are made. Needed with a url."""
    allow_insecure_tls: bool = False
    """Accept a certificate that cannot be verified."""
    tls_fingerprint: str | None = None
    """Accept exactly this certificate: `sha256:` and the 64 hex digits of its SHA-256, with or without colons."""


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent as the main backend knows it."""

    id: UUID
    """The main backend's id of it."""
    name: str
    """Its name, for people; may be empty."""
    board_id: UUID | None = None
    """The board that it belongs to, as information only."""
    openclaw_session_id: str | None = None
    """Session key given by the main backend, such as `agent:lead-7:main`."""
    is_board_lead: bool = False
    """Leads get another heartbeat document than the rest."""
    heartbeat_config: Mapping[str, Any] | None = None
    """Overlay on the default heartbeat."""
    identity_profile: Mapping[str, Any] | None = None
    """Role, style and charter."""
    identity_template: str | None = None
    """Jinja template that replaces IDENTITY.md."""
    soul_template: str | None = None
    """Jinja template that replaces SOUL.md."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """The board an agent works on."""

    id: UUID
    """The main backend's id of it."""
    name: str
    """Its name."""
    board_type: str = "goal"
    """Such as `goal`."""
    objective: str | None = None
    """What is to be reached."""
    success_metrics: Any = None
    """How success is measured; any JSON, shown to the agent as such."""
    target_date: date | str | None = None
    """A date or date-time, or its ISO 8601 form, which is shown as given."""
    goal_confirmed: bool = False
    """Whether a person has confirmed the goal."""


@dataclass(frozen=True, kw_only=True)
class User:
    """The person an agent works for; every part may be unknown."""

    name: str | None = None
    """Full name."""
    preferred_name: str | None = None
    """What the person likes to be called; the first word is used."""
    pronouns: str | None = None
    """Such as `she/her`."""
    timezone: str | None = None
    """IANA name, as information only."""
    notes: str | None = None
    """Free text."""
    context: str | None = None
    """Free text."""


@dataclass(frozen=True, kw_only=True)
class Wake:
    """That the agent is to be woken when it is as wanted, and how."""

    deliver: bool = True
    """Whether what the agent answers goes out to the channel that its session last used."""
    verb: str | None = None
    """What was done with the agent, in a word or two of 64 printable characters at most; none follows the action."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What kind of provisioning is wanted."""

    action: Action = Action.PROVISION
    """First provisioning or a later update."""
    force_bootstrap: bool = False
    """Write BOOTSTRAP.md even in an update that would leave it out."""
    reset_session: bool = False
    """Start the agent's session afresh at the end."""
    wake: Wake | None = None
    """Send the agent a message that it can start, last of all."""
    allow_fast_heartbeat: bool = False
    """Accept a heartbeat that comes more often than every 30 seconds. Of heartbeat-syncs too."""
    adopt: bool = False
    """Take over an agent of that id that is on the gateway and was not made for this one. Of cleanups too."""
    move_workspace: bool = False
    """Move an agent to another folder on the gateway's machine. Its memory stays in the old one."""


@dataclass(frozen=True, kw_only=True)
class Provision:
    """Create or update a board-scoped agent."""

    kind: ClassVar[Kind] = Kind.PROVISION
    gateway: Gateway
    """Where the agent lives."""
    agent: Agent
    """The agent."""
    board: Board
    """The board that it works on."""
    user: User | None = None
    """The person it works for."""
    auth_token: str | None = field(default=None, repr=False)
    """The agent's own token for the main backend's API. Secret. Only an update can do without: the agent keeps its."""
    options: Options = field(default_factory=Options)
    """What kind of run is wanted."""


@dataclass(frozen=True, kw_only=True)
class ProvisionMain:
    """Create or update the main agent of a gateway."""

    kind: ClassVar[Kind] = Kind.PROVISION_MAIN
    gateway: Gateway
    """Where the agent lives."""
    agent: Agent
    """The agent."""
    user: User | None = None
    """The person it works for."""
    auth_token: str | None = field(default=None, repr=False)
    """The agent's own token for the main backend's API. Secret. Only an update can do without: the agent keeps its."""
    session_key: str | None = None
    """Session key to use instead of the one derived from the gateway's id."""
    options: Options = field(default_factory=Options)
    """What kind of run is wanted."""


@dataclass(frozen=True, kw_only=True)
class Cleanup:
    """Remove an agent."""

    kind: ClassVar[Kind] = Kind.CLEANUP
    gateway: Gateway
    """Where the agent lives."""
    agent: Agent
    """The agent."""
    options: Options = field(default_factory=Options)
    """Only `adopt` counts here."""


@dataclass(frozen=True, kw_only=True)
class HeartbeatSync:
    """Write the heartbeats of many agents."""

    kind: ClassVar[Kind] = Kind.HEARTBEAT_SYNC
    gateway: Gateway
    """Where the agents live. Needs a url."""
    agents: Sequence[Agent]
    """The agents. May be empty."""
    options: Options = field(default_factory=Options)
    """Only `allow_fast_heartbeat` counts here."""


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A job for a gateway that has no url yet: it succeeds without doing anything. Made by `parse_job` only."""

    kind: Kind
    """The kind asked for."""
    gateway: Gateway
    """The gateway, which has no url."""
    agent: Agent
    """The agent."""


Job: TypeAlias = Provision | ProvisionMain | Cleanup | HeartbeatSync | Nothing
"""A job of any kind."""

"""Who is asking, and what keys are like."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

Role = Literal["admin", "member", "reader"]
"""``admin`` may everything in its project; ``member`` works with it; ``reader`` only searches and reads."""

ROLE_ORDER: dict[Role, int] = {"reader": 0, "member": 1, "admin": 2}

Network = IPv4Network | IPv6Network

KeyState = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are, with the project in which they may act. Every query is bound to one.

    The lists of what a key is for are None when it is for everything; see `allowing.may_call`.
    """

    project_id: int
    project_name: str
    key_id: str
    key_name: str
    role: Role
    models: tuple[str, ...] | None = None
    faces: tuple[str, ...] | None = None
    networks: tuple[Network, ...] | None = None
    user: str | None = None
    """Whose key it is; calls with it count as theirs, whatever they say themselves."""
    tier: str | None = None
    local_only: bool = False
    """Whether its calls of models must stay with local providers, for the key's sake or the project's."""

    def may_act_as(self, role: Role) -> bool:
        """Whether this principal's role includes ``role``."""
        return ROLE_ORDER[self.role] >= ROLE_ORDER[role]


@dataclass(frozen=True, slots=True)
class KeyWish:
    """A key that somebody wants to have."""

    name: str
    role: Role = "member"
    models: tuple[str, ...] | None = None
    """Names of models, ``*`` at the end for all that begin so. None: all."""
    faces: tuple[str, ...] | None = None
    """Such as ``chat.completions``. None: all."""
    addresses: tuple[str, ...] | None = None
    """Addresses or networks it may be used from. None: all."""
    expires_at: datetime | None = None
    """None: never."""
    user: str | None = None
    tier: str | None = None
    local_only: bool = False
    """Whether its calls of models must stay with local providers."""


@dataclass(frozen=True, slots=True)
class Key:
    """What may be shown of a key: everything but its secret."""

    id: str
    name: str
    role: Role
    state: KeyState
    models: tuple[str, ...] | None
    faces: tuple[str, ...] | None
    addresses: tuple[str, ...] | None
    user: str | None
    tier: str | None
    local_only: bool
    created_at: datetime
    expires_at: datetime | None
    rotated_at: datetime | None
    previous_until: datetime | None
    """Until when the secret before the last rotation is as good; None when there is none or its time is over."""
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key whose secret was just made. It is told here, and never again."""

    secret: str
    """The whole text that is sent."""
    key: Key


@dataclass(frozen=True, slots=True)
class Project:
    """A project, as its administrators and those of the first one see it."""

    id: int
    name: str
    created_at: datetime
    keys: int
    """That are active."""
    local_only: bool
    """Whether calls of models with its keys must stay with local providers."""

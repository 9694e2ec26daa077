"""A key as the database has it, and for how long a secret opens it. Pure."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass

from skep.access.allowing import networks_of
from skep.access.models import Principal, Role


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A living key with its project, as `fetch_key` tells it."""

    project_id: int
    project_name: str
    key_id: str
    key_name: str
    role: Role
    models: list[str] | None
    faces: list[str] | None
    addresses: list[str] | None
    user_name: str | None
    tier: str | None
    local_only: bool
    secret_hmac: bytes
    previous_hmac: bytes | None
    key_pepper: bytes
    seconds_left: float | None
    previous_seconds_left: float | None
    """By the clock of the database; None: it never ends."""

    @property
    def has_expired(self) -> bool:
        """Whether its time was over when it was read."""
        return self.seconds_left is not None and self.seconds_left <= 0

    @property
    def principal(self) -> Principal:
        """Who has the key."""
        return Principal(
            project_id=self.project_id,
            project_name=self.project_name,
            key_id=self.key_id,
            key_name=self.key_name,
            role=self.role,
            models=None if self.models is None else tuple(self.models),
            faces=None if self.faces is None else tuple(self.faces),
            networks=None if self.addresses is None else networks_of(self.addresses),
            user=self.user_name,
            tier=self.tier,
            local_only=self.local_only,
        )

    def seconds_of(self, hmac_of_key: bytes) -> float | None:
        """How long a secret is good from now on, infinite for one that never ends; None when it is not of this key."""
        whole = math.inf if self.seconds_left is None else self.seconds_left
        if hmac.compare_digest(hmac_of_key, self.secret_hmac):
            return whole
        if self.previous_hmac is not None and hmac.compare_digest(hmac_of_key, self.previous_hmac):
            return min(whole, self.previous_seconds_left or 0.0)
        return None

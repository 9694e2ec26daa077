"""Guards: what is looked for in requests and answers, and what is done with it."""

from __future__ import annotations

from skep.gateway.guarding.configuring import GuardRules, read_guard
from skep.gateway.guarding.interfaces import GuardBlockedError, GuardUnreadableError
from skep.gateway.guarding.plans import BlockedError
from skep.gateway.guarding.service import CallGuard, Guards, StreamGuard, guards_of

__all__ = [
    "BlockedError",
    "CallGuard",
    "GuardBlockedError",
    "GuardRules",
    "GuardUnreadableError",
    "Guards",
    "StreamGuard",
    "guards_of",
    "read_guard",
]

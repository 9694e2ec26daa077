"""Calls that were answered from the cache: when the same comes again, what was found out about it need not be found out anew.

The same is the same key, face, headers and body, byte for byte, under the same settings. Reading a request, choosing its model and
hashing the question take a fifth of the time of an answer that is kept. Everything that may change meanwhile is looked at as ever: the
key, its limits and budgets, whether the answer was cleared or has grown old.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from skep.access import Principal
from skep.gateway.caching import Question
from skep.gateway.choosing import Choice
from skep.gateway.generate_requests import Named
from skep.gateway.guarding import CallGuard
from skep.gateway.models import StopWhen
from skep.gateway.profiles import Face
from skep.gateway.requests import Known

_LONGEST_BODY = 16_384
"""A longer one takes more than it is worth to look for."""

_MOST_BYTES = 32 << 20
_BYTES_OF_CALLER = 1_500
"""What is kept of one caller besides the bytes of its headers, about."""

_MOST_HEADER_BYTES = 8_192
"""A caller with more is not remembered."""

_SHARE_OF_BODY = 4
"""A body, and what was read from it, take so many times its bytes, about."""

_Headers = list[tuple[bytes, bytes]]


class Sent(NamedTuple):
    """What came of a request."""

    face: Face
    body: bytes
    named: Named | None = None
    """What its address says, where that names the model."""


@dataclass(slots=True)
class Asked:
    """What a call asks for, as far as it is found out before anybody else is asked. Never changed."""

    known: Known
    choice: Choice
    stop_when: StopWhen | None
    """When its stream is to be ended early."""
    guard: CallGuard | None
    question: Question | None
    """What to look up in the cache, and to keep the answer for."""

    @property
    def is_plain(self) -> bool:
        """Whether the same request always comes to the same: no guard, role, tier or experiment has a say in it."""
        choice = self.choice
        return self.guard is None and not choice.steps and not choice.arm and choice.outside is None


@dataclass(slots=True)
class _Same:
    """One body at one face, and who sent it."""

    known: Known
    by_key: dict[str, tuple[Principal, _Headers, Asked]] = field(default_factory=dict)


class Repeats:
    """What is remembered, for as long as the settings stay as they are. Bounded: of too much everything is forgotten."""

    def __init__(self) -> None:
        self._same: dict[Sent, _Same] = {}
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        return not self._same

    def find(self, sent: Sent, principal: Principal, headers: _Headers) -> Asked | None:
        """What the same call asked for before; None when there was none. Its question is as old as that call."""
        if len(sent.body) > _LONGEST_BODY:
            return None
        same = self._same.get(sent)
        if same is None:
            return None
        found = same.by_key.get(principal.key_id)
        if found is None or found[1] != headers:
            return None
        # A key that has changed has another principal; one that was merely asked for again, an equal one.
        return found[2] if found[0] is principal or found[0] == principal else None

    def note(self, asked: Asked, principal: Principal, headers: _Headers) -> None:
        """Remember a call that was answered from the cache."""
        known = asked.known
        size = len(known.body)
        header_bytes = sum(len(name) + len(value) for name, value in headers)
        if size > _LONGEST_BODY or header_bytes > _MOST_HEADER_BYTES or not asked.is_plain:
            return
        if self._bytes > _MOST_BYTES:
            self._same.clear()
            self._bytes = 0
        sent = Sent(known.face, known.body, known.named)
        same = self._same.get(sent)
        if same is None:
            same = self._same[sent] = _Same(known)
            self._bytes += _SHARE_OF_BODY * size
        same.by_key[principal.key_id] = principal, headers, replace(asked, known=same.known)
        self._bytes += _BYTES_OF_CALLER + header_bytes

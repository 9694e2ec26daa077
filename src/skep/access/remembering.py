"""What a process remembers of keys, and for how long it may believe that. Asks nobody.

A secret that was verified is remembered by a hash. Beside it lie rows of keys that nobody has sent yet: the first call with one of
them then asks the database as little as the second. All of it is believed for a second; while changes are heard, for as long as
it is certain that none was missed. A change of a key takes away what is known of that key alone.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Iterable

from skep.access.keys import ParsedKey, key_hmac, parse_key
from skep.access.models import Principal
from skep.access.rows import KeyRow

CACHE_SECONDS = 1.0
"""How long a verified key is believed without asking again, or since it is certain that every change has been heard: a revoked key
works at most this much longer, also when the network falls silent."""

_MOST_SECRETS = 10_000
"""Bound of the verified secrets; the one that was verified first makes room."""

_MOST_CHANGES = 10_000
"""Bound of the changes that are remembered for the sake of answers still on their way."""

_Known = tuple[float, float, Principal]
"""When it was asked for, until when it is good at most, and who has the key."""


class Remembered:
    """See the module. Times are of the monotonic clock; what was asked for counts from before the question."""

    def __init__(self) -> None:
        # Keyed by the whole key's text, hashed: never by a part of it (CVE-2026-35030 was a truncated cache key).
        self._verified: dict[bytes, _Known] = {}
        self._entries: dict[str, list[bytes]] = {}
        """Of each key, what `_verified` has of it."""
        self._rows: dict[str, tuple[float, KeyRow]] = {}
        """When it was asked for."""
        self._changed_at: dict[str, float] = {}
        self._secret = secrets.token_bytes(32)
        self._heard_since: float | None = None
        """Since when no change of a key can have been missed, but for those that have been heeded; None: one can."""
        self._confirmed_at = -math.inf
        """Everything that was told until then has been heard: keys that were known then are known anew."""

    def recall(self, text: str, within_seconds: float | None = None) -> Principal | None:
        """The principal of a key that is known and believed; None: the database has to be asked.

        ``within_seconds`` is CACHE_SECONDS unless it is said.
        """
        if within_seconds is None:
            within_seconds = CACHE_SECONDS
        entry = self.entry(text)
        known = self._verified.get(entry)
        if known is not None:
            return known[2] if self._is_believed(known, within_seconds) else None
        known = self._known_by_row(text)
        if known is None or not self._is_believed(known, within_seconds):
            return None
        del self._rows[known[2].key_id]
        self._put(entry, known)
        return known[2]

    def entry(self, text: str) -> bytes:
        """What the whole of a key is remembered by. Keyed BLAKE2b, which is a tenth of the work of an HMAC."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=32).digest()

    def hmac_for_nobody(self, key: ParsedKey) -> bytes:
        """The HMAC of a key whose id is unknown, so that the time taken does not tell whether an id exists."""
        return key_hmac(key, self._secret)

    def keep(self, entry: bytes, asked_at: float, good_until: float, principal: Principal) -> None:
        """Remember a verified secret, unless its key has changed since it was asked for."""
        if not self.has_changed(principal.key_id, asked_at):
            self.forget_entry(entry)
            self._put(entry, (asked_at, good_until, principal))

    def keep_rows(self, asked_at: float, rows: Iterable[KeyRow]) -> None:
        """Remember keys that may be sent, but for those that have changed since they were asked for or are in use."""
        for row in rows:
            if row.key_id not in self._entries and not self.has_changed(row.key_id, asked_at):
                self._rows[row.key_id] = asked_at, row

    def forget_entry(self, entry: bytes) -> None:
        """One secret of a key is good no more."""
        known = self._verified.pop(entry, None)
        if known is not None:
            key_id = known[2].key_id
            self._entries[key_id].remove(entry)
            if not self._entries[key_id]:
                del self._entries[key_id]

    def note_change(self, key_id: str) -> None:
        """A key has changed, in whichever process. An answer about it that is still on its way may be of before."""
        now = time.monotonic()
        self._rows.pop(key_id, None)
        for entry in self._entries.pop(key_id, ()):
            del self._verified[entry]
        if len(self._changed_at) >= _MOST_CHANGES:
            # Answers to what was asked before now are believed for a second then, whichever key they are about.
            self._changed_at.clear()
            self._heard_since = now
        self._changed_at[key_id] = now

    def has_changed(self, key_id: str, since: float) -> bool:
        """Whether it was heard that a key has changed since then."""
        return self._changed_at.get(key_id, -math.inf) >= since

    def note_hearing(self) -> None:
        """From now on every change is heard. What lay ready may be of before the one that was missed."""
        self._heard_since = time.monotonic()
        self._rows.clear()

    def note_proof(self, until: float) -> None:
        """Every change that was told until then has been heard."""
        self._confirmed_at = until

    def note_deafness(self) -> None:
        """From now on changes are missed."""
        self._verified = {
            entry: (self._as_old_as(asked_at), good_until, principal)
            for entry, (asked_at, good_until, principal) in self._verified.items()
        }
        self._rows = {key_id: (self._as_old_as(asked_at), row) for key_id, (asked_at, row) in self._rows.items()}
        self._heard_since = None

    def _is_believed(self, known: _Known, within_seconds: float) -> bool:
        asked_at, good_until, _ = known
        now = time.monotonic()
        return now - self._as_old_as(asked_at) <= within_seconds and now < good_until

    def _as_old_as(self, asked_at: float) -> float:
        """When it was certain for the last time that what was asked for then still holds."""
        if self._heard_since is not None and asked_at >= self._heard_since:
            return max(asked_at, self._confirmed_at)
        return asked_at

    def _put(self, entry: bytes, known: _Known) -> None:
        if len(self._verified) >= _MOST_SECRETS:
            self.forget_entry(next(iter(self._verified)))
        self._verified[entry] = known
        self._entries.setdefault(known[2].key_id, []).append(entry)

    def _known_by_row(self, text: str) -> _Known | None:
        key = parse_key(text)
        if key is None:
            return None
        asked_at, row = self._rows.get(key.key_id, (0.0, None))
        if row is None:
            self.hmac_for_nobody(key)
            return None
        seconds = row.seconds_of(key_hmac(key, row.key_pepper))
        return None if seconds is None else (asked_at, asked_at + seconds, row.principal)

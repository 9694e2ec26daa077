"""What stands in for values within one call, and what was found in it. Pure.

Placeholders are numbered in the order in which their values come, so that a conversation that goes on names the same values alike: the
provider's cache of its beginning stays good.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from skep.gateway.guarding.models import Finding
from skep.gateway.guarding.plans import BlockedError
from skep.gateway.models import GuardAction, GuardKind, Side

PLACEHOLDER = re.compile(r"\[[A-Z_]{1,16}_\d{1,6}\]")
_BEGUN = re.compile(r"\[[A-Z_]{0,16}\d{0,6}\Z")


class Vault:
    """Values by their placeholders."""

    def __init__(self) -> None:
        self._body = b""
        self._taken: frozenset[str] | None = None
        self._names: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self._numbers: Counter[GuardKind] = Counter()

    def take_none_of(self, body: bytes) -> None:
        """What looks like a placeholder in a request already is none of ours."""
        self._body, self._taken = body, None

    def name(self, kind: GuardKind, value: str) -> str:
        """The placeholder of a value; the same for the same value."""
        name = self._names.get(value)
        if name is not None:
            return name
        if self._taken is None:
            self._taken = frozenset(PLACEHOLDER.findall(self._body.decode("utf-8", "replace")))
        while name is None or name in self._taken:
            self._numbers[kind] += 1
            name = f"[{kind.upper()}_{self._numbers[kind]}]"
        self._names[value] = name
        self.values[name] = value
        return name

    def restored(self, text: str) -> str:
        """A text with values again where their placeholders stand."""
        if "[" not in text:
            return text
        return PLACEHOLDER.sub(lambda match: self.values.get(match[0], match[0]), text)


class RestoringText:
    """Restores a text that comes in pieces; holds back what may be the beginning of a placeholder."""

    __slots__ = ("_held", "_vault")

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can leave now."""
        text = self._held + piece
        begun = _BEGUN.search(text, max(0, len(text) - _LONGEST))
        self._held = "" if begun is None else text[begun.start() :]
        return self._vault.restored(text[: len(text) - len(self._held)])

    def finish(self) -> str:
        """The rest: no more follows."""
        text, self._held = self._held, ""
        return self._vault.restored(text)


_LONGEST = 24


class Findings:
    """Counts what is found on one side of a call, and blocks where a guard says so."""

    def __init__(self, side: Side, stand_in: Callable[[GuardKind, str], str]) -> None:
        self.side: Side = side
        self.stand_in = stand_in
        self.counts: Counter[tuple[str, GuardKind, GuardAction]] = Counter()

    def count(self, finding: Finding) -> None:
        """See `Sink`."""
        guard = finding.guard
        self.counts[guard.name, finding.kind, guard.action] += 1
        if guard.action == "block":
            raise BlockedError(guard.name, (finding.kind,))


def unnumbered(kind: GuardKind, _value: str) -> str:
    """What stands in an answer for what a provider must not say: nobody asks for it back."""
    return f"[{kind.upper()}]"

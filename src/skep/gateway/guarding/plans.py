"""What a model's guards do with texts of one side, requests or answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skep.gateway.guarding.detectors import Detector, detector_of
from skep.gateway.guarding.lumps import MOST_CHARACTERS, OVERLAP_CHARACTERS, Cutter, Phrases
from skep.gateway.guarding.models import FOUND_KINDS, Finding
from skep.gateway.models import Guard, GuardKind, Side


class Sink(Protocol):
    """What is told of findings."""

    def count(self, finding: Finding) -> None:
        """It is there. Raises BlockedError when its guard blocks."""

    def stand_in(self, kind: GuardKind, value: str) -> str:
        """What to put in the place of a value."""


class BlockedError(Exception):
    """A guard blocks what it has found; only inside this package and the relay."""

    def __init__(self, guard: str, kinds: Sequence[str], passed: bytes = b"") -> None:
        self.guard = guard
        self.kinds = kinds
        self.passed = passed
        """What may still leave, of a stream."""
        super().__init__(guard)


@dataclass(frozen=True, slots=True)
class Plan:
    """The guards of one side that look at each text."""

    finders: tuple[tuple[Guard, Detector], ...]
    denied: tuple[tuple[Guard, Phrases], ...]
    injections: tuple[Guard, ...]
    changes: bool
    """Whether a text may be changed, or end the call: all do but observe."""
    _cutter: Cutter = field(compare=False)
    _trigger: re.Pattern[str] = field(compare=False)

    def findings(self, lump: str) -> Iterator[Finding]:
        """What is in one lump."""
        for guard, detector in self.finders:
            if detector.trigger.search(lump) is not None:
                for start, end in detector.find(lump):
                    yield Finding(start, end, detector.kind, guard)
        for guard, phrases in self.denied:
            for match in phrases.pattern.finditer(lump):
                yield Finding(match.start(), match.end(), "denied", guard)

    def change(self, text: str, sink: Sink, *, is_whole: bool = True) -> tuple[str, int]:
        """As much of a text as can be decided on, with what is redacted replaced, and how long it was: all of it if it is whole.

        Raises BlockedError.
        """
        if is_whole and self._trigger.search(text) is None:
            return text, len(text)
        parts: list[str] = []
        at, is_cut = 0, True
        while is_cut:
            is_cut = False
            for begins, end in self._cutter.lumps(text, at, is_whole=is_whole):
                is_cut = end - begins > MOST_CHARACTERS
                at = self._long(text, begins, sink, parts) if is_cut else self._take(text[begins:end], end, sink, parts)
                if is_cut:
                    break
        return "".join(parts), at

    def _take(self, lump: str, end: int, sink: Sink, parts: list[str]) -> int:
        parts.append(
            lump if self._trigger.search(lump) is None else self._redacted(lump, list(self.findings(lump)), sink)
        )
        return end

    def _long(self, text: str, begins: int, sink: Sink, parts: list[str]) -> int:
        """The beginning of a lump that is too long: up to a place where nothing stands that was found."""
        lump = text[begins : begins + MOST_CHARACTERS]
        cut, found = MOST_CHARACTERS - OVERLAP_CHARACTERS, list(self.findings(lump))
        for finding in sorted(found, key=lambda each: each.start):
            if finding.start < cut < finding.end:
                cut = finding.end
        parts.append(self._redacted(lump[:cut], [each for each in found if each.end <= cut], sink))
        return begins + cut

    def _redacted(self, lump: str, found: Sequence[Finding], sink: Sink) -> str:
        for finding in found:
            sink.count(finding)
        # Those that overlap are one: nothing of either may stay.
        spans: list[tuple[int, int, GuardKind]] = []
        for finding in sorted(found, key=lambda each: (each.start, -each.end)):
            if finding.guard.action != "redact":
                continue
            if spans and finding.start < spans[-1][1]:
                start, end, kind = spans.pop()
                spans.append((start, max(end, finding.end), kind))
            else:
                spans.append((finding.start, finding.end, finding.kind))
        parts: list[str] = []
        at = 0
        for start, end, kind in spans:
            parts += (lump[at:start], sink.stand_in(kind, lump[start:end]))
            at = end
        parts.append(lump[at:])
        return "".join(parts)


def plan_of(guards: Iterable[Guard], side: Side) -> Plan | None:
    """The plan for one side; None when no guard looks there."""
    there = [guard for guard in guards if side in guard.on]
    finders = tuple(
        (guard, detector_of(kind, guard.countries)) for guard in there for kind in guard.kinds if kind in FOUND_KINDS
    )
    denied = tuple((guard, Phrases(guard.deny)) for guard in there if guard.deny)
    injections = tuple(guard for guard in there if "injection" in guard.kinds and side == "request")
    if not (finders or denied or injections):
        return None
    words = tuple(word for guard, _ in denied for word in guard.deny)
    triggers = {detector.trigger.pattern for _, detector in finders} | {
        phrases.pattern.pattern for _, phrases in denied
    }
    return Plan(
        finders,
        denied,
        injections,
        changes=any(guard.action != "observe" for guard in there),
        _cutter=Cutter({detector.kind for _, detector in finders}, Phrases(words)),
        _trigger=re.compile("|".join(sorted(triggers)) or r"(?!)", re.IGNORECASE),
    )

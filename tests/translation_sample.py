"""A field of a format, and what becomes of it in the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skep.gateway.translating import FormatName

Outcome = Literal["said", "left out", "refused"]

BASE: Mapping[FormatName, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
    "responses": {"model": "m", "input": "Hello"},
    "gemini": {"model": "m", "contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
}


@dataclass(frozen=True)
class Sample:
    """A field of a format, in a request that is whole but for it."""

    name: str
    more: Mapping[str, Any]
    outcome: Outcome
    """In the other formats."""
    but: Mapping[FormatName, Outcome] = field(default_factory=dict)
    """In which of them it is another."""

    def outcome_in(self, target: FormatName) -> Outcome:
        """What becomes of it in a format."""
        return self.but.get(target, self.outcome)

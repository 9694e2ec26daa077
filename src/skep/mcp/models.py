"""What a tool gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent reads after its call."""

    text: str
    is_error: bool = False

"""What guards find."""

from __future__ import annotations

from dataclasses import dataclass

from skep.gateway.models import Guard, GuardKind

FOUND_KINDS: tuple[GuardKind, ...] = (
    "email",
    "phone",
    "card",
    "iban",
    "national_id",
    "address",
    "ip_address",
    "credential",
)
"""Those that stand at one place of a text, and are found by their form."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a text."""

    start: int
    end: int
    kind: GuardKind
    guard: Guard

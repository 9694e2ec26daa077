"""What the meter stands on: where leases come from, and where calls are written down."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from skep.spend.holdings import WindowView


@dataclass(frozen=True, slots=True)
class Wish:
    """What a process would like to get of a rule's window. All 0: only to know it."""

    rule_id: int
    value: str
    need: int
    """What waiting calls lack together."""
    least: int
    """What the smallest of them lacks; less than that is of no use."""
    want: int
    """What would be good to have in store."""
    is_new: bool = False
    """The asker has nothing of the window: perhaps it was not opened yet."""
    starts_at: datetime | None = None
    """Of the window, which may be one to come, as the bank told it. None: the present one."""


class Bank(Protocol):
    """Gives out leases of rules' windows. Each method may raise an UnavailableError; what it then did is unknown."""

    async def acquire(self, wishes: Sequence[Wish]) -> list[WindowView]:
        """Move room of windows into this process' leases, as `leasing.lease_size` says; one view for each wish.

        A wish whose rule is gone has no view.
        """

    async def give_back(self, amounts: Mapping[int, int]) -> None:
        """Return parts of leases, by window."""

    async def recall(self, window_ids: Collection[int]) -> None:
        """Ask all other processes to give back what they do not use of these windows."""

    async def renew(self) -> Mapping[int, int]:
        """Say that this process lives; its leases by window. Its leases are valid for `VALID_SECONDS` from when this was sent."""


class Journal(Protocol):
    """Where calls are written down before they leave and when they end."""

    def begin(self, call_id: str, line: str) -> None:
        """Keep a call that leaves. Raises JournalUnwritableError; then nothing was kept."""

    def enter(self, line: str) -> None:
        """Keep a call that ends as it begins. Raises JournalUnwritableError; then nothing was kept."""

    def end(self, call_id: str, line: str) -> None:
        """Keep a call that ended. Never raises on account of the disk."""

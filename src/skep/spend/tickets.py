"""A ticket with what the meter itself remembers about it."""

from __future__ import annotations

from dataclasses import dataclass

from skep.spend.holdings import Holding
from skep.spend.models import Ticket


@dataclass(slots=True, eq=False, kw_only=True)
class HeldTicket(Ticket):
    """What a meter gives out."""

    holds: list[tuple[Holding, int]]
    """What was reserved of which holding."""
    head: str
    """How the call's lines in the journal begin."""
    worst_nusd: int | None
    """What one attempt costs at most; None when it has no price, or when no rule counts money: then nobody reckoned it yet."""
    attempts: int = 1
    """For how many attempts that may be billed there is a reservation."""
    once: tuple[int, ...] = ()
    """What each of ``holds`` needs for one more; empty until somebody asked."""

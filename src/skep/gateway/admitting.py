"""Admits a call: the one place where budgets and limits are asked, and where it is told that one had no room."""

from __future__ import annotations

from skep.gateway.metrics import WITHOUT_ROOM
from skep.observe import Metrics
from skep.spend import Ask, BudgetExceededError, LimitExceededError, Meter, Ticket
from skep.web import Notes


async def admit(meter: Meter, ask: Ask, metrics: Metrics, notes: Notes) -> Ticket:
    """The right to make a call. Raises what `Meter.admit` raises."""
    ticket = meter.try_admit(ask)
    if ticket is None:
        try:
            ticket = await meter.admit(ask)
        except (BudgetExceededError, LimitExceededError) as error:
            metrics.add(WITHOUT_ROOM, (str(error.fields["metric"]), "hard"))
            raise
    if ticket.exceeded:
        for each in ticket.exceeded:
            metrics.add(WITHOUT_ROOM, (each.rule.metric, each.rule.mode))
        notes.log["exceeded"] = ", ".join(f"{each.rule.name} ({each.rule.mode})" for each in ticket.exceeded)
    return ticket

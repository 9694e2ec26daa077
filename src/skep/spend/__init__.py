"""What calls may cost and what they cost: prices, budgets and limits, reservations, the ledger."""

from __future__ import annotations

from skep.spend.catalogue import PriceCatalogue
from skep.spend.feeding import SpendOptions
from skep.spend.interfaces import (
    BudgetExceededError,
    CallNotFoundError,
    JournalUnwritableError,
    LimitExceededError,
    Meter,
    MeterUnavailableError,
    ProcessNotReleasableError,
    RuleExistsError,
    RuleInvalidError,
    RuleNotFoundError,
    UnpricedError,
)
from skep.spend.ledger import Ledger, ReportBy
from skep.spend.memory import MemoryMeter
from skep.spend.meter import MeterOptions
from skep.spend.models import (
    EVERY,
    Alert,
    Ask,
    Caller,
    Charge,
    Metric,
    Mode,
    Outcome,
    Period,
    Price,
    ProcessState,
    Rates,
    ReportLine,
    Rule,
    Settlement,
    Standing,
    Subject,
    Ticket,
    Tier,
    Usage,
    WindowState,
    new_call_id,
)
from skep.spend.prices import cost_nusd, make_price, worst_cost_nusd
from skep.spend.rules import Rules
from skep.spend.service import Metering, open_metering

__all__ = [
    "EVERY",
    "Alert",
    "Ask",
    "BudgetExceededError",
    "CallNotFoundError",
    "Caller",
    "Charge",
    "JournalUnwritableError",
    "Ledger",
    "LimitExceededError",
    "MemoryMeter",
    "Meter",
    "MeterOptions",
    "MeterUnavailableError",
    "Metering",
    "Metric",
    "Mode",
    "Outcome",
    "Period",
    "Price",
    "PriceCatalogue",
    "ProcessNotReleasableError",
    "ProcessState",
    "Rates",
    "ReportBy",
    "ReportLine",
    "Rule",
    "RuleExistsError",
    "RuleInvalidError",
    "RuleNotFoundError",
    "Rules",
    "Settlement",
    "SpendOptions",
    "Standing",
    "Subject",
    "Ticket",
    "Tier",
    "UnpricedError",
    "Usage",
    "WindowState",
    "cost_nusd",
    "make_price",
    "new_call_id",
    "open_metering",
    "worst_cost_nusd",
]

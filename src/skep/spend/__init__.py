"""What calls may cost and what they cost: prices, budgets and limits, reservations, the ledger."""

from __future__ import annotations

from skep.spend.address_windows import AddressWindow, AddressWindows, address_group
from skep.spend.administering import Administration, administer
from skep.spend.catalogue import PriceCatalogue
from skep.spend.contents import CallContent, ContentKeeper, Heard, KeepsContent, Said, keeping_contents, keeps
from skep.spend.explaining import Explanation, explanation_lines
from skep.spend.feeding import SpendOptions
from skep.spend.interfaces import (
    AddressLimitError,
    BudgetExceededError,
    CallNotFoundError,
    ContentNotKeptError,
    DearFieldError,
    ForeignDatabaseError,
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
from skep.spend.key_rules import KeyLimits, MeteredKeys
from skep.spend.ledger import Ledger, ReportBy, report_csv
from skep.spend.limiting import LimitState, Room
from skep.spend.memory import MemoryMeter
from skep.spend.meter import MeterOptions
from skep.spend.metrics import SPEND_METRICS
from skep.spend.models import (
    EVERY,
    Alert,
    Ask,
    Caller,
    Charge,
    Exceeded,
    Metric,
    Mode,
    Outcome,
    Percentiles,
    Period,
    Price,
    ProcessState,
    Rates,
    Report,
    ReportLine,
    Rule,
    Settlement,
    Standing,
    Step,
    Subject,
    Ticket,
    Tier,
    Usage,
    WindowState,
    new_call_id,
)
from skep.spend.money import parse_usd, usd_text, usd_to_nusd
from skep.spend.prices import cost_nusd, make_price, price_on_terms, worst_cost_nusd
from skep.spend.rulebook import Rulebook, RuleKind
from skep.spend.rules import Rules
from skep.spend.service import Metering, open_metering
from skep.spend.spans import parse_since
from skep.spend.views import IssuedKey, MeteredKey, RuleView, view_of
from skep.spend.webhooks import Webhook

__all__ = [
    "EVERY",
    "SPEND_METRICS",
    "AddressLimitError",
    "AddressWindow",
    "AddressWindows",
    "Administration",
    "Alert",
    "Ask",
    "BudgetExceededError",
    "CallContent",
    "CallNotFoundError",
    "Caller",
    "Charge",
    "ContentKeeper",
    "ContentNotKeptError",
    "DearFieldError",
    "Exceeded",
    "Explanation",
    "ForeignDatabaseError",
    "Heard",
    "IssuedKey",
    "JournalUnwritableError",
    "KeepsContent",
    "KeyLimits",
    "Ledger",
    "LimitExceededError",
    "LimitState",
    "MemoryMeter",
    "Meter",
    "MeterOptions",
    "MeterUnavailableError",
    "MeteredKey",
    "MeteredKeys",
    "Metering",
    "Metric",
    "Mode",
    "Outcome",
    "Percentiles",
    "Period",
    "Price",
    "PriceCatalogue",
    "ProcessNotReleasableError",
    "ProcessState",
    "Rates",
    "Report",
    "ReportBy",
    "ReportLine",
    "Room",
    "Rule",
    "RuleExistsError",
    "RuleInvalidError",
    "RuleKind",
    "RuleNotFoundError",
    "RuleView",
    "Rulebook",
    "Rules",
    "Said",
    "Settlement",
    "SpendOptions",
    "Standing",
    "Step",
    "Subject",
    "Ticket",
    "Tier",
    "UnpricedError",
    "Usage",
    "Webhook",
    "WindowState",
    "address_group",
    "administer",
    "cost_nusd",
    "explanation_lines",
    "keeping_contents",
    "keeps",
    "make_price",
    "new_call_id",
    "open_metering",
    "parse_since",
    "parse_usd",
    "price_on_terms",
    "report_csv",
    "usd_text",
    "usd_to_nusd",
    "view_of",
    "worst_cost_nusd",
]

"""What a model call may cost, what it cost, and which rules watch over it.

Units: money in integer nano-dollars (``_nusd``), rates in nano-dollars for a million tokens, tokens as they are counted by
the provider. ``None`` always means "not told", never 0.

`Usage`, `Caller`, `Ask`, `Settlement` and `Charge` are made anew for every call and never changed. They are not frozen, because
making a frozen one takes three times as long: together a twelfth of what a call takes.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

Metric = Literal["cost", "requests", "tokens", "concurrent"]
"""What a rule counts: nano-dollars, calls, tokens (in and out), or calls under way at the same moment."""

Subject = Literal["project", "key", "user", "session", "tier", "model", "tag"]
"""Whose calls a rule counts."""

Period = Literal["minute", "hour", "day", "week", "month", "total"]
"""When a rule starts from 0 again (UTC; a week starts on Monday); ``total`` never does."""

Mode = Literal["hard", "soft", "shadow"]
"""``hard`` refuses; ``soft`` lets pass and warns; ``shadow`` lets pass and only notes what it would have refused."""

Outcome = Literal[
    "ok",
    "cancelled",
    "timeout",
    "rate_limited",
    "server_error",
    "auth",
    "context_too_long",
    "content_filter",
    "malformed",
    "client_error",
    "interrupted",
    "refused",
    "internal",
    "lost",
]
"""How a call ended. ``interrupted``: the provider died in the middle of a stream; ``refused``: a guard stopped it after it was
begun; ``internal``: an error of ours that nobody foresaw; ``lost``: the process that made it died before it could say (written by whoever adopts its journal)."""

EVERY = "*"
"""Value of a rule's subject: each value for itself."""


_random = random.Random()  # noqa: S311 -- a name, not a secret: it must only be no other's
os.register_at_fork(after_in_child=_random.seed)


def new_call_id() -> str:
    """A new call id: a UUID of version 7 (RFC 9562), whose first 48 bits are the milliseconds of its making."""
    ms, bits = time.time_ns() // 1_000_000, _random.getrandbits(74)
    variant = 0x8000 | (bits >> 48) & 0x3FFF
    return f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{bits >> 62:03x}-{variant:04x}-{bits & 0xFFFF_FFFF_FFFF:012x}"


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars for a million tokens of each kind. None: as the kind it is a part of (see `Usage`)."""

    input_nusd_per_mtok: int
    output_nusd_per_mtok: int
    cached_input_nusd_per_mtok: int | None = None
    cache_write_nusd_per_mtok: int | None = None
    reasoning_nusd_per_mtok: int | None = None
    input_audio_nusd_per_mtok: int | None = None
    output_audio_nusd_per_mtok: int | None = None
    cache_write_1h_nusd_per_mtok: int | None = None
    input_image_nusd_per_mtok: int | None = None
    output_image_nusd_per_mtok: int | None = None
    input_nusd_per_mchar: int | None = None
    """For a million characters of a text that is spoken; None: it is not paid by these."""
    audio_nusd_per_hour: int | None = None
    """For an hour of what is listened to; None: it is not paid by these."""


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates that hold for the whole call when it has more than so many input tokens."""

    above_input_tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs. ``version`` is a hash of all the numbers, so that equal prices have equal versions."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    """Ascending."""
    request_nusd: int = 0
    """For each call, besides its tokens."""
    version: str = ""
    """Made by `prices.make_price`; empty only where nobody will look at it."""
    terms: str = ""
    """What the call asked for that the list price is not for (``service_tier flex``); empty: nothing."""


@dataclass(slots=True)
class Usage:
    """Tokens of one call in the provider's own count. Each None when the provider did not tell.

    ``input_tokens`` includes cached, cache-write, audio and image input; ``output_tokens`` includes reasoning, audio and image output.
    ``cache_write_tokens`` includes those that are kept for an hour. The other parts do not overlap. A provider that counts its input without the cached part is brought to this form by whoever
    reads its answer.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    characters: int | None = None
    """Of a text that was spoken. Where these are paid, there are 0 tokens."""
    audio_ms: int | None = None
    """How long that was what was listened to. Where that is paid, there are 0 tokens."""


@dataclass(slots=True)
class Caller:
    """Who makes a call, as the rules see it."""

    project_id: int
    key_id: str
    key_name: str = ""
    user: str | None = None
    session: str | None = None
    tier: str | None = None
    """Of the key."""
    tags: tuple[str, ...] = ()
    model_tier: str | None = None
    """Of the model that is asked."""


@dataclass(slots=True)
class Ask:
    """A call that somebody wants to make, before it leaves."""

    caller: Caller
    model: str
    """The name the client asked for."""
    input_tokens_at_most: int
    output_tokens_at_most: int | None
    """None: unbounded. Then a rule over money or tokens makes the meter set a cap (`Ticket.output_tokens_cap`)."""
    price: Price | None
    """The dearest of all the call's routes; None when one of them has no price, or the call another one."""
    dear_field: str | None = None
    """The field of the request because of which the call costs other than the model's price says."""
    saving: str = "Ask for fewer tokens"
    """What to do for the call to cost less, or, with a ``dear_field``, for its cost to be known; the beginning of a sentence."""
    face: str = "chat.completions"
    stream: bool = False
    has_audio: bool = False
    """Whether audio goes in or is asked for; only then the reservation counts with the rates of audio."""
    keeps_an_hour: bool = False
    """Whether the provider is to keep input for an hour; only then the reservation counts with that rate."""
    characters_at_most: int = 0
    """Of a text that is spoken."""
    audio_ms_at_most: int = 0
    """How long what is listened to is at most."""
    call_id: str = field(default_factory=new_call_id)
    """A UUID; the ledger's name of the call."""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Exceeded:
    """A soft or shadow rule that had no room for a call it let pass, as the process that admitted the call knew it."""

    rule: Rule
    window_id: int
    taken: int
    """Used and reserved before this call. Of what calls of other processes take, what is in the ledger."""


@dataclass(slots=True, eq=False)
class Ticket:
    """The right to make one call: everything is reserved. Must be given to `settle` or `cancel`, once."""

    ask: Ask
    started_us: int
    """Microseconds since 1970, UTC."""
    output_tokens_cap: int | None = None
    """What the gateway must put into the request as its bound, because the client named none; None: leave it alone."""
    output_tokens_reckoned: int = 0
    """How many tokens of output the reservation has room for."""
    exceeded: tuple[Exceeded, ...] = ()
    """Soft and shadow rules without room for it: told in a header (soft), the log, the ledger and the metrics."""
    is_begun: bool = False
    is_closed: bool = False


CHOSEN = frozenset({"experiment", "tier", "role"})
"""Outcomes of steps that say how the model was chosen: what the client asked for stood for another one."""


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was tried for a call, or passed over, before it ended."""

    what: str
    """A route, or the model asked for where another answers in its stead."""
    outcome: str
    """The kind of failure; ``breaker_open`` for a route that was passed over; one of `CHOSEN`; an `Outcome` for the one that ended the call."""
    reason: str = ""
    ms: float | None = None
    """How long it took; None where nothing was sent."""
    input_tokens: int | None = None
    """With ``output_tokens`` and their cost: of an attempt whose answer nobody got and that the provider may bill."""
    output_tokens: int | None = None
    cost_nusd: int | None = None


@dataclass(slots=True)
class Settlement:
    """How a call ended and what the provider said it used."""

    outcome: Outcome
    usage: Usage | None
    """None when nothing is known; the whole reservation is charged then if ``estimated`` is true, else nothing."""
    estimated: bool = False
    """The usage was counted by us, not told by the provider."""
    status: int | None = None
    provider: str | None = None
    """None when the call never reached one."""
    model_used: str | None = None
    attempts: int = 1
    ttft_ms: float | None = None
    duration_ms: float | None = None
    price: Price | None = None
    """Of the route that was used; None: the one that was asked with."""
    is_unpriced: bool = False
    """It is not known what the call cost, whatever it was asked with."""
    told_nusd: int | None = None
    """What the provider says it charged: it counts where no price is known."""
    tried: tuple[Step, ...] = ()
    """Empty when the first route answered at once."""
    saved_nusd: int | None = None
    """Of a call that was answered from the cache: what the call cost that the answer is from. None: a provider was asked."""
    stopped: str | None = None
    """Which condition ended its stream early; None: none."""
    spared_nusd: int | None = None
    """About what it would have cost more then; None: not known."""
    is_remote: bool | None = None
    """Whether it was sent to anybody outside of the house, in any attempt or to be judged; None: nobody was asked, or it is not known."""
    wasted: tuple[tuple[Usage, Price | None], ...] = ()
    """What attempts took whose answers nobody got, each with the price of its route. Part of what the call is charged."""


@dataclass(slots=True)
class Charge:
    """What a call was charged. ``cost_nusd`` is None when its price or its usage is unknown."""

    cost_nusd: int | None
    tokens: int | None
    """In and out."""
    estimated: bool
    price_version: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A budget (metric ``cost``) or a limit, of one project."""

    rule_id: int
    project_id: int
    name: str
    metric: Metric
    subject: Subject
    value: str
    """Whom it counts; `EVERY`: each for itself. Empty for the project as a whole."""
    period: Period | None
    """None for ``concurrent``."""
    amount: int
    mode: Mode = "hard"
    alert_percents: tuple[int, ...] = (80, 90, 95)
    fallback_model: str | None = None
    allow_unpriced: bool = False
    """Whether calls without a known price may pass a hard money rule."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one rule stands for one caller, as this process last heard."""

    rule: Rule
    value: str
    used: int
    """Settled, as far as known here."""
    reserved: int
    """By calls under way and by other processes' leases."""
    remaining: int
    """Never below 0."""
    resets_at: datetime | None
    """None when it never does."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule's window has passed one of the rule's alert percents, for the first time. The rule as it was then."""

    alert_id: UUID
    """Also that of its webhook, at each attempt."""
    project: str
    rule_id: int
    rule: str
    metric: Metric
    subject: Subject
    value: str
    period: Period
    mode: Mode
    amount: int
    percent: int
    used: int
    """Right after it was passed."""
    started_at: datetime
    resets_at: datetime | None
    noticed_at: datetime
    attempts: int
    """How often its webhook was tried, the attempt under way among them."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """One window of a rule, as the database has it."""

    rule_id: int
    value: str
    started_at: datetime
    ends_at: datetime | None
    used: int
    leased: int
    """Held by processes, for calls under way and in store."""
    overage: int
    """What calls took beyond what was reserved for them."""
    exceeded: int
    """Calls that passed without room, because the rule is soft or a shadow."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How long calls took; exact to 19 %, never too low."""

    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class ReportLine:
    """What calls with one value of a property cost together."""

    value: str | None
    """None: the calls have none."""
    calls: int
    cost_nusd: int
    """Of the calls whose cost is known."""
    cost_usd: str
    unpriced: int
    """Calls whose cost is not known."""
    estimated: int
    """Calls whose usage the provider did not tell."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    failed: int
    """Calls that ended in another way than by an answer or by the client."""
    cached: int
    """Calls that were answered from the cache."""
    saved_nusd: int
    """What those would have cost, as far as it is known."""
    saved_usd: str
    ttft: Percentiles | None
    """Until the first token of streams; None when there was none."""
    duration: Percentiles | None


@dataclass(frozen=True, slots=True)
class Report:
    """What calls of a span cost, by one of their properties."""

    by: str
    since: datetime
    until: datetime | None
    """None: until now."""
    lines: list[ReportLine]


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """What the calls of an hour or a day cost."""

    start: datetime
    calls: int
    cost_nusd: int
    """Of the calls whose cost is known."""
    cost_usd: str
    unpriced: int
    failed: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class SavingsLine:
    """What calls saved in one way."""

    by: str
    """``cache``: the answer was kept; ``json``, ``pattern``, ``cost``: the condition that ended the stream early."""
    calls: int
    saved_nusd: int
    saved_usd: str
    unknown: int
    """Calls of which it is not known what they saved."""


@dataclass(frozen=True, slots=True)
class Savings:
    """What calls of a span saved. Of the cache it is exact, of streams that were ended early an estimate."""

    since: datetime
    until: datetime | None
    """None: until now."""
    saved_usd: str
    """All together."""
    lines: list[SavingsLine]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A process that holds leases. One whose time is over and that stays is unreconciled: its journal is out of reach."""

    process_id: int
    node: str
    started_at: datetime
    seen_at: datetime
    is_expired: bool
    windows: int
    """Of the principal's project, of which it holds something."""

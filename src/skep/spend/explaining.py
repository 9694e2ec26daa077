"""One call of the ledger, explained: what was asked, what was tried, what it cost and why, which rules counted it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from uuid import UUID

from skep.spend.interfaces import BudgetExceededError, DearFieldError, LimitExceededError, UnpricedError
from skep.spend.models import CHOSEN, Metric, Mode, Outcome, Period, Price, Step, Subject, Usage
from skep.spend.money import usd_text
from skep.spend.prices import MTOK, CostPart, cost_parts, price_of_facts
from skep.spend.refusing import amount_text

_REFUSALS = frozenset(
    error().code for error in (BudgetExceededError, LimitExceededError, UnpricedError, DearFieldError)
)


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as it stands in the ledger."""

    call_id: UUID
    started_at: datetime
    key_id: str
    key_name: str
    user: str | None
    session: str | None
    tier: str | None
    tags: list[str]
    model: str
    face: str
    stream: bool
    trace_id: str
    provider: str | None
    model_used: str | None
    status: int | None
    attempts: int
    ttft_us: int | None
    duration_us: int | None
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    output_audio_tokens: int | None
    cache_write_1h_tokens: int | None
    input_image_tokens: int | None
    output_image_tokens: int | None
    characters: int | None
    audio_ms: int | None
    cost_nusd: int | None
    price_version: str | None
    estimated: bool
    outcome: Outcome
    holds: list[int]
    tried: list[dict[str, Any]] | None
    exceeded: list[int] | None
    saved_nusd: int | None
    stopped: str | None
    spared_nusd: int | None
    rates: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ChargedRule:
    """The rule behind a window."""

    window_id: int
    name: str
    metric: Metric
    subject: Subject
    value: str
    period: Period | None
    mode: Mode
    started_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class NoRoom:
    """What a rule would have refused a call for, as the process that admitted it knew."""

    taken: int
    """Used and reserved before."""
    amount: int
    """Of the rule, at that time."""


@dataclass(frozen=True, slots=True)
class RuleCharge:
    """What a call took of one budget or limit."""

    window_id: int
    rule: ChargedRule | None
    """None: it was deleted since, or its window is long over."""
    reserved: int
    """Before it left, in the unit of the metric: nano-dollars, calls, tokens."""
    charged: int
    exceeded: NoRoom | None
    """How the rule, which is soft or a shadow, had no room for it; None: there was room, or the rule is hard."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost, and how that comes about."""

    cost_nusd: int | None
    """None: unknown, since its price or its usage is."""
    cost_usd: str | None
    price_version: str | None
    price: Price | None
    """None: the version's numbers were not kept."""
    parts: list[CostPart]
    """Tokens times nano-dollars for a million of them; their sum is rounded once, half up. Beside them stands what steps wasted."""
    request_nusd: int
    estimated: bool
    """The usage was not told by the provider."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known of one call. What was said in it is not."""

    call_id: str
    started_at: datetime
    model: str
    """That answered or was to answer."""
    asked_model: str
    """That the client named: another one where a budget or a limit put a cheaper one in its place, or an experiment. The first step says why."""
    face: str
    stream: bool
    key_id: str
    key_name: str
    user: str | None
    session: str | None
    tier: str | None
    tags: list[str]
    trace_id: str
    outcome: Outcome
    status: int | None
    """The provider's."""
    provider: str | None
    model_used: str | None
    attempts: int
    steps: list[Step]
    """What was tried and passed over, in order; the last one ended the call."""
    ttft_ms: float | None
    duration_ms: float | None
    usage: Usage
    cost: Cost
    saved_usd: str | None
    """Of a call that was answered from the cache: what the call cost that the answer is from. None: a provider was asked."""
    stopped: str | None
    """Which condition ended its stream early: ``json``, ``pattern`` or ``cost``. None: none."""
    spared_usd: str | None
    """About what it would have cost more then. None: not known."""
    rules: list[RuleCharge]


def explain(row: CallRow, rules: Iterable[ChargedRule]) -> Explanation:
    """A row, in words and sums."""
    usage = Usage(
        row.input_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.input_audio_tokens,
        row.output_audio_tokens,
        row.cache_write_1h_tokens,
        row.input_image_tokens,
        row.output_image_tokens,
        row.characters,
        row.audio_ms,
    )
    return Explanation(
        call_id=str(row.call_id),
        started_at=row.started_at,
        model=row.model,
        asked_model=_asked_model(row),
        face=row.face,
        stream=row.stream,
        key_id=row.key_id,
        key_name=row.key_name,
        user=row.user,
        session=row.session,
        tier=row.tier,
        tags=row.tags,
        trace_id=row.trace_id,
        outcome=row.outcome,
        status=row.status,
        provider=row.provider,
        model_used=row.model_used,
        attempts=row.attempts,
        steps=_steps(row),
        ttft_ms=_ms(row.ttft_us),
        duration_ms=_ms(row.duration_us),
        usage=usage,
        cost=_cost(row, usage),
        saved_usd=None if row.saved_nusd is None else usd_text(row.saved_nusd),
        stopped=row.stopped,
        spared_usd=None if row.spared_nusd is None else usd_text(row.spared_nusd),
        rules=_charges(row, {rule.window_id: rule for rule in rules}),
    )


def _asked_model(row: CallRow) -> str:
    first = row.tried[0] if row.tried else None
    return first["what"] if first is not None and first["outcome"] in _REFUSALS | CHOSEN else row.model


def _steps(row: CallRow) -> list[Step]:
    if row.tried is not None:
        return [Step(**step) for step in row.tried]
    if row.provider is None:
        return []
    if row.saved_nusd is not None:
        return [Step("cache", "hit", f"an answer of {row.provider}/{row.model_used}", _ms(row.duration_us))]
    return [Step(f"{row.provider}/{row.model_used}", row.outcome, "", _ms(row.duration_us))]


def _cost(row: CallRow, usage: Usage) -> Cost:
    price = None if row.rates is None else price_of_facts(row.rates)
    # A cost without a usage is that of the reservation: there is nothing to multiply.
    is_reckoned = price is not None and row.cost_nusd is not None and usage.input_tokens is not None
    return Cost(
        cost_nusd=row.cost_nusd,
        cost_usd=None if row.cost_nusd is None else usd_text(row.cost_nusd),
        price_version=row.price_version,
        price=price,
        parts=cost_parts(price, usage) if price is not None and is_reckoned else [],
        request_nusd=price.request_nusd if price is not None and is_reckoned else 0,
        estimated=row.estimated,
    )


def _charges(row: CallRow, rules: Mapping[int, ChargedRule]) -> list[RuleCharge]:
    exceeded = {window_id: NoRoom(taken, amount) for window_id, taken, amount in _triples(row.exceeded or [])}
    return [
        RuleCharge(window_id, rules.get(window_id), reserved, charged, exceeded.get(window_id))
        for window_id, reserved, charged in _triples(row.holds)
    ]


def _triples(numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    return zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000


def explanation_lines(call: Explanation) -> Iterator[str]:
    """An explanation for people."""
    yield f"call {call.call_id}: {call.outcome}"
    instead = "" if call.asked_model == call.model else f", answered by {call.model} in its stead"
    yield f"  asked: {call.asked_model}{instead} by {call.face}{', streamed' if call.stream else ''}, {call.started_at:%Y-%m-%d %H:%M:%S.%f} UTC"
    by = [f"key {call.key_name or call.key_id}"]
    by += [f"{word} {value}" for word in ("user", "session", "tier") if (value := getattr(call, word)) is not None]
    yield f"  by: {', '.join(by + [f'tag {tag}' for tag in call.tags])}"
    for step in call.steps:
        took = "" if step.ms is None else f" after {step.ms:.1f} ms"
        wasted = "" if step.cost_nusd is None else f", which costs {usd_text(step.cost_nusd)} USD"
        yield f"  tried: {step.what}: {step.outcome}{took}{f' ({step.reason})' if step.reason else ''}{wasted}"
    times = [
        f"{ms:.1f} ms {what}" for what, ms in (("to the first token", call.ttft_ms), ("in all", call.duration_ms)) if ms
    ]
    yield f"  took: {', '.join(times) or 'not known'}; {call.attempts} attempts"
    yield from _cost_lines(call)
    if call.saved_usd is not None:
        yield f"  saved: {call.saved_usd} USD, by an answer that was kept"
    if call.stopped is not None:
        about = "not known how much" if call.spared_usd is None else f"about {call.spared_usd} USD"
        yield f"  saved: {about}, by ending the stream early ({call.stopped})"
    for rule in call.rules:
        yield f"  counted: {_charge_text(rule)}"


def _cost_lines(call: Explanation) -> Iterator[str]:
    cost = call.cost
    yield f"  tokens: {_tokens_text(call.usage)}{' (estimated)' if cost.estimated else ''}"
    for part in cost.parts:
        yield f"    {part.tokens} {part.what} x {usd_text(part.nusd_per_mtok)} USD per {'million' if part.per == MTOK else 'hour'}"
    if cost.request_nusd:
        yield f"    {usd_text(cost.request_nusd)} USD for the call itself"
    price = f", price {cost.price_version}" if cost.price_version else ""
    if cost.price is not None and cost.price.terms:
        price += f" ({cost.price.terms})"
    if cost.cost_usd is None:
        yield f"  cost: not known{price}"
    elif cost.parts or cost.request_nusd:
        exact = sum(Fraction(part.tokens * part.nusd_per_mtok, part.per) for part in cost.parts)
        rounded = "" if exact == int(exact) else ", rounded to a nano-dollar"
        yield f"  cost: {cost.cost_usd} USD{price}{rounded}"
    else:
        is_told = cost.cost_nusd and cost.price_version is None and call.usage.input_tokens is not None
        how = " as reserved" if call.outcome == "lost" else " as the provider told" if is_told else ""
        yield f"  cost: {cost.cost_usd} USD{how}{price}"


def _tokens_text(usage: Usage) -> str:
    told = [
        f"{getattr(usage, name)} {name.removesuffix('_tokens').replace('_', ' ')}"
        for name in Usage.__slots__
        if getattr(usage, name) is not None
    ]
    return ", ".join(told) or "not known"


def _charge_text(charge: RuleCharge) -> str:
    rule = charge.rule
    if rule is None:
        return f"window {charge.window_id} of a rule that is gone: {charge.charged} of {charge.reserved} reserved"
    whose = " ".join(filter(None, [rule.subject, rule.value]))
    if rule.metric == "concurrent":
        took = f"{charge.reserved} at once while it lasted"
    else:
        took = f"{amount_text(rule.metric, charge.charged)} of {amount_text(rule.metric, charge.reserved)} reserved"
    return f"{rule.name} ({whose}, {rule.mode}): {took}{_no_room_text(rule, charge.exceeded)}"


def _no_room_text(rule: ChargedRule, exceeded: NoRoom | None) -> str:
    if exceeded is None:
        return ""
    taken, amount = amount_text(rule.metric, exceeded.taken), amount_text(rule.metric, exceeded.amount)
    # What a rule would do is said by what it was: a rule that was made hard since is shown as it is now.
    return f"; no room for it, a hard rule would have refused it: {taken} of {amount} were taken"

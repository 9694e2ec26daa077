"""The meter that ships for tests decides as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skep.spend import (
    Ask,
    BudgetExceededError,
    Caller,
    JournalUnwritableError,
    LimitExceededError,
    MemoryMeter,
    MeterOptions,
    MeterUnavailableError,
    Metric,
    Rates,
    Rule,
    Settlement,
    UnpricedError,
    Usage,
    make_price,
)
from skep.spend.ahead import AHEAD
from skep.spend.asking import AHEAD_OF_WAITING, AWAY_SECONDS
from skep.spend.leasing import IN_USE_SECONDS
from skep.spend.memory import MemoryBank, MemoryJournal
from skep.spend.meter import LeasedMeter
from skep.store import DatabaseUnavailableError

PRICE = make_price(Rates(input_nusd_per_mtok=1_000_000, output_nusd_per_mtok=2_000_000))
"""One nano-dollar for an input token, two for an output token."""

CALLER = Caller(project_id=1, key_id="k1", key_name="ci", user="ann", tags=("red", "blue"))
BRIEF = MeterOptions(patience_seconds=0.05, valid_seconds=float("inf"))


def rule(metric: Metric, amount: int, **changes: Any) -> Rule:
    standard: dict[str, Any] = {
        "rule_id": 1,
        "project_id": 1,
        "name": "r",
        "metric": metric,
        "subject": "key",
        "value": "*",
        "period": None if metric == "concurrent" else "total",
        "amount": amount,
    }
    return Rule(**{**standard, **changes})


def ask(tokens_in: int = 10, tokens_out: int | None = 20, **changes: Any) -> Ask:
    facts: dict[str, Any] = {"caller": CALLER, "model": "m", "price": PRICE, **changes}
    return Ask(**facts, input_tokens_at_most=tokens_in, output_tokens_at_most=tokens_out)


def ended(tokens_in: int = 10, tokens_out: int = 20, **changes: Any) -> Settlement:
    facts: dict[str, Any] = {"outcome": "ok", **changes}
    return Settlement(**facts, usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out))


async def test_a_call_is_reserved_begun_and_settled() -> None:
    async with MemoryMeter([rule("cost", 1000)], BRIEF) as meter:
        assert meter.try_admit(ask()) is None, "the first call of a window asks the bank"
        ticket = await meter.admit(ask())
        (before,) = meter.standing(CALLER, "m")
        assert (before.used, before.reserved, before.remaining) == (0, 50, 950)
        meter.begin(ticket)
        charge = meter.settle(ticket, ended(10, 5))
        assert (charge.cost_nusd, charge.tokens, charge.estimated) == (20, 15, False)
        (after,) = meter.standing(CALLER, "m")
        assert (after.used, after.reserved, after.remaining) == (20, 0, 980)
        assert [line[0] for line in meter.journal.lines] == ["B", "E"]
        assert meter.settle(ticket, ended()).cost_nusd is None, "only once"
        assert meter.standing(CALLER, "m") == (after,)


async def test_exactly_as_many_calls_as_fit_are_admitted() -> None:
    async with MemoryMeter([rule("requests", 100)], BRIEF) as meter:

        async def call() -> bool:
            try:
                ticket = await meter.admit(ask())
            except LimitExceededError:
                return False
            meter.begin(ticket)
            await asyncio.sleep(0)
            meter.settle(ticket, ended())
            return True

        admitted = await asyncio.gather(*(call() for _ in range(1000)))
    assert sum(admitted) == 100


async def test_a_refusal_tells_its_numbers() -> None:
    async with MemoryMeter([rule("cost", 1_500_000_000, period="day", fallback_model="small")], BRIEF) as meter:
        with pytest.raises(BudgetExceededError) as refused:
            await meter.admit(ask(tokens_out=1_000_000_000))
    fields = refused.value.fields
    assert (fields["rule"], fields["amount"], fields["used"], fields["asked"]) == ("r", 1_500_000_000, 0, 2_000_000_010)
    assert fields["fallback_model"] == "small"
    assert fields["retry_after_seconds"] is None, "it never fits"
    assert "1.50 USD per day are allowed" in str(refused.value)
    assert "of the key k1" in str(refused.value)
    assert refused.value.http_status == 402


async def test_calls_wait_for_reservations_that_turn_out_too_large() -> None:
    async with MemoryMeter([rule("tokens", 100)], MeterOptions(valid_seconds=float("inf"))) as meter:
        first = await meter.admit(ask(10, 80))
        waiting = asyncio.create_task(meter.admit(ask(10, 80)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        meter.begin(first)
        meter.settle(first, ended(5, 5))
        second = await waiting
        meter.cancel(second)
        assert meter.standing(CALLER, "m")[0].used == 10
        assert meter.standing(CALLER, "m")[0].reserved == 0


async def test_a_call_that_was_given_up_while_it_waited_leaves_nothing() -> None:
    async with MemoryMeter([rule("tokens", 100)]) as meter:
        first = await meter.admit(ask(10, 80))
        waiting = asyncio.create_task(meter.admit(ask(10, 80)))
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        meter.cancel(first)
        assert meter.standing(CALLER, "m")[0].reserved == 0
        assert meter.try_admit(ask(10, 80)) is not None


async def test_concurrent_calls_make_room_when_they_end() -> None:
    async with MemoryMeter([rule("concurrent", 2)], BRIEF) as meter:
        tickets = [await meter.admit(ask()) for _ in range(2)]
        with pytest.raises(LimitExceededError, match="2 calls at once are allowed, and 2 are under way") as refused:
            await meter.admit(ask())
        assert refused.value.fields["retry_after_seconds"] == 1
        meter.begin(tickets[0])
        meter.settle(tickets[0], ended())
        assert (await meter.admit(ask())).ask.model == "m"


async def test_a_call_without_a_bound_gets_one_where_tokens_count() -> None:
    async with MemoryMeter([rule("cost", 10_000_000)], BRIEF) as meter:
        ticket = await meter.admit(ask(0, None))
        assert ticket.output_tokens_cap == 4096
        assert meter.standing(CALLER, "m")[0].reserved == 8192
    async with MemoryMeter([rule("requests", 10)], BRIEF) as meter:
        assert (await meter.admit(ask(0, None))).output_tokens_cap is None


async def test_a_call_without_a_price_is_refused_where_money_counts() -> None:
    async with MemoryMeter([rule("cost", 100)], BRIEF) as meter:
        with pytest.raises(UnpricedError):
            await meter.admit(ask(price=None))
    async with MemoryMeter([rule("cost", 100, allow_unpriced=True)], BRIEF) as meter:
        ticket = await meter.admit(ask(price=None))
        meter.begin(ticket)
        assert meter.settle(ticket, ended()).cost_nusd is None


async def test_a_call_that_costs_nothing_passes_where_more_was_used_than_there_is() -> None:
    async with MemoryMeter([rule("cost", 100)], BRIEF) as meter:
        dear = await meter.admit(ask(10, 20))
        meter.begin(dear)
        meter.settle(dear, Settlement("ok", Usage(input_tokens=500, output_tokens=0)))
        free = await meter.admit(ask(0, 0))
        meter.begin(free)
        with pytest.raises(BudgetExceededError):
            await meter.admit(ask(1, 0))
        meter.settle(free, Settlement("ok", Usage(input_tokens=0, output_tokens=0)))


@pytest.mark.parametrize("mode", ["soft", "shadow"])
async def test_soft_and_shadow_rules_let_pass_and_say_so(mode: str) -> None:
    async with MemoryMeter([rule("requests", 1, mode=mode)], BRIEF) as meter:
        assert (await meter.admit(ask())).exceeded == ()
        second = await meter.admit(ask())
        assert [(each.rule.name, each.taken) for each in second.exceeded] == [("r", 1)]


async def test_what_cannot_be_written_down_does_not_leave() -> None:
    async with MemoryMeter([rule("requests", 1)], BRIEF) as meter:
        ticket = await meter.admit(ask())
        meter.journal.is_full = True
        with pytest.raises(JournalUnwritableError):
            meter.begin(ticket)
        meter.journal.is_full = False
        assert (await meter.admit(ask())).ask.model == "m"


async def test_a_call_that_never_leaves_is_written_down_once_and_counted() -> None:
    async with MemoryMeter([rule("requests", 2)], BRIEF) as meter:
        charge = meter.enter(await meter.admit(ask()), Settlement("ok", Usage(0, output_tokens=0), price=PRICE))
        assert charge.cost_nusd == 0
        assert [line[0] for line in meter.journal.lines] == ["E"]
        ticket = await meter.admit(ask())
        meter.journal.is_full = True
        with pytest.raises(JournalUnwritableError):
            meter.enter(ticket, Settlement("ok", Usage(0, output_tokens=0), price=PRICE))
        # What was refused has taken nothing.
        assert meter.try_admit(ask()) is not None
        with pytest.raises(LimitExceededError):
            await meter.admit(ask())


async def test_a_call_without_rules_needs_nobody() -> None:
    async with MemoryMeter() as meter:
        ticket = meter.try_admit(ask())
        assert ticket is not None
        meter.begin(ticket)
        meter.settle(ticket, ended())
        assert len(meter.journal.lines) == 2


async def test_whoever_comes_while_the_bank_is_asked_is_asked_for_too() -> None:
    """Not refused because the answer to others' asking brought nothing for it."""
    async with MemoryMeter(
        [rule("requests", 10), rule("cost", 10**6, rule_id=2, name="whole", subject="project", value="")], BRIEF
    ) as meter:
        acquire = meter.bank_teller.acquire

        async def slow_acquire(wishes: Any) -> Any:
            await asyncio.sleep(0.005)
            return await acquire(wishes)

        meter.bank_teller.acquire = slow_acquire  # type: ignore[method-assign]

        async def later(number: int) -> bool:
            await asyncio.sleep(number * 0.001)
            key = Caller(project_id=1, key_id=f"k{number % 20}")
            ticket = meter.try_admit(ask(caller=key)) or await meter.admit(ask(caller=key))
            meter.begin(ticket)
            meter.settle(ticket, ended())
            return True

        assert all(await asyncio.gather(*(later(number) for number in range(100))))


async def test_what_is_remembered_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while more of them wait than that."""
    monkeypatch.setattr("skep.spend.meter._MOST_PLANS", 10)
    async with MemoryMeter([rule("requests", 2, subject="session")], BRIEF) as meter:

        async def one(number: int) -> bool:
            ticket = await meter.admit(ask(caller=Caller(1, "k1", session=f"s{number}")))
            meter.cancel(ticket)
            return True

        async with asyncio.timeout(5):
            assert all(await asyncio.gather(*(one(number) for number in range(100))))
        assert len(meter._plans) <= 10


async def test_windows_that_nobody_uses_are_given_back_and_forgotten() -> None:
    seconds = 0.0
    async with MemoryMeter([rule("requests", 100)], BRIEF) as meter:
        meter.clock = lambda: seconds
        await meter.renew()
        ticket = await meter.admit(ask())
        meter.begin(ticket)
        seconds = IN_USE_SECONDS + 1.0
        await meter.tidy()
        assert len(meter.windows) == 1, "a call is under way"
        meter.cancel(ticket)
        await meter.tidy()
        assert [window.leased for window in meter.bank.windows.values()] == [0]
        await meter.tidy()
        assert meter.windows == {}
        assert (await meter.admit(ask())).ask.model == "m"


async def test_a_bank_that_is_away_is_told_at_once_and_asked_again() -> None:
    async with MemoryMeter([rule("requests", 100)], BRIEF) as meter:
        meter.bank.failure = DatabaseUnavailableError(where="there", reason="nobody is at home")
        for _ in range(2):
            with pytest.raises(MeterUnavailableError, match="nobody is at home"):
                await meter.admit(ask())
        meter.bank.failure = None
        with pytest.raises(MeterUnavailableError, match="nobody is at home"):
            await meter.admit(ask())
        await asyncio.sleep(AWAY_SECONDS)
        assert (await meter.admit(ask())).ask.model == "m"


async def test_a_bank_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skep.spend.asking.ANSWER_SECONDS", 0.05)
    async with MemoryMeter([rule("requests", 100)], BRIEF) as meter:

        async def never(wishes: Any) -> Any:
            await asyncio.sleep(60)

        meter.bank_teller.acquire = never  # type: ignore[method-assign]
        with pytest.raises(MeterUnavailableError, match=r"did not answer within 0\.05 s"):
            await meter.admit(ask())


async def test_who_comes_while_a_bank_that_was_away_is_asked_does_not_wait_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("skep.spend.asking.ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("skep.spend.asking.AWAY_SECONDS", 0.05)
    monkeypatch.setattr("skep.spend.asking.LATE_SECONDS", 0.05)
    async with MemoryMeter([rule("requests", 100)], BRIEF) as meter:
        acquire = meter.bank_teller.acquire

        async def never(wishes: Any) -> Any:
            await asyncio.sleep(60)

        meter.bank_teller.acquire = never  # type: ignore[method-assign]
        with pytest.raises(MeterUnavailableError):
            await meter.admit(ask())
        await asyncio.sleep(0.06)
        finding_out = asyncio.create_task(meter.admit(ask()))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(0.2):
            with pytest.raises(MeterUnavailableError):
                await meter.admit(ask())
        with pytest.raises(MeterUnavailableError):
            await finding_out
        meter.bank_teller.acquire = acquire  # type: ignore[method-assign]
        await asyncio.sleep(0.06)
        assert [ticket.ask.model for ticket in await asyncio.gather(meter.admit(ask()), meter.admit(ask()))] == [
            "m"
        ] * 2


def _by_the_minute(passed: list[float]) -> tuple[MemoryBank, LeasedMeter, list[int]]:
    """A limit by the minute on a clock, ten seconds after a minute began, and how many windows were asked for at once."""
    start = datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC)
    bank = MemoryBank([rule("requests", 1_000, period="minute")], now=lambda: start + timedelta(seconds=passed[0]))
    teller = bank.teller()
    acquire, sizes = teller.acquire, []

    async def counted_acquire(wishes: Any) -> Any:
        sizes.append(len(wishes))
        return await acquire(wishes)

    teller.acquire = counted_acquire  # type: ignore[method-assign]
    options = MeterOptions(patience_seconds=0.05, valid_seconds=float("inf"))
    meter = LeasedMeter(teller, MemoryJournal(), options, clock=lambda: passed[0])
    meter.change_rules(bank.rules.values())
    return bank, meter, sizes


async def _call_all(meter: LeasedMeter, callers: Iterable[Caller]) -> int:
    """How many calls had to ask, when some time passes after each that did."""
    asked = 0
    for caller in callers:
        ticket = meter.try_admit(ask(caller=caller))
        asked += ticket is None
        meter.cancel(ticket or await meter.admit(ask(caller=caller)))
        for _ in range(200 if ticket is None else 0):
            await asyncio.sleep(0)
    return asked


CALLERS = [Caller(project_id=1, key_id=f"k{number}") for number in range(200)]


async def test_windows_that_end_together_are_asked_for_many_at_a_time_behind_the_call_that_waits() -> None:
    passed = [0.0]
    bank, meter, sizes = _by_the_minute(passed)
    await meter.renew()
    assert await _call_all(meter, CALLERS) == 200
    passed[0] = 49.0
    assert await _call_all(meter, CALLERS) == 0
    passed[0] = 51.0
    sizes.clear()
    assert await _call_all(meter, CALLERS) == 1, "the first one has everybody's next minute asked for"
    assert sizes[0] <= 1 + AHEAD_OF_WAITING
    assert sum(sizes) == 200
    assert max(sizes) <= AHEAD
    assert all(window.leased <= 500 for window in bank.windows.values())
    passed[0] += 60.0
    assert await _call_all(meter, CALLERS) == 1, "also after a minute in which nobody came"
    passed[0] += IN_USE_SECONDS
    assert await _call_all(meter, CALLERS) == 200, "who was away for so long is not asked for ahead"
    await meter.close()


async def test_windows_in_use_are_asked_for_before_they_begin_and_no_call_waits_at_the_border() -> None:
    passed = [0.0]
    bank, meter, sizes = _by_the_minute(passed)
    await meter.renew()
    assert await _call_all(meter, CALLERS) == 200
    sizes.clear()
    for _ in range(5):
        for _ in range(60):
            before = len(bank.windows)
            await meter.look_ahead()
            assert len(bank.windows) - before <= 2 * AHEAD, "they are spread over the seconds before"
            passed[0] += 1.0
        assert max(sizes) <= AHEAD
    assert len(bank.windows) == 200 * 6, "for as long as their keys are in use"
    passed[0] += 1.0
    assert await _call_all(meter, CALLERS[:100]) == 0
    assert all(window.leased <= 500 for window in bank.windows.values())
    await meter.tidy()
    await meter.tidy()
    assert len(meter.windows) == 100, "what was asked for ahead and not used goes back"
    assert sum(window.leased > 0 for window in bank.windows.values()) == 100
    await meter.close()


async def test_calls_count_in_the_window_in_which_they_come_whenever_it_was_asked_for() -> None:
    passed = [0.0]
    bank, meter, _ = _by_the_minute(passed)
    await meter.renew()
    one = Caller(project_id=1, key_id="one")

    async def call(count: int) -> None:
        for _ in range(count):
            await _call_and_settle(meter, one)

    await call(3)
    passed[0] = 40.0
    await meter.look_ahead()
    first, second = bank.windows.values()
    assert (second.started_at - first.started_at).total_seconds() == 60
    await call(4)
    passed[0] = 50.0
    await call(5)
    assert [meter.windows[window.window_id].used for window in (first, second)] == [7, 5]
    (standing,) = meter.standing(one, "m")
    assert standing.used == 5
    await meter.close()


async def _call_and_settle(meter: LeasedMeter, caller: Caller) -> None:
    asked = ask(caller=caller)
    ticket = meter.try_admit(asked) or await meter.admit(asked)
    meter.begin(ticket)
    meter.settle(ticket, Settlement("ok", Usage(1, output_tokens=1)))

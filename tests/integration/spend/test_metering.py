"""Metering on the real database: leases, the ledger, and what happens between processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from skep.spend import BudgetExceededError, LimitExceededError, MeterOptions, Usage
from tests.metering import Ledger, a_rule, an_ask, call, gather, make_rules, metering, used


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield Ledger(connection)


async def test_a_call_gets_into_the_ledger_with_what_it_took(database_url: str, tmp_path: Path, ledger: Ledger) -> None:
    who = await make_rules(
        database_url, a_rule("cost", 1000), a_rule("requests", 10, subject="key", value="*", period="day")
    )
    async with metering(database_url, tmp_path) as opened:
        meter = opened.meter
        ask = an_ask(who.project_id, 100, trace_id="abc", stream=True)
        ticket = await meter.admit(ask)
        meter.begin(ticket)
        usage = Usage(input_tokens=30, cached_input_tokens=5, output_tokens=10)
        meter.settle(
            ticket,
            used(0, usage=usage, provider="openai", model_used="gpt-x", status=200, ttft_ms=12.5, duration_ms=80.25),
        )
        await opened.flush()
        ((call_id, cost, tokens, ttft, holds, outcome),) = ledger.all(
            "select call_id, cost_nusd, input_tokens, ttft_us, holds, outcome from call"
        )
        assert (str(call_id), cost, tokens, ttft, outcome) == (ask.call_id, 40, 30, 12_500, "ok")
        assert sorted(holds[1:3] + holds[4:6]) == [1, 1, 40, 100]
        ledger.check()
        assert ledger.one("select used from rule_window w join rule using (rule_id) where metric = 'cost'") == 40
        (cost_standing, _) = meter.standing(ask.caller, "m")
        assert (cost_standing.used, cost_standing.remaining) == (40, 960)
    assert ledger.one("select sum(leased) from rule_window") == 0, "closing gives everything back"
    assert ledger.one("select count(*) from meter_process") == 0
    assert list((tmp_path / "journal").iterdir()) == []


@pytest.mark.parametrize("processes", [1, 2, 4])
async def test_exactly_as_many_calls_as_a_budget_has_room_for(
    database_url: str, tmp_path: Path, ledger: Ledger, processes: int
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100 * 50))
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Barrier(processes)

        async def process(number: int) -> int:
            async with metering(database_url, tmp_path, node=f"n{number}") as opened:
                await ready.wait()
                calls = (call(opened.meter, an_ask(who.project_id, 50), 50, 0.01) for _ in range(1000 // processes))
                return sum(await gather(*calls))

        running = [group.create_task(process(number)) for number in range(processes)]
    assert sum(task.result() for task in running) == 100
    ledger.check()
    assert ledger.all("select count(*), sum(cost_nusd) from call") == [(100, 5000)]


async def test_no_call_is_refused_while_there_is_room(database_url: str, tmp_path: Path, ledger: Ledger) -> None:
    """Reservations of ten times what is used, more at the same moment than the budget has, and four fifths of it used up."""
    calls, real, reserved = 400, 10, 100
    who = await make_rules(database_url, a_rule("cost", calls * real * 100 // 80))
    async with metering(database_url, tmp_path) as one, metering(database_url, tmp_path, node="other") as two:
        done = await gather(
            *(call((one, two)[index % 2].meter, an_ask(who.project_id, reserved), real, 0.01) for index in range(calls))
        )
        assert all(done)
        await gather(one.flush(), two.flush())
        ledger.check()
        assert ledger.one("select sum(used) from rule_window") == calls * real


async def test_an_idle_lease_of_another_process_is_no_reason_to_refuse(
    database_url: str, tmp_path: Path, ledger: Ledger
) -> None:
    who = await make_rules(database_url, a_rule("requests", 40))
    async with metering(database_url, tmp_path) as one, metering(database_url, tmp_path, node="other") as two:
        # The first takes more than it needs, as it was busy; the rest of it lies idle then.
        await gather(*(call(one.meter, an_ask(who.project_id, 2), 2) for _ in range(8)))
        await gather(*(call(one.meter, an_ask(who.project_id, 2), 2) for _ in range(2)))
        assert sum(await gather(*(call(two.meter, an_ask(who.project_id, 2), 2) for _ in range(31)))) == 30
        assert not await call(one.meter, an_ask(who.project_id, 2), 2)
    ledger.check()


async def test_limits_start_anew_with_each_period(database_url: str, tmp_path: Path, ledger: Ledger) -> None:
    who = await make_rules(database_url, a_rule("requests", 5, period="minute"))
    async with metering(database_url, tmp_path) as opened:
        admitted = await gather(*(call(opened.meter, an_ask(who.project_id, 2), 2) for _ in range(20)))
        assert sum(admitted) in (5, 10), "10 if the minute has just ended"
        with pytest.raises(LimitExceededError) as refused:
            await opened.meter.admit(an_ask(who.project_id, 2))
        assert 1 <= int(str(refused.value.fields["retry_after_seconds"])) <= 60
        await asyncio.sleep(0.2)  # for an asking in store that may be under way
        # As if the minute had ended.
        ledger.connection.execute("update rule_window set started_at = started_at - interval '1 hour', ends_at = now()")
        for holding in opened.feeder.meter.windows.values():
            holding.ends = 0.0
        assert await call(opened.meter, an_ask(who.project_id, 2), 2)


async def test_rules_change_everywhere_at_once(database_url: str, tmp_path: Path) -> None:
    who = await make_rules(database_url, a_rule("requests", 1))
    async with metering(database_url, tmp_path) as opened:
        assert await call(opened.meter, an_ask(who.project_id, 2), 2)
        assert not await call(opened.meter, an_ask(who.project_id, 2), 2)

        async def admitted_soon() -> None:
            attempts = 0
            async with asyncio.timeout(1):
                while not await call(opened.meter, an_ask(who.project_id, 2), 2):
                    attempts += 1
                    await asyncio.sleep(0.01 * attempts)

        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("update rule set amount = 2")
        await admitted_soon()
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("delete from rule")
        await admitted_soon()


async def test_what_costs_more_than_was_reserved_shows_as_overage(
    database_url: str, tmp_path: Path, ledger: Ledger
) -> None:
    who = await make_rules(database_url, a_rule("cost", 100))
    async with metering(database_url, tmp_path) as opened:
        assert await call(opened.meter, an_ask(who.project_id, 80), 300)
        await opened.flush()
        ledger.check()
        assert ledger.all("select used, leased, overage from rule_window") == [(300, 0, 220)]
        with pytest.raises(BudgetExceededError):
            await opened.meter.admit(an_ask(who.project_id, 1))


async def test_patience_has_an_end(database_url: str, tmp_path: Path) -> None:
    who = await make_rules(database_url, a_rule("cost", 100))
    async with metering(database_url, tmp_path, meter=MeterOptions(patience_seconds=0.3)) as opened:
        ticket = await opened.meter.admit(an_ask(who.project_id, 90))
        async with asyncio.timeout(1):
            with pytest.raises(BudgetExceededError):
                await opened.meter.admit(an_ask(who.project_id, 90))
        opened.meter.cancel(ticket)
        assert await call(opened.meter, an_ask(who.project_id, 90), 1)

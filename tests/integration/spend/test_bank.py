"""The database's bank does what the one in memory does, which the tests of decisions stand on."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from skep.access import DEFAULT_PROJECT
from skep.spend import Ledger as SpendLedger
from skep.spend import (
    LimitExceededError,
    MeterUnavailableError,
    Period,
    ProcessNotReleasableError,
    ReleaseForeignError,
    Rules,
)
from skep.spend.database_bank import DatabaseTeller, parse_recall, recall_payloads
from skep.spend.holdings import WindowView
from skep.spend.leasing import lease_size
from skep.spend.memory import MemoryBank
from skep.spend.periods import window_end, window_start
from skep.spend.ports import Wish
from tests.metering import Ledger, a_rule, an_ask, call, make_rules, metering, open_database


def test_the_database_sizes_leases_as_we_do(database_url: str) -> None:
    chance = random.Random(7)
    with psycopg.connect(database_url) as connection:
        for _ in range(300):
            case = [chance.choice([0, 1, 7, 100, 10**12]) + chance.randrange(3) for _ in range(3)]
            left, processes = chance.choice([-5, 0, 1, 8, 120, 10**13]), chance.randrange(5)
            row = connection.execute("select lease_size(%s, %s, %s, %s, %s)", [*case, left, processes]).fetchone()
            assert row == (lease_size(case[0], case[1], case[2], left, processes),)


def test_the_database_has_the_borders_that_we_have(database_url: str) -> None:
    chance = random.Random(8)
    periods: list[Period | None] = ["minute", "hour", "day", "week", "month", "total", None]
    with psycopg.connect(database_url) as connection:
        for _ in range(200):
            moment = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**15))
            for period in periods:
                row = connection.execute(
                    "select period_start(%s, %s), period_end(%s, period_start(%s, %s))",
                    [period, moment, period, period, moment],
                ).fetchone()
                start = window_start(period, moment)
                assert row == (start, window_end(period, start))


async def test_both_banks_answer_alike(database_url: str) -> None:
    """The same askings of three processes, at random."""
    chance = random.Random(9)
    who = await make_rules(
        database_url,
        a_rule("cost", 10_000, name="a", period="month"),
        a_rule("requests", 300, name="b", subject="key", value="*", period="total"),
        a_rule("tokens", 500, name="c", mode="soft", period="month"),
    )
    database = await open_database(database_url)
    try:
        rules = {rule.name: rule for rule in await Rules(database).all(who)}
        ids = [rules[name].rule_id for name in "abc"]
        periods = [rules[name].period for name in "abc"]
        coming = window_end("month", window_start("month", datetime.now(UTC)))
        memory = MemoryBank(rules.values())
        pairs = [(DatabaseTeller(database, number, "n"), memory.teller()) for number in (1, 2, 3)]
        for real, _ in pairs:
            await real.renew()
        held: list[dict[int, int]] = [{}, {}, {}]
        names: dict[int, int] = {}
        for _ in range(150):
            number = chance.randrange(3)
            real, fake = pairs[number]
            if chance.random() < 0.3 and held[number]:
                window_id = chance.choice(list(held[number]))
                amount = chance.randint(0, held[number][window_id])
                held[number][window_id] -= amount
                await real.give_back({window_id: amount})
                await fake.give_back({names[window_id]: amount})
                continue
            wishes = [
                Wish(
                    rule_id,
                    value,
                    chance.choice([0, 5, 60]),
                    1 if chance.random() < 0.5 else 4,
                    chance.choice([0, 40, 400]),
                    is_new=chance.random() < 0.5,
                    starts_at=chance.choice([None, coming]) if period == "month" else None,
                )
                for rule_id, value, period in zip(ids, ("", f"k{chance.randrange(2)}", ""), periods, strict=True)
            ]
            found, expected = await real.acquire(wishes), await fake.acquire(wishes)
            by_rule: dict[Any, Any] = {(view.rule_id, view.value): view for view in expected}
            assert len(found) == len(expected)
            for view in found:
                other = by_rule[view.rule_id, view.value]
                names[view.window_id] = other.window_id
                held[number][view.window_id] = held[number].get(view.window_id, 0) + view.granted
                assert _facts(view) == _facts(other)
                assert (view.starts_in_seconds > 0) == (view.starts_at == coming)
            leases = {window_id: amount for window_id, amount in (await real.renew()).items() if amount}
            assert leases == {window_id: amount for window_id, amount in held[number].items() if amount}
    finally:
        await database.close()


def _facts(view: WindowView) -> tuple[object, ...]:
    return view.granted, view.used, view.others, view.starts_at, view.ends_at


def test_recalls_can_be_read_again() -> None:
    windows = list(range(10**6, 10**6 + 700))
    payloads = recall_payloads(2**61, windows)
    assert all(len(payload) < 8000 for payload in payloads)
    parsed = [parse_recall(payload) for payload in payloads]
    assert [window for found in parsed if found is not None for window in found[1]] == windows
    assert {found[0] for found in parsed if found is not None} == {2**61}
    assert parse_recall("rules") is None
    assert parse_recall("") is None


async def test_leases_of_a_process_out_of_reach_stay_until_somebody_releases_them(
    database_url: str, tmp_path: Path
) -> None:
    who = await make_rules(database_url, a_rule("requests", 1))
    database = await open_database(database_url)
    try:
        ghost = DatabaseTeller(database, 77, "elsewhere")
        await ghost.renew()
        (rule,) = await Rules(database).all(who)
        rule_id = rule.rule_id
        await ghost.acquire([Wish(rule_id, "", 1, 1, 0)])
        async with metering(database_url, tmp_path) as opened:
            with pytest.raises(LimitExceededError):
                await opened.meter.admit(an_ask(who.project_id, 2))
            ledger = SpendLedger(database)
            first = replace(who, project_name=DEFAULT_PROJECT)
            with pytest.raises(ProcessNotReleasableError):
                await ledger.release(first, 77)
            with pytest.raises(ReleaseForeignError):
                await ledger.release(who, 77)
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute("update meter_process set expires_at = now() - interval '1 s' where process_id = 77")
                (state,) = [each for each in await ledger.processes(who) if each.process_id == 77]
                assert (state.is_expired, state.windows, state.node) == (True, 1, "elsewhere")
                await ledger.release(first, 77)
                assert await call(opened.meter, an_ask(who.project_id, 2), 2)
                connection.execute("update rule set amount = 5")
                with pytest.raises(MeterUnavailableError, match="taken for dead"):
                    await ghost.acquire([Wish(rule_id, "", 1, 1, 0)])
                Ledger(connection).check()
    finally:
        await database.close()

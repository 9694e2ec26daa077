"""Budgets and limits are made, changed and deleted by those who may; the ledger tells its own project."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from skep.access import Principal, RoleTooLowError
from skep.spend import (
    Ask,
    Caller,
    CallNotFoundError,
    Ledger,
    Rates,
    RuleExistsError,
    RuleInvalidError,
    RuleNotFoundError,
    Rules,
    Usage,
    explanation_lines,
    make_price,
    new_call_id,
)
from skep.spend.database_bank import queries
from skep.store import Database
from tests.metering import PRICE, a_rule, an_ask, call, metering, open_database, principal, used


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def who(database_url: str) -> Principal:
    return principal(database_url)


async def test_a_rule_lives_its_life(database: Database, who: Principal) -> None:
    rules = Rules(database)
    made = await rules.create(who, a_rule("cost", 5_000_000_000, name="ci", subject="key", value="k1", period="day"))
    assert await rules.get(who, "ci") == made
    assert await rules.all(who) == [made]
    with pytest.raises(RuleExistsError):
        await rules.create(who, a_rule("requests", 1, name="ci"))
    changed = await rules.change(who, "ci", amount=7, mode="soft", alert_percents=(50,), fallback_model="small")
    assert changed == dataclasses.replace(made, amount=7, mode="soft", alert_percents=(50,), fallback_model="small")
    assert await rules.get(who, "ci") == changed
    await rules.delete(who, "ci")
    with pytest.raises(RuleNotFoundError):
        await rules.delete(who, "ci")
    with pytest.raises(RuleNotFoundError):
        await rules.change(who, "ci", amount=1)


async def test_who_may_do_what(database: Database, who: Principal, database_url: str) -> None:
    rules = Rules(database)
    await rules.create(who, a_rule("requests", 1, name="ours"))
    reader = dataclasses.replace(who, role="reader")
    assert len(await rules.all(reader)) == 1
    with pytest.raises(RoleTooLowError):
        await rules.create(reader, a_rule("requests", 1, name="other"))
    with pytest.raises(RoleTooLowError):
        await rules.delete(reader, "ours")
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(
            "insert into project (name, key_pepper) values ('others', sha256('y')) returning project_id"
        ).fetchone()
    assert row is not None
    stranger = Principal(row[0], "others", "k2", "k2", "admin")
    assert await rules.all(stranger) == []
    with pytest.raises(RuleNotFoundError):
        await rules.change(stranger, "ours", amount=5)
    with pytest.raises(RuleNotFoundError):
        await rules.delete(stranger, "ours")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": " "}, "its name needs"),
        ({"period": None}, "needs a period"),
        ({"metric": "concurrent"}, "no period"),
        ({"subject": "user"}, "needs a user"),
        ({"subject": "user", "value": "u" * 201}, "more than 200"),
        ({"amount": -1}, "between 0"),
        ({"amount": 10**18 + 1}, "between 0"),
        ({"alert_percents": (0,)}, "alert percents"),
        ({"allow_unpriced": True}, "unpriced"),
        ({"value": "k1"}, "has no value"),
    ],
)
async def test_what_does_not_fit_together_is_refused(
    database: Database, who: Principal, changes: dict[str, Any], reason: str
) -> None:
    rule = dataclasses.replace(a_rule("requests", 10), **changes)
    with pytest.raises(RuleInvalidError, match=reason):
        await Rules(database).create(who, rule)


async def test_only_what_leaves_windows_whole_can_be_changed(database: Database, who: Principal) -> None:
    await Rules(database).create(who, a_rule("requests", 10, name="r"))
    with pytest.raises(RuleInvalidError, match="metric, period cannot be changed"):
        await Rules(database).change(who, "r", period="day", metric="cost")


async def test_every_kind_of_token_comes_back_with_its_rate(
    database: Database, who: Principal, database_url: str, tmp_path: Path
) -> None:
    price = make_price(Rates(1_000_000, 20_000_000, 2_000_000, 3_000_000, 30_000_000, 5_000_000, 40_000_000, 7_000_000))
    usage = Usage(100, 10, 20, 50, 5, 15, 25, 12)
    async with metering(database_url, tmp_path) as opened:
        ticket = await opened.meter.admit(Ask(Caller(who.project_id, "k1"), "m", 100, 50, price))
        opened.meter.begin(ticket)
        charge = opened.meter.settle(ticket, used(0, usage=usage, price=price))
    told = await Ledger(database).call(who, ticket.ask.call_id)
    assert told.usage == usage
    assert told.cost.price == price
    assert [(part.what, part.tokens, part.nusd_per_mtok // 1_000_000) for part in told.cost.parts] == [
        ("input", 55, 1),
        ("cached input", 10, 2),
        ("cache write", 8, 3),
        ("cache write for an hour", 12, 7),
        ("input audio", 15, 5),
        ("output", 20, 20),
        ("reasoning", 5, 30),
        ("output audio", 25, 40),
    ]
    assert (
        told.cost.cost_nusd
        == charge.cost_nusd
        == sum(part.tokens * part.nusd_per_mtok for part in told.cost.parts) // 10**6
    )


async def test_a_cost_that_was_told_is_told_apart(
    database: Database, who: Principal, database_url: str, tmp_path: Path
) -> None:
    async with metering(database_url, tmp_path) as opened:
        ticket = await opened.meter.admit(Ask(Caller(who.project_id, "k1"), "m", 100, 50, PRICE))
        opened.meter.begin(ticket)
        opened.meter.settle(ticket, used(10, price=None, is_unpriced=True, told_nusd=2_500))
    told = await Ledger(database).call(who, ticket.ask.call_id)
    assert (told.cost.cost_nusd, told.cost.price, told.cost.parts) == (2_500, None, [])
    assert "  cost: 0.0000025 USD as the provider told" in list(explanation_lines(told))


async def test_reports_add_up(database: Database, who: Principal, database_url: str, tmp_path: Path) -> None:
    since = datetime.now(UTC) - timedelta(minutes=1)
    async with metering(database_url, tmp_path) as opened:
        ids = [new_call_id() for _ in range(3)]
        for number, call_id in enumerate(ids):
            caller = Caller(who.project_id, "k1", "ci", user=f"u{number % 2}", tags=("red", f"t{number}", 'a"\\b'))
            ask = Ask(caller, "smart" if number else "fast", 50, 50, PRICE, call_id=call_id)
            ticket = await opened.meter.admit(ask)
            opened.meter.begin(ticket)
            opened.meter.settle(ticket, used(10 * (number + 1), outcome="timeout" if number == 2 else "ok"))
        await call(opened.meter, an_ask(who.project_id, 10, price=None), 5)
    ledger = Ledger(database)
    by_model = await ledger.report(who, by="model", since=since)
    assert [(line.value, line.calls, line.cost_nusd, line.unpriced, line.failed) for line in by_model] == [
        ("smart", 2, 50, 0, 1),
        ("fast", 1, 10, 0, 0),
        ("m", 1, 0, 1, 0),
    ]
    by_tag = {line.value: line.calls for line in await ledger.report(who, by="tag", since=since)}
    assert by_tag == {"red": 3, "t0": 1, "t1": 1, "t2": 1, 'a"\\b': 3, None: 1}
    assert {line.value: line.calls for line in await ledger.report(who, by="user", since=since)} == {
        "u0": 2,
        "u1": 1,
        None: 1,
    }
    assert (await ledger.call(who, ids[1])).cost.cost_nusd == 20
    (whole,) = await ledger.report(who, by="project", since=since)
    assert (whole.value, whole.calls, whole.cost_usd) == ("team", 4, "0.00000006")
    for wrong in (new_call_id(), "nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(CallNotFoundError):
            await ledger.call(who, wrong)
    with pytest.raises(CallNotFoundError):
        await ledger.call(dataclasses.replace(who, project_id=who.project_id + 1), ids[1])


async def test_days_are_made_ahead_and_dropped_when_they_are_old(
    database: Database, database_url: str, who: Principal
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select open_call_day(current_date - 500), open_call_day(current_date - 399)")
        connection.execute(
            "with r as (insert into rule (project_id, name, metric, subject, subject_value, period, amount, mode)"
            " values (%s, 'r', 'requests', 'project', '', 'minute', 1, 'hard') returning rule_id)"
            " insert into rule_window (project_id, rule_id, subject_value, started_at, ends_at)"
            " select %s, rule_id, '', now() - d, now() - d from r, unnest(array[interval '50 days', interval '1 day']) d",
            [who.project_id, who.project_id],
        )
        await Ledger(database, retention_days=400).tidy()
        await Ledger(database, retention_days=400).tidy()
        days = [
            row[0]
            for row in connection.execute(
                "select to_date(right(relname, 8), 'YYYYMMDD') - (now() at time zone 'UTC')::date"
                " from pg_inherits join pg_class on oid = inhrelid where inhparent = 'call'::regclass order by 1"
            ).fetchall()
        ]
        assert days == [-399, 0, 1, 2, 3]
        assert connection.execute("select count(*) from rule_window").fetchone() == (1,)


CALL = """
insert into call (call_id, started_at, project_id, key_id, key_name, tags, model, face, stream, trace_id, attempts, estimated, outcome, holds,
    cost_nusd, input_tokens, ttft_us, duration_us)
values (gen_random_uuid(), %s, %s, 'k', 'k', %s, %s, 'f', false, '', 1, false, 'ok', '{}', %s, 1, %s, %s)
"""
DUE = "insert into rollup_due values (date_trunc('hour', %s::timestamptz, 'UTC')) on conflict do nothing"
SUMS = """
select v, count(*), coalesce(sum(cost_nusd), 0)::bigint, count(*) filter (where cost_nusd is null)
from call, unnest(case %s when 'model' then array[model] else case when tags = '{}' then array[null] else tags end end) v
where started_at >= %s and started_at < %s group by 1 order by 3 desc, 2 desc, 1
"""
PERCENTILE = """
select count(t), percentile_disc(0.95) within group (order by t) / 1000.0
from call, lateral (select case %s when 'ttft' then ttft_us else duration_us end) x(t) where started_at >= %s and started_at < %s
"""
FIRST = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)

Connection = psycopg.Connection[tuple[Any, ...]]


def add_calls(connection: Connection, who: Principal, count: int, chance: random.Random) -> None:
    """Calls of three days."""
    connection.execute("select open_call_day(date '2026-03-01' + d) from generate_series(0, 3) d")
    for _ in range(count):
        moment = FIRST + timedelta(minutes=chance.randrange(60 * 60))
        tags = chance.sample(["a", "b", "c"], chance.randrange(3))
        cost = chance.choice([None, chance.randrange(1000)])
        facts = [tags, chance.choice(["m1", "m2"]), cost, chance.randrange(10**6), chance.randrange(10**7)]
        connection.execute(CALL.encode(), [moment, who.project_id, *facts])
        connection.execute(DUE.encode(), [moment])


async def agree(ledger: Ledger, connection: Connection, who: Principal, since: datetime, until: datetime) -> None:
    """The reports say what the calls say."""
    by: Any
    for by in ("model", "tag"):
        lines = await ledger.report(who, by=by, since=since, until=until)
        found = [(line.value, line.calls, line.cost_nusd, line.unpriced) for line in lines]
        assert found == connection.execute(SUMS.encode(), [by, since, until]).fetchall()
    for line in await ledger.report(who, by="project", since=since, until=until):
        for measure, told in (("ttft", line.ttft), ("duration", line.duration)):
            row = connection.execute(PERCENTILE.encode(), [measure, since, until]).fetchone()
            assert row is not None
            assert told is not None
            assert line.calls == row[0]
            assert float(row[1]) <= told.p95_ms <= float(row[1]) * 1.2 + 0.1


TREND = """
select date_trunc(%s, started_at, 'UTC') as start, count(*), coalesce(sum(cost_nusd), 0)::bigint, count(*) filter (where cost_nusd is null)
from call group by 1 order by 1
"""


async def agree_over_time(ledger: Ledger, connection: Connection, who: Principal) -> None:
    """So does what they cost by hour and day."""
    per: Any
    for per in ("hour", "day"):
        trend = await ledger.trend(who, per=per, since=FIRST)
        found = [(point.start, point.calls, point.cost_nusd, point.unpriced) for point in trend.points]
        assert found == connection.execute(TREND.encode(), [per]).fetchall()
        assert found


@pytest.mark.parametrize("rolled", [False, True])
async def test_sums_say_what_the_calls_say(database: Database, database_url: str, who: Principal, rolled: bool) -> None:
    """Whichever hours and days are summed up, wherever the span begins and ends, and also when calls come late."""
    chance = random.Random(3)
    ledger = Ledger(database)
    with psycopg.connect(database_url, autocommit=True) as connection:
        add_calls(connection, who, 300, chance)
        if rolled:
            assert await ledger.roll_up() > 20
            days = connection.execute("select count(*) from rolled_day where is_done").fetchone()
            assert days is not None
            assert days[0] >= 3
        for late in (0, 3, 30):
            add_calls(connection, who, late, chance)
            for _ in range(8):
                since = FIRST + timedelta(minutes=chance.choice([30, 0, 95, 690, -630]))
                until = since + timedelta(minutes=chance.choice([10, 30, 60, 120, 700, 1440, 2000, 4320]))
                await agree(ledger, connection, who, since, until)
            await agree_over_time(ledger, connection, who)
        assert await ledger.roll_up() > 0
        await agree_over_time(ledger, connection, who)
        await agree(ledger, connection, who, FIRST, FIRST + timedelta(days=4))
        assert await ledger.roll_up() == 0


async def test_a_report_is_planned_for_the_days_of_its_span_alone(
    database: Database, database_url: str, who: Principal
) -> None:
    """The ledger has a partition for each of 400 days: planning for all of them took longer than the report."""
    bound = {"project_id": who.project_id, "by": "key", "since": FIRST, "until": FIRST + timedelta(days=2), "limit": 9}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select open_call_day(date '2026-02-20' + d) from generate_series(0, 20) d")
        plan = connection.execute(b"explain " + queries["report_calls"], bound).fetchall()
    days = {found for (line,) in plan for found in re.findall(r" on call_(20\d{6})\b", line)}
    assert days == {"20260301", "20260302", "20260303"}


async def test_a_report_is_not_compiled_and_is_planned_for_its_span(database_url: str) -> None:
    """Also where the server would do otherwise. What is set for the report does not outlive it, and no plan for any span is kept."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("do $$ begin execute format('alter database %I set jit = on', current_database()); end $$")
    database, asked = await open_database(database_url), b"select current_setting('jit')"
    who = principal(database_url)
    try:
        assert await database.fetch_tuples(asked) == [("on",)]
        assert await database.fetch_tuples(asked, before=(queries["without_compiling"], None)) == [("off",)]
        assert await database.fetch_tuples(asked) == [("on",)]
        ledger = Ledger(database)
        for _ in range(12):
            await ledger.report(who, by="model", since=datetime.now(UTC) - timedelta(days=3))
        kept = b"select count(*) from pg_prepared_statements where statement like '%call_rollup%'"
        async with asyncio.TaskGroup() as group:
            found = [group.create_task(database.fetch_tuples(kept)) for _ in range(8)]
        assert {task.result()[0] for task in found} == {(0,)}
    finally:
        await database.close()

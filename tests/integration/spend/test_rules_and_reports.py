"""Budgets and limits are made, changed and deleted by those who may; the ledger tells its own project."""

from __future__ import annotations

import dataclasses
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
    RuleExistsError,
    RuleInvalidError,
    RuleNotFoundError,
    Rules,
    new_call_id,
)
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
    assert (await ledger.call(who, ids[1]))["cost_nusd"] == 20
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

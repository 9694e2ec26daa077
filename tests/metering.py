"""What tests of metering share: rules made in a database, calls that take a while, and what the ledger says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from skep.access import Principal
from skep.spend import (
    Ask,
    BudgetExceededError,
    Caller,
    LimitExceededError,
    Meter,
    Metering,
    Metric,
    Rates,
    Rule,
    Rules,
    Settlement,
    SpendOptions,
    Usage,
    make_price,
    open_metering,
)
from skep.store import Database, ExternalServer

PRICE = make_price(Rates(input_nusd_per_mtok=1_000_000, output_nusd_per_mtok=1_000_000))
"""One nano-dollar a token."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the database says, read by a connection of the test's own."""

    connection: psycopg.Connection[tuple[Any, ...]]

    def one(self, statement: str, *values: object) -> Any:
        """The first column of the first row."""
        row = self.connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        return row[0]

    def all(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Every row."""
        return self.connection.execute(statement.encode(), values).fetchall()

    def check(self) -> None:
        """What must hold whenever no transaction is under way."""
        assert (
            self.all(
                "select w.window_id, w.used, w.leased, w.overage, r.amount from rule_window w join rule r using (rule_id)"
                " where r.mode = 'hard' and w.used + w.leased > r.amount + w.overage"
            )
            == []
        ), "more is used and leased than there is"
        assert (
            self.all(
                "select w.window_id, w.leased, sum(l.amount) from rule_window w left join lease l using (window_id)"
                " group by w.window_id having w.leased <> coalesce(sum(l.amount), 0)"
            )
            == []
        ), "a window does not know its leases"
        assert (
            self.all(
                "select w.window_id, w.used, sum(c.charged) from rule_window w left join"
                " (select holds[i] as window_id, holds[i + 2] as charged from call, generate_series(1, cardinality(holds), 3) i) c"
                " using (window_id) group by w.window_id having w.used <> coalesce(sum(c.charged), 0)"
            )
            == []
        ), "a window's use is not the sum of its calls"
        assert self.all("select call_id from call group by call_id having count(*) > 1") == [], "a call stands twice"


async def open_database(url: str) -> Database:
    database = Database(ExternalServer(url), connect_timeout_seconds=5)
    await database.open()
    return database


def principal(database_url: str) -> Principal:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into project (name, key_pepper) values ('team', sha256('x')) on conflict (name) do nothing"
        )
        row = connection.execute("select project_id from project where name = 'team'").fetchone()
    assert row is not None
    return Principal(row[0], "team", "k-admin", "admin", "admin")


def a_rule(metric: Metric, amount: int, **changes: Any) -> Rule:
    standard = {
        "rule_id": 0,
        "project_id": 0,
        "name": f"{metric}-rule",
        "metric": metric,
        "subject": "project",
        "value": "",
        "period": None if metric == "concurrent" else "total",
        "amount": amount,
    }
    return Rule(**{**standard, **changes})


async def make_rules(url: str, *rules: Rule) -> Principal:
    who = principal(url)
    database = await open_database(url)
    try:
        for rule in rules:
            await Rules(database).create(who, rule)
    finally:
        await database.close()
    return who


@asynccontextmanager
async def metering(url: str, folder: Path, **changes: Any) -> AsyncIterator[Metering]:
    """As a process of its own would have it."""
    options: dict[str, Any] = {"data_folder": folder, "node": folder.name, "flush_seconds": 0.05, **changes}
    database = await open_database(url)
    try:
        async with open_metering(database, SpendOptions(**options)) as opened:
            yield opened
    finally:
        await database.close()


def an_ask(project_id: int, tokens: int, **changes: Any) -> Ask:
    """A call that may take so many tokens, half of them out."""
    caller = Caller(project_id=project_id, key_id=changes.pop("key_id", "k1"), key_name="ci")
    facts: dict[str, Any] = {"model": "m", "price": PRICE, **changes}
    return Ask(caller=caller, input_tokens_at_most=tokens // 2, output_tokens_at_most=tokens - tokens // 2, **facts)


def used(tokens: int, **changes: Any) -> Settlement:
    facts: dict[str, Any] = {"outcome": "ok", "usage": Usage(input_tokens=tokens, output_tokens=0), **changes}
    return Settlement(**facts)


async def call(meter: Meter, ask: Ask, tokens: int, seconds: float = 0.0) -> bool:
    """Make a call that takes so long and so much; whether it was admitted."""
    try:
        ticket = meter.try_admit(ask) or await meter.admit(ask)
    except (BudgetExceededError, LimitExceededError):
        return False
    meter.begin(ticket)
    if seconds:
        await asyncio.sleep(seconds)
    meter.settle(ticket, used(tokens))
    return True


async def gather(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return list(await asyncio.gather(*calls))

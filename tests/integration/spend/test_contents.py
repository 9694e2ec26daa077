"""Contents in a real database: written once, read by administrators only, dropped by day."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from skep.access import Principal, RoleTooLowError
from skep.observe import NO_METRICS
from skep.spend import ContentKeeper, ContentNotKeptError, Heard, Ledger, Said, keeping_contents, new_call_id
from skep.store import Database
from tests.metering import open_database, principal


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def who(database_url: str) -> Principal:
    return principal(database_url)


def heard(text: bytes) -> Heard:
    found = Heard(1000)
    found.add(text)
    return found


def said(who: Principal, *, call_id: str | None = None) -> Said:
    return Said(
        call_id or new_call_id(), who.project_id, "ok", heard(b'{"x": "\\nsk-abcdefgh1234"}'), heard(b"y\0" * 900)
    )


async def test_what_was_said_is_written_once_and_read(
    database: Database, who: Principal, caplog: pytest.LogCaptureFixture
) -> None:
    keeper, ledger, one = ContentKeeper(database), Ledger(database), said(who)
    for _ in range(2):
        keeper.take(one)
        keeper.take(said(who))
        await keeper.write_waiting()
    with caplog.at_level(logging.WARNING):
        found = await ledger.content(who, one.call_id)
    assert (found.call_id, found.outcome, found.request) == (one.call_id, "ok", '{"x": "\\nsk-***"}')
    assert found.answer == "y\ufffd" * 250 + " [cut: 1800 bytes in all]"
    assert (found.request_bytes, found.answer_bytes) == (26, 1800)
    assert abs(found.made_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert caplog.text.count("content of a call read") == 1
    with pytest.raises(ContentNotKeptError):
        await ledger.content(who, new_call_id())


async def test_only_administrators_of_the_project_read_it(database: Database, who: Principal) -> None:
    keeper, ledger, one = ContentKeeper(database), Ledger(database), said(who)
    keeper.take(one)
    await keeper.write_waiting()
    with pytest.raises(RoleTooLowError):
        await ledger.content(dataclasses.replace(who, role="reader"), one.call_id)
    with pytest.raises(ContentNotKeptError):
        await ledger.content(dataclasses.replace(who, project_id=who.project_id + 1), one.call_id)


async def test_what_waits_at_the_end_is_written(database: Database, who: Principal, database_url: str) -> None:
    async with keeping_contents(database, NO_METRICS) as keeper:
        keeper.take(said(who))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from content").fetchone() == (1,)


def id_of(day: datetime) -> str:
    number = int(new_call_id().replace("-", ""), 16)
    return f"{int(day.timestamp() * 1000) << 80 | number & (1 << 80) - 1:032x}"


async def test_old_days_are_dropped(database: Database, who: Principal, database_url: str) -> None:
    now = datetime.now(UTC)
    keeper = ContentKeeper(database)
    for age in (0, 6, 9, 30):
        keeper.take(said(who, call_id=id_of(now - timedelta(days=age))))
    await keeper.write_waiting()
    ledger = Ledger(database, content_days=7)
    await ledger.tidy()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select made_at from content").fetchall()
        parts = connection.execute("select count(*) from pg_inherits where inhparent = 'content'::regclass").fetchone()
        hints = connection.execute(
            "select count(*) from pg_attribute a join pg_inherits i on i.inhrelid = a.attrelid"
            " where i.inhparent = 'content'::regclass and attname in ('request', 'answer') and attstattarget = 0"
        ).fetchone()
    assert sorted(round((now - made) / timedelta(days=1)) for (made,) in rows) == [0, 6]
    assert parts == (2,)
    # The planner's statistics hold nothing of what was said.
    assert hints == (4,)

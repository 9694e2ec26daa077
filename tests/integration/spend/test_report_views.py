"""The views for other tools say what the reports say, and a role that may read them can read nothing else."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from skep.access import Principal
from skep.cli.dashboards import DASHBOARDS, grafana_json
from skep.spend import Ledger, Reports
from skep.store import Database
from tests.metering import open_database, principal
from tests.postgres import ScratchServer

CALL = """
insert into call (call_id, started_at, project_id, key_id, key_name, tier, tags, model, face, stream, trace_id, attempts, estimated, outcome,
    holds, cost_nusd, output_tokens, ttft_us, duration_us)
values (gen_random_uuid(), %s, %s, 'k', 'k', %s, '{}', 'm', 'chat.completions', true, '', 1, false, %s, '{}', %s, %s, %s, %s)
"""
DUE = "insert into rollup_due values (date_trunc('hour', %s::timestamptz, 'UTC')) on conflict do nothing"
VIEWS = (
    "report_calls",
    "report_days",
    "report_privacy",
    "report_routes",
    "report_misses",
    "report_streams",
    "tier_performance_summary",
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = await open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def who(database_url: str, database: Database) -> Principal:
    return principal(database_url)


def add(connection: psycopg.Connection[Any], who: Principal) -> datetime:
    """Calls of the last three days but not of this hour, which is not summed up."""
    chance = random.Random(5)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    connection.execute("select open_call_day(current_date - d) from generate_series(0, 4) d")
    for _ in range(400):
        moment = now - timedelta(minutes=chance.randrange(1, 3 * 1440))
        outcome, cost = chance.choice(["ok", "ok", "timeout"]), chance.choice([None, chance.randrange(10**9)])
        facts = [
            chance.choice(["fast", "deep", None]),
            outcome,
            cost,
            10,
            chance.randrange(10**6),
            chance.randrange(10**7),
        ]
        connection.execute(CALL.encode(), [moment, who.project_id, *facts])
        connection.execute(DUE.encode(), [moment])
    return now - timedelta(days=4)


async def test_the_summary_of_tiers_is_the_report_by_tier(
    database: Database, database_url: str, who: Principal
) -> None:
    ledger = Ledger(database)
    with psycopg.connect(database_url, autocommit=True) as connection:
        since = add(connection, who)
        await ledger.roll_up()
        lines = await ledger.report(who, by="tier", since=since)
        rows = connection.execute(
            "select tier, calls, cost_usd, failure_rate, ttft_p50_ms, ttft_p95_ms, duration_p50_ms, duration_p95_ms"
            " from tier_performance_summary"
        ).fetchall()
        days = connection.execute("select value, sum(calls) from report_days where by = 'tier' group by 1").fetchall()
        calls = connection.execute("select sum(cost_usd), count(*) from report_calls").fetchone()
    found = {row[0]: row[1:] for row in rows}
    assert found.keys() == {"fast", "deep", None}
    for line in lines:
        count, cost, failure_rate, *times = found[line.value]
        assert count == line.calls
        assert float(cost) == pytest.approx(line.cost_nusd / 1e9)
        assert failure_rate == pytest.approx(line.failed / line.calls)
        assert line.ttft is not None
        assert line.duration is not None
        assert times == [line.ttft.p50_ms, line.ttft.p95_ms, line.duration.p50_ms, line.duration.p95_ms]
    assert dict(days) == {line.value: line.calls for line in lines}
    assert calls is not None
    assert float(calls[0]) == pytest.approx(sum(line.cost_nusd for line in lines) / 1e9)
    assert calls[1] == 400


def panels() -> list[dict[str, Any]]:
    """Of the dashboard on the ledger."""
    found: list[dict[str, Any]] = grafana_json(DASHBOARDS[0])["panels"]
    return found


def variables() -> list[str]:
    """What it asks to be narrowed by."""
    return [each["query"] for each in grafana_json(DASHBOARDS[0])["templating"]["list"] if each["type"] == "query"]


def in_grafana(query: str) -> str:
    """As Grafana sends it: its macros and variables are put in there."""
    now = datetime.now(UTC)
    since, until = (f"'{moment:%Y-%m-%dT%H:%M:%SZ}'" for moment in (now - timedelta(days=30), now))
    sent = query.replace("$__timeFilter(day)", f"day BETWEEN {since} AND {until}").replace(
        "$project", "'team','others'"
    )
    assert "$" not in sent
    return sent


async def test_every_panel_shows_what_was_summed_up(database: Database, database_url: str, who: Principal) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        add(connection, who)
        connection.execute(
            "update call set provider = 'p', model_used = 'u', is_remote = output_tokens > 0, input_tokens = 1,"
            """ tried = '[{"what": "q/u", "outcome": "timeout", "ms": 3}]'"""
        )
        await Ledger(database).roll_up()
        for panel in panels():
            cursor = connection.execute(in_grafana(panel["targets"][0]["rawSql"]).encode())
            rows = cursor.fetchall()
            assert rows, panel["title"]
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            if panel["type"] == "timeseries":
                assert names[0] == "time", panel["title"]
                assert all(isinstance(row[0], datetime) for row in rows)
            assert panel["type"] != "stat" or (len(rows) == 1 and rows[0][-1] is not None), panel["title"]
        streams = await Reports(database).streams(who, since=datetime.now(UTC) - timedelta(days=5))
        told = connection.execute("select sum(streams), sum(saved_wait_seconds) from report_streams").fetchone()
        routes = connection.execute("select route, sum(calls), sum(failed) from report_routes group by 1").fetchall()
        misses = connection.execute("select route, outcome, sum(attempts) from report_misses group by 1, 2").fetchall()
        places = connection.execute(
            "select sum(calls), sum(remote), sum(unknown) from report_privacy where by = 'key'"
        ).fetchone()
        failed = connection.execute("select count(*) from call where outcome = 'timeout'").fetchone()
    assert told is not None
    assert failed is not None
    assert told[0] == 400
    assert float(told[1]) == pytest.approx(streams.lines[0].saved_wait_seconds, abs=0.001)
    assert routes == [("p/u", 400, failed[0])]
    assert misses == [("q/u", "timeout", 400)]
    assert places == (400, 400, 0)


async def test_who_may_read_the_views_reads_nothing_else(
    database: Database, database_url: str, who: Principal, scratch_server: ScratchServer
) -> None:
    name = str(conninfo_to_dict(database_url)["dbname"])
    # Rolled back at the end, the role too.
    with psycopg.connect(scratch_server.url(name, admin=True)) as connection:
        add(connection, who)
        connection.execute("create role looks_only")
        connection.execute(f"grant select on {', '.join(VIEWS)} to looks_only".encode())
        connection.execute("set local role looks_only")
        for query in (*(panel["targets"][0]["rawSql"] for panel in panels()), *variables()):
            connection.execute(in_grafana(query).encode())
        for view in VIEWS:
            connection.execute(f"select * from {view} limit 1".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("select * from call limit 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("select * from api_key limit 1")
        connection.rollback()

"""How long reports over 30 days and two million calls take, from the sums by hour and day.

    python -m bench.spend.reports [--calls 2000000] [--explain] [--save]

Fills a database of its own with calls of 1,000 keys, 40 users, 12 models and 20 tags over the last 30 days, with a partition for each of the
400 days that calls are kept by default, sums them up, and asks for each report again and again, percentiles included. The current hour and the pieces at both ends are read from the calls themselves, as
always. With ``--explain`` also how PostgreSQL goes about the report by key.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import psycopg

from bench.results import Collector, Figure, add_options, finish, options_of
from skep.access import Principal
from skep.gateway import PROFILES
from skep.gateway.advising import Advice, Known, advise
from skep.gateway.models import GatewayConfig, Model, Provider, Route
from skep.spend import Ledger, Rates, Reports, make_price
from skep.spend.database_bank import queries
from skep.spend.ledger import DIMENSIONS
from tests.metering import open_database, principal
from tests.postgres import ScratchServer

T = TypeVar("T")

CALLS = 2_000_000
_DAYS = 30
_GOAL_MS = 200.0

_FILL = """
insert into call (call_id, started_at, project_id, key_id, key_name, user_name, tier, tags, model, face, stream, trace_id, provider, model_used,
    attempts, tried, estimated, outcome, holds, cost_nusd, input_tokens, output_tokens, ttft_us, duration_us, is_remote, stopped, spared_nusd)
select gen_random_uuid(), now() - random() * interval '30 days', %s, 'k' || i %% 1000, 'key ' || i %% 1000, 'user ' || i %% 40, 'tier ' || i %% 3,
    array['tag ' || i %% 20, 'experiment:cheaper=' || case when i %% 2 = 0 then 'control' else 'canary' end], 'model ' || i %% 12,
    'chat.completions', i %% 2 = 0, '', 'provider ' || i %% 4, 'm', 1,
    case when i %% 97 = 0 then '[{"what": "provider 9/m", "outcome": "timeout", "ms": 3.5}]'::jsonb end, false,
    case when i %% 50 = 0 then 'server_error' else 'ok' end, '{}', (random() * 1000000)::bigint, 300, 100, (exp(10 + 4 * random()))::bigint,
    (exp(12 + 4 * random()))::bigint, i %% 4 > 0, case when i %% 100 = 0 then 'json' end, case when i %% 100 = 0 then 5 end
from generate_series(1, %s) i
"""
_DUE = """
insert into rollup_due
select h from generate_series(date_trunc('hour', now() - interval '30 days', 'UTC'), now(), '1 hour') h
"""


_MONTH = "day >= current_date - 30"
_VIEWS = {
    "report_days_by_day_and_model": f"select * from report_days where by = 'model' and {_MONTH}",
    "report_days_by_key": f"select value, sum(cost_usd), sum(calls) from report_days where by = 'key' and {_MONTH} group by 1",
    "report_days_by_outcome": f"select day, value, calls from report_days where by = 'outcome' and {_MONTH}",
    "tier_performance_summary": "select * from tier_performance_summary",
    "report_privacy_by_day": f"select * from report_privacy where by = 'project' and {_MONTH}",
    "report_privacy_by_key": f"select value, sum(local + kept), sum(remote) from report_privacy where by = 'key' and {_MONTH} group by 1",
    "report_routes": f"select * from report_routes where {_MONTH}",
    "report_misses": f"select * from report_misses where {_MONTH}",
    "report_streams": f"select * from report_streams where {_MONTH}",
    "report_calls_of_an_hour": "select * from report_calls where started_at >= now() - interval '1 hour'",
}
"""The month by day and model, and so on: what the dashboards show."""

_FREE = make_price(Rates(input_nusd_per_mtok=0, output_nusd_per_mtok=0))
_PROVIDERS = {
    name: Provider(name=name, profile=PROFILES[0], base_url="http://x")
    for name in (f"provider {number}" for number in range(5))
}
_CONFIG = GatewayConfig(
    providers=_PROVIDERS,
    models={
        f"model {number}": Model(
            name=f"model {number}",
            tier=f"tier {number % 3}",
            routes=(Route(provider=_PROVIDERS[f"provider {number % 4}"], model="m", price=_FREE),),
        )
        for number in range(12)
    },
)


def fill(url: str, project_id: int, calls: int) -> None:
    """Put the calls into the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select open_call_day(current_date - d) from generate_series(0, 400) d")
        connection.execute(_FILL.encode(), [project_id, calls])
        connection.execute(_DUE.encode())
        connection.execute("vacuum analyze call")


def explain(url: str, project_id: int) -> None:
    """Print the plan of the report by key."""
    now = datetime.now(UTC)
    since = now - timedelta(days=_DAYS)
    bound = {"project_id": project_id, "by": "key", "since": since, "until": now, "limit": 1000}
    with psycopg.connect(url, autocommit=True) as connection:
        for (line,) in connection.execute(b"explain (analyze, buffers) " + queries["report_calls"], bound).fetchall():
            print(line)


async def timed(collector: Collector, name: str, title: str, repeat: int, ask: Callable[[], Awaitable[T]]) -> T:
    """What it answers, and a figure of how long that takes."""
    times: list[float] = []
    while True:
        begun = time.perf_counter()
        answer = await ask()
        times.append(1000 * (time.perf_counter() - begun))
        if len(times) >= repeat:
            break
    collector.add(Figure(name, title, "ms", "less", tuple(times), goal=_GOAL_MS))
    return answer


async def others(
    reports: Reports, ledger: Ledger, who: Principal, since: datetime, collector: Collector, *, calls: int, repeat: int
) -> None:
    """The reports that are not by one property."""
    over = f"over {_DAYS} days and {calls:,} calls"
    span = {"since": since}
    compare = partial(ledger.compare, who, "cheaper", arms=["control", "canary"], **span)
    arms = await timed(collector, "reports.arms", f"Arms of an experiment compared, {over}, all in it", repeat, compare)
    assert sum(arm.calls for arm in arms.arms) == calls
    trend = await timed(
        collector, "reports.trend", f"Trend by day {over}", repeat, partial(ledger.trend, who, per="day", since=since)
    )
    assert trend.points
    await timed(collector, "reports.savings", f"Savings {over}", repeat, partial(ledger.savings, who, **span))
    for by, per_day in (("key", False), ("model", True), ("project", True)):
        ask = partial(reports.privacy, who, by=by, per_day=per_day, **span)
        title = f"Privacy by {by}{' and day' if per_day else ''} {over}"
        found = await timed(collector, f"reports.privacy_{by}", title, repeat, ask)
        assert sum(line.calls for line in found.lines) == calls
    streams = await timed(
        collector, "reports.streams", f"Streams by model {over}", repeat, partial(reports.streams, who, **span)
    )
    assert sum(line.calls for line in streams.lines) == calls

    async def advice() -> list[Advice]:
        groups, misses = await reports.groups(who, **span), await reports.misses(who, **span)
        return advise(_CONFIG, Known(groups, misses, {"cheaper": await compare()}))

    advised = await timed(collector, "reports.advice", f"Advice on models and routes {over}", repeat, advice)
    assert sum(each.calls for each in advised) == calls


def views(url: str, collector: Collector, *, calls: int, repeat: int) -> None:
    """What dashboards ask of the views for other tools."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name, statement in _VIEWS.items():
            times, rows = [], []
            for _ in range(repeat):
                begun = time.perf_counter()
                rows = connection.execute(statement.encode()).fetchall()
                times.append(1000 * (time.perf_counter() - begun))
            assert rows, name
            title = f"View {name.replace('_', ' ')}, {_DAYS} days of {calls:,} calls"
            collector.add(Figure(f"views.{name}", title, "ms", "less", tuple(times), goal=_GOAL_MS))


async def measure(url: str, collector: Collector, *, calls: int, repeat: int, explained: bool) -> None:
    """Fill, sum up, ask."""
    who = principal(url)
    since = datetime.now(UTC) - timedelta(days=_DAYS)
    begun = time.perf_counter()
    await asyncio.to_thread(fill, url, who.project_id, calls)
    print(f"filled with {calls:,} calls in {time.perf_counter() - begun:.0f} s", flush=True)
    database = await open_database(url)
    try:
        ledger = Ledger(database)
        begun = time.perf_counter()
        hours = await ledger.roll_up()
        print(f"{hours} hours summed up in {time.perf_counter() - begun:.1f} s", flush=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "vacuum analyze call_rollup, call_rollup_day, call_arm, call_arm_day, call_group, call_group_day"
            )
        for by in DIMENSIONS:
            report = partial(ledger.report, who, by=by, since=since)
            lines = await timed(
                collector, f"reports.{by}", f"Report by {by} over {_DAYS} days and {calls:,} calls", repeat, report
            )
            # A call counts for each of its two tags.
            assert sum(line.calls for line in lines) == calls * (2 if by == "tag" else 1)
        await others(Reports(database), ledger, who, since, collector, calls=calls, repeat=repeat)
        views(url, collector, calls=calls, repeat=repeat)
        if explained:
            explain(url, who.project_id)
    finally:
        await database.close()


def main() -> None:
    """Measure, print, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=7)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--explain", action="store_true", help="print the plan of the report by key")
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    with TemporaryDirectory(prefix="skep-bench-") as folder:
        server = ScratchServer(Path(folder))
        server.start()
        try:
            with server.database() as url:
                asyncio.run(
                    measure(url, collector, calls=parsed.calls, repeat=options.repeat, explained=parsed.explain)
                )
        finally:
            server.stop()
    finish(collector, options)


if __name__ == "__main__":
    main()

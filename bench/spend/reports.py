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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench.results import Collector, Figure, add_options, finish, options_of
from skep.spend import Ledger
from skep.spend.database_bank import queries
from skep.spend.ledger import DIMENSIONS
from tests.metering import open_database, principal
from tests.postgres import ScratchServer

CALLS = 2_000_000
_DAYS = 30
_GOAL_MS = 200.0

_FILL = """
insert into call (call_id, started_at, project_id, key_id, key_name, user_name, tags, model, face, stream, trace_id, provider, model_used,
    attempts, estimated, outcome, holds, cost_nusd, input_tokens, output_tokens, ttft_us, duration_us)
select gen_random_uuid(), now() - random() * interval '30 days', %s, 'k' || i %% 1000, 'key ' || i %% 1000, 'user ' || i %% 40,
    array['tag ' || i %% 20], 'model ' || i %% 12, 'chat.completions', i %% 2 = 0, '', 'provider ' || i %% 4, 'm', 1, false, 'ok', '{}',
    (random() * 1000000)::bigint, 300, 100, (exp(10 + 4 * random()))::bigint, (exp(12 + 4 * random()))::bigint
from generate_series(1, %s) i
"""
_DUE = """
insert into rollup_due
select h from generate_series(date_trunc('hour', now() - interval '30 days', 'UTC'), now(), '1 hour') h
"""


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
            connection.execute("vacuum analyze call_rollup, call_rollup_day")
        for by in DIMENSIONS:
            times, lines = [], []
            for _ in range(repeat):
                begun = time.perf_counter()
                lines = await ledger.report(who, by=by, since=since)
                times.append(1000 * (time.perf_counter() - begun))
            assert sum(line.calls for line in lines) == calls
            title = f"Report by {by} over {_DAYS} days and {calls:,} calls, {len(lines):,} lines"
            collector.add(Figure(f"reports.{by}", title, "ms", "less", tuple(times), goal=_GOAL_MS))
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

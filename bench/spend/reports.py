"""How long reports over 30 days take, from sums by hour.

    python bench/spend/reports.py DATABASE_URL [--calls 2000000]

Fills an empty database with calls of 1,000 keys, 40 users, 12 models and 20 tags over the last 30 days, sums them up, and asks for each report five
times: the slowest counts. The current hour and the pieces at both ends are read from the calls themselves, as always.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime, timedelta

import psycopg

from skep.spend import Ledger
from skep.spend.ledger import DIMENSIONS, LATENCY_DIMENSIONS
from tests.metering import open_database, principal

FILL = """
insert into call (call_id, started_at, project_id, key_id, key_name, user_name, tags, model, face, stream, trace_id, provider, model_used,
    attempts, estimated, outcome, holds, cost_nusd, input_tokens, output_tokens, ttft_us, duration_us)
select gen_random_uuid(), now() - random() * interval '30 days', %s, 'k' || i %% 1000, 'key ' || i %% 1000, 'user ' || i %% 40,
    array['tag ' || i %% 20], 'model ' || i %% 12, 'chat.completions', i %% 2 = 0, '', 'provider ' || i %% 4, 'm', 1, false, 'ok', '{}',
    (random() * 1000000)::bigint, 300, 100, (random() * 1000000)::bigint, (random() * 9000000)::bigint
from generate_series(1, %s) i
"""


def fill(url: str, project_id: int, calls: int) -> None:
    """Put the calls into the ledger."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select open_call_day(current_date - d) from generate_series(0, 31) d")
        connection.execute(FILL.encode(), [project_id, calls])
        connection.execute(
            "insert into rollup_due select h from generate_series(date_trunc('hour', now() - interval '30 days', 'UTC'), now(), '1 hour') h"
        )
        connection.execute("vacuum analyze call")


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, default=2_000_000)
    options = parser.parse_args()
    who = principal(options.url)
    begun = time.perf_counter()
    fill(options.url, who.project_id, options.calls)
    print(f"filled with {options.calls:,} calls in {time.perf_counter() - begun:.0f} s", flush=True)
    database = await open_database(options.url)
    try:
        ledger = Ledger(database)
        begun = time.perf_counter()
        hours = await ledger.roll_up()
        print(f"{hours} hours summed up in {time.perf_counter() - begun:.1f} s", flush=True)
        with psycopg.connect(options.url, autocommit=True) as connection:
            connection.execute("vacuum analyze call_rollup, call_latency")
        since = datetime.now(UTC) - timedelta(days=30)
        for by in DIMENSIONS:
            times, counts = [], []
            for _ in range(5):
                begun = time.perf_counter()
                counts.append(len(await ledger.report(who, by=by, since=since)))
                times.append(1000 * (time.perf_counter() - begun))
            print(f"report by {by:9} {counts[0]:5} lines  p50 {sorted(times)[2]:6.1f} ms  slowest {max(times):6.1f} ms")
        for latency_by in LATENCY_DIMENSIONS:
            begun = time.perf_counter()
            found = await ledger.latency(who, by=latency_by, since=since)
            print(f"latency by {latency_by:8} {len(found):5} lines  {1000 * (time.perf_counter() - begun):6.1f} ms")
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())

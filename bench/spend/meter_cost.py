"""What metering costs a gateway process for each call: CPU microseconds, with 1,000 keys and 4 rules that apply to each call.

    python bench/spend/meter_cost.py DATABASE_URL [--calls 40000] [--profile]

Three figures: the decisions alone (in memory), with the journal, and with everything (database, flusher and leases; the process'
own CPU, not PostgreSQL's). There is no peer to run beside it: other gateways have no exact budgets to measure.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from skep.spend import Ask, Caller, MemoryMeter, Meter, Rule, Settlement, Ticket, Usage, new_call_id
from tests.metering import PRICE, a_rule, make_rules, metering

KEYS = 1000


def rules() -> tuple[Rule, ...]:
    """Four that apply to each call."""
    return (
        a_rule("cost", 10**15, name="project budget", period="month"),
        a_rule("cost", 10**13, name="key budget", period="day", subject="key", value="*"),
        a_rule("requests", 10**7, name="key rpm", period="minute", subject="key", value="*"),
        a_rule("tokens", 10**10, name="key tpm", period="hour", subject="key", value="*"),
    )


def callers(project_id: int) -> list[Caller]:
    """A thousand keys."""
    return [Caller(project_id=project_id, key_id=f"key{number}", key_name=f"name {number}") for number in range(KEYS)]


USAGE = Usage(input_tokens=300, cached_input_tokens=100, output_tokens=120)


async def calls(meter: Meter, who: list[Caller], count: int, at_once: int = 32) -> int:
    """Make so many, a few under way at the same time; how many had to wait for the bank."""
    waited = 0
    under_way: list[Ticket] = []
    for number in range(count):
        ask = Ask(
            who[number * 7 % KEYS],
            "smart",
            400,
            500,
            PRICE,
            call_id=new_call_id(),
            trace_id="0af7651916cd43dd8448eb211c80319c",
        )
        ticket = meter.try_admit(ask)
        if ticket is None:
            waited += 1
            ticket = await meter.admit(ask)
        meter.begin(ticket)
        under_way.append(ticket)
        if len(under_way) >= at_once:
            meter.settle(
                under_way.pop(0),
                Settlement(
                    "ok",
                    USAGE,
                    status=200,
                    provider="openai",
                    model_used="gpt-x",
                    ttft_ms=12.5,
                    duration_ms=100.0,
                    price=PRICE,
                ),
            )
        if number % 64 == 0:
            await asyncio.sleep(0)
    for ticket in under_way:
        meter.settle(ticket, Settlement("ok", USAGE))
    return waited


async def measured(
    meter: Meter, who: list[Caller], count: int, flush: Callable[[], Awaitable[None]] | None = None
) -> str:
    """Microseconds of CPU for each call, after a first round that fetches every lease."""
    await calls(meter, who, 2 * KEYS)
    if flush is not None:
        await flush()
    gc.collect()
    begun, cpu = time.perf_counter(), time.process_time()
    waited = await calls(meter, who, count)
    loop_cpu = time.process_time() - cpu
    if flush is not None:
        await flush()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
    return f"{loop_cpu / count * 1e6:6.1f} us, with the flush {cpu / count * 1e6:6.1f} us, wall {wall / count * 1e6:6.1f} us, {waited} waited"


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()

    numbered = [
        Rule(**{**{name: getattr(rule, name) for name in rule.__slots__}, "rule_id": index, "project_id": 1})
        for index, rule in enumerate(rules())
    ]
    async with MemoryMeter(numbered) as meter:
        print("in memory      ", await measured(meter, callers(1), options.calls))
    who = await make_rules(options.url, *rules())
    with tempfile.TemporaryDirectory() as folder:
        async with metering(options.url, Path(folder), flush_seconds=0.5) as opened:
            profile = cProfile.Profile()
            if options.profile:
                profile.enable()
            print("with everything", await measured(opened.meter, callers(who.project_id), options.calls, opened.flush))
            profile.disable()
            if options.profile:
                pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    asyncio.run(main())

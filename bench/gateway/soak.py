"""Whether the gateway's memory stays as it is: minutes of mixed load, and its processes' memory every few seconds.

    python -m bench.gateway.soak [--minutes 20] [--save]

Short calls, bodies of 100 KB and streams come in turns, with 1,000 keys, limits, budgets and prices. What counts is the median of the
last quarter against that of the second: at most 3 % more. The processes are Skep's own; its database is not among them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bench.gateway.load import request_body, run_wrk
from bench.gateway.programs import Contestant, Governance, body_upstream, skep, stream_text, stream_upstream
from bench.gateway.streams import stream_load
from bench.processes import memory_bytes
from bench.results import Collector, Figure, add_options, finish, options_of

MINUTES = 20.0
_SAMPLE_SECONDS = 2.0
_TURN_SECONDS = 5
_MOST_GROWTH = 1.03


def growth(samples: Sequence[int]) -> float:
    """The median of the last quarter of the samples through that of the second. Raises ValueError for fewer than 8. Pure."""
    if len(samples) < 8:
        raise ValueError("too few samples")
    quarter = len(samples) // 4
    return statistics.median(samples[-quarter:]) / statistics.median(samples[quarter : 2 * quarter])


def soak(one: Contestant, folder: Path, seconds: float) -> list[int]:
    """Load until the time is over; the memory meanwhile, in bytes."""
    samples: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_SECONDS):
            parents = [psutil.Process(pid) for pid in one.pids]
            samples.append(
                memory_bytes([each for parent in parents for each in (parent, *parent.children(recursive=True))])
            )

    watcher = threading.Thread(target=watch, name="bench-memory")
    watcher.start()
    try:
        until = time.monotonic() + seconds
        turns = itertools.cycle(("short", "large", "streams"))
        while time.monotonic() < until:
            turn = next(turns)
            if turn == "streams":
                load = stream_load(one.streams["quick"], stream_text("quick"), clients=64, seconds=_TURN_SECONDS)
                asyncio.run(load)
                continue
            body = request_body(one.body.model, 100_000 if turn == "large" else 0)
            run_wrk(one.body, folder, clients=32, seconds=_TURN_SECONDS, body=body)
    finally:
        ended.set()
        watcher.join()
    return samples


def main() -> None:
    """Measure, print, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=1)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of load (default: %(default)s)")
    parsed = parser.parse_args()
    collector = Collector()
    with TemporaryDirectory(prefix="skep-bench-soak-") as name:
        folder = Path(name)
        with (
            body_upstream(folder / "upstream") as body,
            stream_upstream(folder / "streams") as streams,
            skep(folder / "skep", body, streams, Governance()) as one,
        ):
            samples = soak(one, folder, parsed.minutes * 60)
    collector.add(
        Figure(
            "gateway.soak.growth",
            f"memory in the last quarter of {parsed.minutes:g} minutes through that in the second",
            "",
            "less",
            (growth(samples),),
            goal=_MOST_GROWTH,
        )
    )
    most = max(samples) / 2**20
    collector.add(Figure("gateway.soak.memory_mb", f"most memory in {parsed.minutes:g} minutes", "MB", "less", (most,)))
    finish(collector, options_of(parsed))


if __name__ == "__main__":
    main()

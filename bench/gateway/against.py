"""What the exact gateway costs beside another state of this repository, on this machine, in turns.

    git worktree add --detach FOLDER 327c66b && (cd FOLDER && ./check --co -q tests/unit)
    python -m bench.gateway.against FOLDER [--only PART,PART] [--repeat N] [--save]

The other checkout has its own environment (``.venv-dev``) and starts its own gateway by its own benchmark's rules: 1,000 keys with budgets,
limits, prices and traces (see `bench.gateway.run`). Both wait idle while the other is asked; who is asked first changes from round to round.
327c66b is the last state before the other faces, strategies, guards and experiments came.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.gateway.load import request_body, run_wrk
from bench.gateway.programs import (
    SSE_MODELS,
    Contestant,
    Target,
    body_upstream,
    stream_text,
    stream_upstream,
)
from bench.gateway.run import some_of
from bench.gateway.streams import stream_load
from bench.processes import REPOSITORY, CommandError, plain_environment, run_command
from bench.results import Better, Collector, Figure, add_options, finish, options_of

_SERVE = """\
import json, sys
from contextlib import ExitStack
from pathlib import Path
from bench.gateway.programs import SSE_MODELS, Governance, Target, skep
streams = {name: Target(int(sys.argv[3]), model) for name, model in SSE_MODELS.items()}
with ExitStack() as stack:
    one = stack.enter_context(skep(Path(sys.argv[1]), Target(int(sys.argv[2]), "gpt-bench"), streams, Governance()))
    print(json.dumps({"port": one.body.port, "headers": list(map(dict, one.body.headers)), "pids": one.pids}), flush=True)
    sys.stdin.read()
"""
_START = """\
import sys
from pathlib import Path
from bench.gateway.programs import second_start_seconds
print(second_start_seconds(Path(sys.argv[1])))
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A state of the repository, with its environment."""

    name: str
    path: Path

    def command(self, program: str, *arguments: object) -> list[str]:
        """Runs a program of ours with the checkout's own code."""
        return [str(self.path / ".venv-dev" / "bin" / "python"), "-c", program, *map(str, arguments)]

    @property
    def environment(self) -> dict[str, str]:
        """For that."""
        return plain_environment(PYTHONPATH=str(self.path))


@contextmanager
def serving(checkout: Checkout, folder: Path, body: Target, streams: Mapping[str, Target]) -> Iterator[Contestant]:
    """Its gateway, until the block ends. Raises CommandError."""
    command = checkout.command(_SERVE, folder, body.port, streams["slow"].port)
    process = subprocess.Popen(
        command,
        cwd=checkout.path,
        env=checkout.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise CommandError(f"the gateway of {checkout.path} did not start")
        told = json.loads(line)
        headers = tuple(told["headers"])
        targets = {name: Target(told["port"], model, headers=headers) for name, model in SSE_MODELS.items()}
        yield Contestant(checkout.name, Target(told["port"], body.model, headers=headers), targets, tuple(told["pids"]))
    finally:
        process.stdin.close()
        process.wait(120)


def calls(one: Contestant, folder: Path) -> Iterator[tuple[str, float]]:
    """32 clients: requests in a second, and processor time of each."""
    before = one.cpu_seconds()
    load = run_wrk(one.body, folder, clients=32, seconds=3, body=request_body(one.body.model))
    yield "cpu_us", (one.cpu_seconds() - before) * 1e6 / load.requests
    yield "throughput", load.per_second


def latency(one: Contestant, folder: Path) -> Iterator[tuple[str, float]]:
    """One client, with the way to the upstream."""
    load = run_wrk(one.body, folder, clients=1, seconds=4, body=request_body(one.body.model))
    yield "p50_ms", load.p50_ms
    yield "p99_ms", load.p99_ms


def bodies(one: Contestant, folder: Path) -> Iterator[tuple[str, float]]:
    """8 clients with long requests."""
    for name, size in (("100kb", 100_000), ("1mb", 1_000_000)):
        body = request_body(one.body.model, size)
        yield f"body_{name}", run_wrk(one.body, folder, clients=8, seconds=3, body=body).per_second


def streams(one: Contestant, _: Path) -> Iterator[tuple[str, float]]:
    """64 streams: the time until the first event, with the upstream's own."""
    seen = asyncio.run(stream_load(one.streams["quick"], stream_text("quick"), clients=64, seconds=6))
    yield "first_p50_ms", statistics.median(seen.first_ms)
    yield "first_p99_ms", statistics.quantiles(seen.first_ms, n=100, method="inclusive")[98]


Part = Callable[[Contestant, Path], Iterator[tuple[str, float]]]

PARTS: Mapping[str, Part] = {"calls": calls, "latency": latency, "bodies": bodies, "streams": streams}

_START_PART = "start"

_TITLES: Mapping[str, tuple[str, str, Better]] = {
    "cpu_us": ("processor time of a call of 32 clients", "us", "less"),
    "throughput": ("calls by 32 clients", "req/s", "more"),
    "p50_ms": ("a call of one client, p50", "ms", "less"),
    "p99_ms": ("a call of one client, p99", "ms", "less"),
    "body_100kb": ("calls of 100 KB", "req/s", "more"),
    "body_1mb": ("calls of 1 MB", "req/s", "more"),
    "first_p50_ms": ("first token of 64 streams x 20 events/s, p50", "ms", "less"),
    "first_p99_ms": ("first token of 64 streams x 20 events/s, p99", "ms", "less"),
    "start_s": ("from start to ready, the second time", "s", "less"),
}
_GOAL = 0.95
"""Of what the other checkout reaches."""


def measure(other: Path, parts: tuple[str, ...], repeat: int) -> Iterator[Figure]:
    """The figures of this checkout, with those of the other as the peer's. Raises CommandError."""
    checkouts = (Checkout("other", other), Checkout("this", REPOSITORY))
    samples: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="skep-bench-against-") as name, ExitStack() as stack:
        folder = Path(name)
        body = stack.enter_context(body_upstream(folder / "upstream"))
        events = stack.enter_context(stream_upstream(folder / "streams"))
        found = [stack.enter_context(serving(each, folder / each.name, body, events)) for each in checkouts]
        for one in found:
            run_wrk(one.body, folder, clients=32, seconds=3, body=request_body(body.model))
        for part in (each for each in parts if each != _START_PART):
            # Each is first in every other turn.
            for one in (one for turn in range(repeat) for one in (found if turn % 2 == 0 else found[::-1])):
                for what, value in PARTS[part](one, folder):
                    samples[what, one.name].append(value)
    if _START_PART in parts:
        for _ in range(repeat):
            for each in checkouts:
                samples["start_s", each.name].append(_start_seconds(each))
    for what, (title, unit, better) in _TITLES.items():
        if (what, "this") in samples:
            yield Figure(
                f"gateway.against.{what}",
                f"With everything loaded, against 327c66b: {title}",
                unit,
                better,
                tuple(samples[what, "this"]),
                goal=_GOAL,
                goal_is_ratio=True,
                peer=statistics.median(samples[what, "other"]),
                peer_name="327c66b",
            )


def _start_seconds(checkout: Checkout) -> float:
    with TemporaryDirectory(prefix="skep-bench-against-") as name:
        command = checkout.command(_START, Path(name) / "start")
        return float(run_command(command, checkout.environment, checkout.path).stdout)


def main() -> None:
    """Measure, print, compare, keep."""
    names = (*PARTS, _START_PART)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=5)
    parser.add_argument("other", type=Path, metavar="FOLDER", help="the other checkout, with its .venv-dev")
    parser.add_argument("--only", type=some_of(names), default=names, help=f"some of {','.join(names)}")
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    for figure in measure(parsed.other.resolve(), parsed.only, options.repeat):
        collector.add(figure)
    finish(collector, options)


if __name__ == "__main__":
    main()

"""How fast a gateway relays calls: Skep, LiteLLM, Portkey, and nginx as the limit, one after the other in every round.

    bench/gateway/peers.sh FOLDER
    python -m bench.gateway.run --gateways FOLDER [--only PART,PART] [--contestants NAME,NAME] [--seconds N] [--save]

The upstream of *throughput*, *latency* and *bodies* is nginx with a fixed answer, that of *streams* the scripted provider. All
run on this machine and share its processors, and each gateway is one process. Peers and nginx look after nothing; Skep has
1,000 keys, each with a limit and a budget, prices, its journal, ledger, metrics, logs, and a trace of every tenth call, sent to the upstream.

*throughput*: 32 clients in closed loops (wrk), processor time of the gateway for each call, and Skep without its governance.
*latency*: one client; *added* is the percentile through the gateway less the percentile without one.
*streams*: 512 streams of 4 events a second, and 64 of 20 with the time to the first event. *bodies*: requests of 100 KB and 1 MB.
*cached*: 32 clients that ask the same again and again, of one process, and of one on every processor. *start*: from ``skep up`` until it is ready, with its database, on a data folder that was served before.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import signal
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.gateway.load import request_body, run_wrk
from bench.gateway.programs import (
    KEPT_MODEL,
    SPREAD,
    UNGOVERNED,
    Contestant,
    Governance,
    body_upstream,
    litellm,
    nginx,
    portkey,
    second_start_seconds,
    skep,
    stream_text,
    stream_upstream,
)
from bench.gateway.streams import stream_load
from bench.results import Better, Collector, Figure, add_options, finish, options_of

CONTESTANTS = ("nginx", "litellm", "portkey", "skep")
SECONDS = 10
_CLIENTS = 32
_BODIES = {"100kb": 100_000, "1mb": 1_000_000}
_BODY_CLIENTS = 8
_MANY_STREAMS, _FEW_STREAMS = 512, 64

Samples = Mapping[tuple[str, str], Sequence[float]]
"""What was measured in each round, by contestant and quantity."""


@contextmanager
def contestants(names: Sequence[str], parts: Sequence[str], home: Path, folder: Path) -> Iterator[list[Contestant]]:
    """Start who takes part; the first is *direct*."""
    with ExitStack() as stack:
        body = stack.enter_context(body_upstream(folder / "upstream"))
        streams = stack.enter_context(stream_upstream(folder / "streams"))
        found = [Contestant("direct", body, streams)]
        if "nginx" in names:
            found.append(stack.enter_context(nginx(folder / "nginx", body, streams)))
        if "litellm" in names:
            found.append(stack.enter_context(litellm(folder / "litellm", home, body, streams)))
        if "portkey" in names:
            found.append(stack.enter_context(portkey(folder / "portkey", home, body, streams)))
        if "skep" in names:
            found.append(stack.enter_context(skep(folder / "skep", body, streams, Governance())))
            if "throughput" in parts:
                found.append(stack.enter_context(skep(folder / "ungoverned", body, streams, None)))
            if "cached" in parts:
                workers = os.cpu_count() or 1
                found.append(stack.enter_context(skep(folder / "spread", body, streams, Governance(), workers=workers)))
        yield found


def throughput(one: Contestant, folder: Path, seconds: int) -> Iterator[tuple[str, float]]:
    """Requests in a second, and processor time for each."""
    before = one.cpu_seconds()
    load = run_wrk(one.body, folder, clients=_CLIENTS, seconds=seconds, body=request_body(one.body.model))
    yield "throughput", load.per_second
    if one.pids:
        yield "cpu_us", (one.cpu_seconds() - before) * 1e6 / load.requests


def latency(one: Contestant, folder: Path, seconds: int) -> Iterator[tuple[str, float]]:
    """Percentiles of one client."""
    load = run_wrk(one.body, folder, clients=1, seconds=seconds, body=request_body(one.body.model))
    yield "p50_ms", load.p50_ms
    yield "p99_ms", load.p99_ms


def streams(one: Contestant, _: Path, seconds: int) -> Iterator[tuple[str, float]]:
    """Whether streams come whole, and how soon they begin."""
    for name, clients in (("slow", _MANY_STREAMS), ("quick", _FEW_STREAMS)):
        seen = asyncio.run(stream_load(one.streams[name], stream_text(name), clients=clients, seconds=seconds))
        yield f"{name}_whole", seen.share_whole()
        yield f"{name}_streams", seen.whole / seconds
        if len(seen.first_ms) >= 2:
            yield f"{name}_first_p50_ms", statistics.median(seen.first_ms)
            yield f"{name}_first_p99_ms", statistics.quantiles(seen.first_ms, n=100, method="inclusive")[98]


def bodies(one: Contestant, folder: Path, seconds: int) -> Iterator[tuple[str, float]]:
    """Requests in a second with large bodies."""
    for name, size in _BODIES.items():
        body = request_body(one.body.model, size)
        yield f"body_{name}", run_wrk(one.body, folder, clients=_BODY_CLIENTS, seconds=seconds, body=body).per_second


def cached(one: Contestant, folder: Path, seconds: int) -> Iterator[tuple[str, float]]:
    """Requests in a second that are answered from Skep's cache."""
    if one.name in ("skep", SPREAD):
        kept = replace(one.body, model=KEPT_MODEL)
        load = run_wrk(kept, folder, clients=_CLIENTS, seconds=seconds, body=request_body(KEPT_MODEL))
        yield "cached", load.per_second


def start(one: Contestant, folder: Path, _: int) -> Iterator[tuple[str, float]]:
    """How long Skep takes until it is ready."""
    if one.name == "skep":
        yield "start_s", second_start_seconds(folder / "start")


_ONLY = {UNGOVERNED: "throughput", SPREAD: "cached"}

Part = Callable[[Contestant, Path, int], Iterator[tuple[str, float]]]

PARTS: Mapping[str, Part] = {
    "throughput": throughput,
    "latency": latency,
    "streams": streams,
    "bodies": bodies,
    "cached": cached,
    "start": start,
}


def measure(
    collector: Collector, home: Path, *, names: Sequence[str], parts: Sequence[str], seconds: int, repeat: int
) -> None:
    """Measure everybody and keep the figures. Raises CommandError."""
    samples: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    with TemporaryDirectory(prefix="skep-bench-gateway-") as name, contestants(names, parts, home, Path(name)) as found:
        for one in found:
            # A first look at code and connections, which is no part of any figure.
            run_wrk(one.body, Path(name), clients=_CLIENTS, seconds=min(2, seconds), body=request_body(one.body.model))
        for _, part, one in itertools.product(range(repeat), parts, found):
            # Some are there for one thing only.
            if _ONLY.get(one.name, part) == part:
                for what, value in PARTS[part](one, Path(name), seconds):
                    samples[one.name, what].append(value)
    for figure in figures(samples):
        collector.add(figure)


def figures(samples: Samples) -> Iterator[Figure]:
    """The figures in what was measured: everybody's own, then Skep's promises. Pure."""
    names = [name for name in dict.fromkeys(name for name, _ in samples) if name != "direct"]
    for name in names:
        yield from _own_figures(samples, name)
    if "skep" in names:
        yield from _promises(samples)


_OWN: Mapping[str, tuple[str, str, Better]] = {
    "throughput": (f"calls by {_CLIENTS} clients", "req/s", "more"),
    "cpu_us": ("processor time of a call", "us", "less"),
    "slow_whole": (f"share of {_MANY_STREAMS} streams x 4 events/s that came whole", "", "more"),
    "slow_first_p99_ms": (f"first token of {_MANY_STREAMS} streams x 4 events/s, p99", "ms", "less"),
    "quick_whole": (f"share of {_FEW_STREAMS} streams x 20 events/s that came whole", "", "more"),
    "body_100kb": ("calls of 100 KB", "req/s", "more"),
    "body_1mb": ("calls of 1 MB", "req/s", "more"),
    "cached": (f"calls by {_CLIENTS} clients that are answered from the cache", "req/s", "more"),
    "start_s": ("from start to ready, the second time", "s", "less"),
}
_ADDED = {
    "p50_ms": "added to one client, p50",
    "p99_ms": "added to one client, p99",
    "quick_first_p50_ms": f"added to the first token of {_FEW_STREAMS} streams x 20 events/s, p50",
    "quick_first_p99_ms": f"added to the first token of {_FEW_STREAMS} streams x 20 events/s, p99",
}


def _own_figures(samples: Samples, name: str) -> Iterator[Figure]:
    key = f"gateway.{name.replace(' ', '_')}"
    for what, (title, unit, better) in _OWN.items():
        if (name, what) in samples:
            yield Figure(f"{key}.{what}", f"{name}: {title}", unit, better, tuple(samples[name, what]))
    for what, title in _ADDED.items():
        if (name, what) in samples:
            yield Figure(f"{key}.added_{what}", f"{name}: {title}", "ms", "less", added(samples, name, what))


def added(samples: Samples, name: str, what: str) -> tuple[float, ...]:
    """What each round had more than the same round without a gateway. Pure."""
    return tuple(
        through - without for through, without in zip(samples[name, what], samples["direct", what], strict=True)
    )


_GOALS = {
    "throughput": 4_500.0,
    "cpu_us": 220.0,
    "p50_ms": 0.35,
    "p99_ms": 1.5,
    "slow_whole": 1.0,
    "quick_first_p99_ms": 15.0,
    "cached": 8_000.0,
    "start_s": 2.0,
}
_OF = {"cached": SPREAD}
"""Whose figure a promise is about, where it is not that of one process."""

_RATIOS = (
    ("throughput", "litellm", 35.0),
    ("throughput", "portkey", 3.5),
    ("throughput", "nginx", 0.11),
    ("throughput", UNGOVERNED, 0.75),
    ("body_100kb", "litellm", 5.0),
    ("body_1mb", "litellm", 5.0),
)


def _promises(samples: Samples) -> Iterator[Figure]:
    for what, goal in _GOALS.items():
        whose = _OF.get(what, "skep")
        if (whose, what) not in samples:
            continue
        title, unit, better = _OWN.get(what) or (_ADDED[what], "ms", "less")
        values = added(samples, whose, what) if what in _ADDED else tuple(samples[whose, what])
        yield Figure(f"gateway.promise.{what}", f"{whose.capitalize()}: {title}", unit, better, values, goal=goal)
    for what, peer, goal in _RATIOS:
        if ("skep", what) in samples and (peer, what) in samples:
            title, unit, better = _OWN[what]
            yield Figure(
                f"gateway.promise.{what}_by_{peer.replace(' ', '_')}",
                f"Skep against {peer}: {title}",
                unit,
                better,
                tuple(samples["skep", what]),
                goal=goal,
                goal_is_ratio=True,
                peer=statistics.median(samples[peer, what]),
                peer_name=peer,
            )


def some_of(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads names parted by commas. Raises argparse.ArgumentTypeError."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return names

    return read


def main() -> None:
    """Measure, print, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=3)
    parser.add_argument("--gateways", type=Path, required=True, help="folder made by bench/gateway/peers.sh")
    parser.add_argument("--only", type=some_of(tuple(PARTS)), default=tuple(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument(
        "--contestants", type=some_of(CONTESTANTS), default=CONTESTANTS, help=f"some of {','.join(CONTESTANTS)}"
    )
    parser.add_argument(
        "--seconds", type=int, default=SECONDS, help="of each run of each contestant (default: %(default)s)"
    )
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    # Ended from outside, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    names = tuple(name for name in parsed.contestants if options.peer or name in ("nginx", "skep"))
    measure(
        collector,
        parsed.gateways,
        names=names,
        parts=parsed.only,
        seconds=parsed.seconds,
        repeat=options.repeat,
    )
    finish(collector, options)


if __name__ == "__main__":
    main()

"""The figures of the benchmarks: kept in ``results.json``, shown in ``RESULTS.md``, compared with the last ones kept.

Comparing is pure; only `load`, `save` and `describe_machine` touch the disk or the system.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import psutil
from typing_extensions import override

FOLDER = Path(__file__).parent
RESULTS_JSON = FOLDER / "results.json"
RESULTS_MD = FOLDER / "RESULTS.md"

TOLERANCE = 0.10
"""A change up to this share of the old value is never called one."""

Better = Literal["less", "more"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What figures depend on, without anything that names the machine."""

    cores: int
    memory_gb: int
    processor: str
    python: str

    @override
    def __str__(self) -> str:
        return f"{self.cores} cores ({self.processor}), {self.memory_gb} GB, Python {self.python}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. ``value`` is the median of ``samples``."""

    name: str
    """``<script>.<what>``; the key by which runs are compared."""
    title: str
    unit: str
    better: Better
    samples: tuple[float, ...]
    goal: float | None = None
    """What we promise: a bound from above when less is better, from below when more is; None when we only report."""
    peer: float | None = None
    """The peer's value in the same run; None when there is no peer."""
    peer_name: str = ""
    goal_is_ratio: bool = False
    """The goal bounds ``ratio`` and not ``value``."""
    note: str = ""
    date: str = ""
    machine: Machine | None = None

    @property
    def value(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the smallest and the largest sample: what the run itself did not keep still."""
        return (max(self.samples) - min(self.samples)) / 2

    @property
    def ratio(self) -> float | None:
        """How many times as good as the peer; None when there is none."""
        if not self.peer or not self.value:
            return None
        return self.value / self.peer if self.better == "more" else self.peer / self.value

    @property
    def reaches_goal(self) -> bool | None:
        """Whether the promise is kept; None when there is none."""
        if self.goal is None:
            return None
        if self.goal_is_ratio:
            return self.ratio is not None and self.ratio >= self.goal
        return self.value <= self.goal if self.better == "less" else self.value >= self.goal


@dataclass(frozen=True, slots=True)
class Change:
    """A figure that differs from the one kept. ``factor`` is above 1 when it got worse, below 1 when better."""

    name: str
    unit: str
    before: float
    now: float
    factor: float

    @property
    def is_worse(self) -> bool:
        """Whether it got worse."""
        return self.factor > 1

    @override
    def __str__(self) -> str:
        word = "worse" if self.is_worse else "better"
        times = self.factor if self.is_worse else 1 / self.factor
        return f"{self.name}: {_number(self.before)} -> {_number(self.now)} {self.unit} ({times:.2f} x {word})"


def compare(old: Iterable[Figure], new: Iterable[Figure]) -> list[Change]:
    """What changed by more than the tolerance and by more than both runs' own spread, worst first.

    A figure measured on another machine is compared by its ratio to the peer, or not at all when it has none.
    """
    before = {figure.name: figure for figure in old}
    changes = [
        change
        for figure in new
        if figure.name in before and (change := _change(before[figure.name], figure)) is not None
    ]
    return sorted(changes, key=lambda change: -change.factor)


def _change(old: Figure, new: Figure) -> Change | None:
    if old.machine == new.machine:
        before, now, unit, less_is_better = old.value, new.value, new.unit, new.better == "less"
        noise = old.spread + new.spread
    else:
        if old.ratio is None or new.ratio is None:
            return None
        before, now, unit, less_is_better = old.ratio, new.ratio, "x peer", False
        noise = _ratio_spread(old) + _ratio_spread(new)
    if abs(now - before) <= max(TOLERANCE * abs(before), noise):
        return None
    smaller, larger = sorted((before, now))
    factor = larger / smaller if smaller > 0 else float("inf")
    got_worse = (now > before) == less_is_better
    return Change(new.name, unit, before, now, factor if got_worse else 1 / factor)


def _ratio_spread(figure: Figure) -> float:
    return 0.0 if figure.ratio is None or not figure.value else figure.spread / figure.value * figure.ratio


def merge(old: Iterable[Figure], new: Iterable[Figure]) -> list[Figure]:
    """The kept figures with those measured now in their places, by name."""
    figures = {figure.name: figure for figure in (*old, *new)}
    return [figures[name] for name in sorted(figures)]


def load(path: Path = RESULTS_JSON) -> list[Figure]:
    """The kept figures; none when nothing was kept yet."""
    if not path.exists():
        return []
    return [_figure(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["figures"]]


def save(figures: Sequence[Figure], json_path: Path = RESULTS_JSON, md_path: Path = RESULTS_MD) -> None:
    """Write both files; what `shortfalls.md` beside them tells of missed goals ends the page."""
    content = {"figures": [_plain(figure) for figure in figures]}
    json_path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    told = md_path.with_name("shortfalls.md")
    words = "\n" + told.read_text(encoding="utf-8") if told.exists() else ""
    md_path.write_text(markdown(figures) + words, encoding="utf-8")


def _plain(figure: Figure) -> dict[str, Any]:
    derived = {"value": figure.value, "ratio": figure.ratio}
    return {key: value for key, value in (asdict(figure) | derived).items() if value not in (None, "")}


def _figure(entry: Mapping[str, Any]) -> Figure:
    stated = {key: value for key, value in entry.items() if key not in ("value", "ratio")}
    machine = stated.get("machine")
    # Empty values are not written: a share has no unit.
    return Figure(
        **{"unit": "", **stated, "samples": tuple(entry["samples"]), "machine": Machine(**machine) if machine else None}
    )


def describe_machine() -> Machine:
    """The machine this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        cores=cores,
        memory_gb=round(psutil.virtual_memory().total / 2**30),
        processor=_processor() or platform.machine(),
        python=platform.python_version(),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


@dataclass(slots=True)
class Collector:
    """Takes figures as scripts measure them, prints each, and stamps them with the date and the machine."""

    machine: Machine = field(default_factory=describe_machine)
    figures: list[Figure] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """Keep and print one figure."""
        figure = replace(figure, machine=self.machine, date=datetime.now(UTC).date().isoformat())
        self.figures.append(figure)
        print(line_of(figure), flush=True)


def line_of(figure: Figure) -> str:
    """One figure as a line for the terminal."""
    parts = [f"{figure.name:44s} {_number(figure.value):>9} {figure.unit:8s}"]
    if len(figure.samples) > 1:
        parts.append(f"[{_number(min(figure.samples))}..{_number(max(figure.samples))}]")
    if figure.peer is not None and figure.ratio is not None:
        parts.append(f"{figure.peer_name} {_number(figure.peer)} = {figure.ratio:.2f} x")
    if figure.reaches_goal is not None:
        parts.append(f"goal {_goal(figure)}: {'ok' if figure.reaches_goal else 'MISSED'}")
    return "  ".join(parts)


_INTRODUCTION = """\
# Measured figures

Written by `python -m bench.run --save` from `bench/results.json`; do not edit. Each value is the median of its samples, the
range is from the smallest to the largest. Peers run in the same run on the same files; a ratio above 1 means that Skep is
better. How each figure is taken stands at the top of the script that its name begins with.
"""

_TITLES = {
    "corpus": "The corpus (`bench/corpus.toml`)",
    "indexing": "Indexing (`bench/indexing.py`)",
    "searching": "Searching (`bench/searching.py`)",
    "quality": "Quality of search (`bench/quality.py`)",
    "embedding": "Embedding (`bench/embedding.py`)",
    "freshness": "Freshness (`bench/freshness.py`)",
    "documents": "Documents (`bench/documents.py`)",
    "answers": "First answers without a model (`bench/answers/first_answers.py`)",
    "gateway": "The gateway (`bench/gateway/run.py`)",
    "semantic_cache": "Answers to questions in other words (`bench/semantic_cache.py`)",
}


def markdown(figures: Sequence[Figure]) -> str:
    """The whole of RESULTS.md."""
    parts = [_INTRODUCTION]
    names = [*_TITLES, *sorted({_group(figure) for figure in figures} - set(_TITLES))]
    for name in names:
        rows = [figure for figure in figures if _group(figure) == name]
        if not rows:
            continue
        parts.append(f"## {_TITLES.get(name, name)}\n")
        for when in dict.fromkeys((figure.date, str(figure.machine)) for figure in rows):
            parts.append(f"{when[0]}, {when[1]}\n")
            parts.append(_table([figure for figure in rows if (figure.date, str(figure.machine)) == when]))
    return "\n".join(parts)


def _group(figure: Figure) -> str:
    return figure.name.split(".", 1)[0]


def _table(rows: Sequence[Figure]) -> str:
    lines = ["| what | value | range | goal | | peer | ratio |", "|---|---:|---|---|---|---|---:|"]
    for figure in rows:
        several = len(figure.samples) > 1
        cells = [
            figure.title + (f" ({figure.note})" if figure.note else ""),
            f"{_number(figure.value)} {figure.unit}",
            f"{_number(min(figure.samples))} to {_number(max(figure.samples))}" if several else "",
            _goal(figure),
            {True: "reached", False: "**missed**", None: ""}[figure.reaches_goal],
            "" if figure.peer is None else f"{figure.peer_name}: {_number(figure.peer)}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    if figure.goal_is_ratio:
        return f">= {_number(figure.goal)} x peer"
    return f"{'<=' if figure.better == 'less' else '>='} {_number(figure.goal)}"


def _number(value: float) -> str:
    """Three digits that matter; whole numbers from 1,000 on."""
    if value == 0 or abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 1 else f"{value:.3g}"


@dataclass(frozen=True, slots=True)
class Options:
    """What every benchmark script takes."""

    cache: Path
    repeat: int
    peer: bool
    peer_python: Path | None
    save: bool
    strict: bool


def add_options(parser: argparse.ArgumentParser, *, repeat: int | None) -> None:
    """The options of `Options`."""
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder for downloads (%(default)s)")
    parser.add_argument("--repeat", type=int, default=repeat, help="rounds (default: %(default)s)")
    parser.add_argument("--no-peer", action="store_true", help="without semble")
    parser.add_argument("--peer-python", type=Path, help="interpreter made by bench/peers.sh (default: in the cache)")
    parser.add_argument("--save", action="store_true", help="keep the figures in results.json and RESULTS.md")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when something got worse")


def parse_options(description: str | None, *, repeat: int) -> Options:
    """The command line of one script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=repeat)
    return options_of(parser.parse_args())


def options_of(parsed: argparse.Namespace) -> Options:
    """What `add_options` made of the command line."""
    return Options(parsed.cache, parsed.repeat, not parsed.no_peer, parsed.peer_python, parsed.save, parsed.strict)


def default_cache() -> Path:
    """Where benchmarks keep downloads between runs, outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skep-bench"


def finish(collector: Collector, options: Options) -> None:
    """Say what changed since the figures were kept; keep the new ones if asked; exit with 1 if strict and worse."""
    kept = load()
    changes = compare(kept, collector.figures)
    print("\nagainst the figures kept:" if kept else "\nno figures were kept yet")
    for change in changes:
        print(f"  {change}")
    if kept and not changes:
        print("  nothing changed by more than the noise")
    if options.save:
        save(merge(kept, collector.figures))
    if options.strict and any(change.is_worse for change in changes):
        sys.exit(1)

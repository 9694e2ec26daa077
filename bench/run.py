"""All benchmarks one after the other, compared with the figures kept.

    python -m bench.run [--only indexing,searching,quality,embedding] [--retrieval FOLDER --corpora FOLDER] [--save] [--strict]

Says what got better and worse since the figures were kept: by more than a tenth, and by more than the samples of either run
differ among themselves. On another machine only the ratios to the peers are compared. *quality* needs the retrieval
questions and their source trees (see `bench.quality`) and is left out without them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import embedding, indexing, searching
from bench.corpus import make_corpus
from bench.processes import REPOSITORY
from bench.results import Collector, Figure, Options, add_options, finish, options_of
from bench.semble_command import Semble

SCRIPTS = ("indexing", "searching", "quality", "embedding")

_QUALITY_GOALS = {"ndcg_at_10": 0.86, "architecture": 0.80, "symbol": 0.96}


def run_indexing(options: Options, collector: Collector) -> None:
    """See `bench.indexing`."""
    semble = Semble(options.cache, options.peer_python) if options.peer else None
    indexing.measure(make_corpus(options.cache), semble, options.repeat, collector)


def run_quality(options: Options, retrieval: Path, corpora: Path, collector: Collector) -> None:
    """See `bench.quality`; it runs as a command of its own because it changes constants of ours."""
    with TemporaryDirectory(prefix="skep-bench-") as folder:
        output = Path(folder, "quality.json")
        command = [sys.executable, "-m", "bench.quality", "--retrieval", str(retrieval), "--corpora", str(corpora)]
        if options.peer:
            command += ["--peer-python", str(Semble(options.cache, options.peer_python).python)]
        subprocess.run([*command, "--json", str(output)], cwd=REPOSITORY, check=True)
        for figure in quality_figures(json.loads(output.read_text(encoding="utf-8"))):
            collector.add(figure)


def quality_figures(report: dict[str, Any]) -> list[Figure]:
    """The figures in what `bench.quality --json` wrote. Pure."""
    ours, theirs = report["skep"], report.get("semble")
    peer_name = "semble without vectors" if theirs else ""
    overall = Figure(
        "quality.ndcg_at_10",
        "NDCG@10, mean over repositories",
        "",
        "more",
        (ours["ndcg_at_10"],),
        goal=_QUALITY_GOALS["ndcg_at_10"],
        peer=theirs["ndcg_at_10"] if theirs else None,
        peer_name=peer_name,
    )
    return [
        overall,
        *(
            Figure(
                f"quality.{category}",
                f"NDCG@10, {category} questions",
                "",
                "more",
                (value,),
                goal=_QUALITY_GOALS.get(category),
                peer=theirs["categories"].get(category) if theirs else None,
                peer_name=peer_name,
            )
            for category, value in ours["categories"].items()
        ),
    ]


def parse_only(text: str) -> tuple[str, ...]:
    """Names of scripts, parted by commas. Raises argparse.ArgumentTypeError."""
    names = tuple(text.split(","))
    for name in names:
        if name not in SCRIPTS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SCRIPTS)}")
    return names


def main() -> None:
    """Run what was asked for, print, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, repeat=3)
    parser.add_argument("--only", type=parse_only, default=SCRIPTS, help=f"some of {','.join(SCRIPTS)}")
    parser.add_argument("--retrieval", type=Path, help="folder of the retrieval questions")
    parser.add_argument("--corpora", type=Path, help="folder of the questions' source trees")
    parsed = parser.parse_args()
    options, collector = options_of(parsed), Collector()
    if "indexing" in parsed.only:
        run_indexing(options, collector)
    if "searching" in parsed.only:
        searching.measure(options, searching.load_questions(parsed.retrieval), collector)
    if "quality" in parsed.only:
        if parsed.retrieval and parsed.corpora:
            run_quality(options, parsed.retrieval, parsed.corpora, collector)
        else:
            print("quality is left out: it needs --retrieval and --corpora", file=sys.stderr)
    if "embedding" in parsed.only:
        embedding.measure(make_corpus(options.cache), options.repeat, collector)
    finish(collector, options)


if __name__ == "__main__":
    main()

"""All benchmarks one after the other, compared with the figures kept.

    python -m bench.run [--only NAME,NAME] [--retrieval FOLDER --corpora FOLDER] [--gateways FOLDER] [--save] [--strict]

Says what got better and worse since the figures were kept: by more than a tenth, and by more than the samples of either run
differ among themselves. On another machine only the ratios to the peers are compared. *quality* needs the retrieval
questions and their source trees (see `bench.quality`) and is left out without them, *gateway* the folder that
`bench/gateway/peers.sh` made.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import embedding, freshness, indexing, meanings, searching, side_by_side
from bench.corpus import make_corpus
from bench.gateway import run as gateway
from bench.processes import REPOSITORY
from bench.results import Collector, Figure, Options, add_options, finish, options_of
from bench.semble_command import Semble

SCRIPTS = ("indexing", "searching", "quality", "embedding", "meanings", "freshness", "documents", "gateway")

_LEXICAL_GOALS = {"ndcg_at_10": 0.86, "architecture": 0.80, "symbol": 0.96}
_HYBRID_GOALS = {"ndcg_at_10": 0.89, "architecture": 0.86, "symbol": 0.97}
_DIFFERENCE_GOAL, _RECALL_GOAL = 0.02, 0.95
_SETS = {
    "cosqa_mrr": ("CoSQA, MRR", 0.56),
    "cosqa_mrr_vectors": ("CoSQA, MRR by vectors alone", None),
    "code_chunks_pass_at_5": ("Anthropic's code passages, pass@5", 87.0),
    "code_chunks_pass_at_10": ("Anthropic's code passages, pass@10", 93.0),
    "code_chunks_pass_at_20": ("Anthropic's code passages, pass@20", None),
    "docs_recall_at_3": ("Anthropic's documentation, top-3 recall", 0.72),
    "docs_mrr": ("Anthropic's documentation, MRR", 0.80),
    "described_mrr": ("Files of other projects by what a comment said of them, MRR", None),
    "described_mrr_vectors": (
        "Files of other projects by what a comment said of them, MRR by vectors alone",
        None,
    ),
    "described_mrr_words": ("Files of other projects by what a comment said of them, MRR by words alone", None),
}


def run_indexing(options: Options, collector: Collector) -> None:
    """See `bench.indexing`."""
    semble = Semble(options.cache, options.peer_python) if options.peer else None
    indexing.measure(make_corpus(options.cache), semble, options.repeat, collector)


def run_quality(options: Options, retrieval: Path, corpora: Path, collector: Collector) -> None:
    """See `bench.quality`; it runs as a command of its own because it changes constants of ours."""
    with TemporaryDirectory(prefix="skep-bench-") as folder:
        output = Path(folder, "quality.json")
        command = [sys.executable, "-m", "bench.quality", "--retrieval", str(retrieval), "--corpora", str(corpora)]
        command += ["--sets", "--described", "--leave-one-out"]
        if options.peer:
            command += ["--peer-python", str(Semble(options.cache, options.peer_python).python)]
        subprocess.run([*command, "--json", str(output)], cwd=REPOSITORY, check=True)
        for figure in quality_figures(json.loads(output.read_text(encoding="utf-8"))):
            collector.add(figure)


def run_gateway(options: Options, gateways: Path | None, collector: Collector) -> None:
    """See `bench.gateway.run`."""
    if gateways is None:
        print("gateway is left out: it needs --gateways", file=sys.stderr)
        return
    names = gateway.CONTESTANTS if options.peer else ("nginx", "skep")
    parts, seconds = tuple(gateway.PARTS), gateway.SECONDS
    gateway.measure(collector, gateways, names=names, parts=parts, seconds=seconds, repeat=options.repeat)


def quality_figures(report: dict[str, Any]) -> list[Figure]:
    """The figures in what `bench.quality --json` wrote. Pure."""
    figures = [
        *_ndcg_figures(report, "lexical", "words alone", _LEXICAL_GOALS, "semble without vectors"),
        *_ndcg_figures(report, "hybrid", "words and meaning", _HYBRID_GOALS, "semble with our model"),
    ]
    if "difference_hybrid" in report:
        difference = report["difference_hybrid"]
        samples = (difference["low"], difference["mean"], difference["high"])
        title = "NDCG@10 over semble with our model; the range is the 95 % interval"
        figures.append(Figure("quality.hybrid.difference", title, "", "more", samples, goal=_DIFFERENCE_GOAL))
    if "recall_within_tokens" in report:
        recall = (report["recall_within_tokens"],)
        title = "Right files within 2,000 tokens of results"
        figures.append(Figure("quality.recall_within_tokens", title, "", "more", recall, goal=_RECALL_GOAL))
    sets = report.get("sets", {}) | report.get("described", {})
    figures += [
        Figure(f"quality.{n}", _SETS[n][0], "", "more", (value,), goal=_SETS[n][1]) for n, value in sets.items()
    ]
    if "leave_one_out" in report:
        figures += _ndcg_figures(report, "leave_one_out", "constants of the other eight", {}, "")
    return figures


def _ndcg_figures(
    report: dict[str, Any], which: str, words: str, goals: dict[str, float], peer_name: str
) -> list[Figure]:
    ours, theirs = report[which], report.get(f"semble_{which}")
    values = {"ndcg_at_10": ours["ndcg_at_10"], **ours["categories"]}
    peers = {"ndcg_at_10": theirs["ndcg_at_10"], **theirs["categories"]} if theirs else {}
    titles = {"ndcg_at_10": "mean over repositories"}
    return [
        Figure(
            f"quality.{which}.{name}",
            f"NDCG@10, {words}: {titles.get(name, f'{name} questions')}",
            "",
            "more",
            (value,),
            goal=goals.get(name),
            peer=peers.get(name),
            peer_name=peer_name if theirs else "",
        )
        for name, value in values.items()
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
    parser.add_argument("--gateways", type=Path, help="folder made by bench/gateway/peers.sh")
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
    if "meanings" in parsed.only:
        questions = searching.load_questions(parsed.retrieval)
        meanings.measure(make_corpus(options.cache), options, questions, collector)
    if "freshness" in parsed.only:
        freshness.measure(make_corpus(options.cache), freshness.EDITS, collector)
    if "gateway" in parsed.only:
        run_gateway(options, parsed.gateways, collector)
    finish(collector, options)
    if options.save:
        side_by_side.write()


if __name__ == "__main__":
    main()

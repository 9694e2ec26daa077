"""How well we find, against semble 0.7.0 without vectors and with our embedding model in the place of its own.

    bench/peers.sh PEERS && ../shared/retrieval/fetch_corpora.sh CORPORA
    python -m bench.quality --corpora CORPORA --peer-python PEERS/bin/python [--sets] [--described]

Questions about nine repositories: NDCG@10 by words alone and by words and meanings, with the interval of the difference to the
peer (paired bootstrap over the questions), and how often the right files are within 2,000 tokens of results. With --sets also
CoSQA and Anthropic's passages. With --leave-one-out what our ranking gives on each repository with its constants chosen on the
other eight: what is tuned to one repository shows there as a loss. With --described also questions made of the comments of
other projects and languages (`bench.retrieval.described`), which nothing was chosen by.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.corpus import make_corpus
from bench.results import default_cache
from bench.retrieval.described import load_described
from bench.retrieval.engines import Answer, Engine, files_below, semble_answers
from bench.retrieval.sets import load_code_chunks, load_cosqa, load_docs, recall_at, reciprocal_rank
from skep.knowledge.embedding import Embedder, load_local_embedder
from skep.knowledge.lexical.index import FIELD_WEIGHTS
from skep.knowledge.ranking import rules

REPOSITORY = Path(__file__).resolve().parent.parent
TOP_K = 10

_TOKENS, _CHARACTERS_PER_TOKEN, _OVERHEAD_CHARACTERS = 2_000, 4, 50
"""What an agent reads of an answer, at four characters a token; place and score of a passage take the overhead."""

_RESAMPLES = 10_000

GRID: dict[str, tuple[float, ...]] = {
    "FILE_COHERENCE": (0.2, 0.4, 0.6),
    "PATH_WORDS": (0.75, 1.0),
    "MENTION": (0.5, 1.5),
    "FILE_COHERENCE_REST": (0.0, 0.2),
    "SATURATION": (0.4, 0.5, 0.6),
    "body": (1.0, 1.5, 2.0),
}
"""The constants that were looked at, and the values tried for the leave-one-out figure: those of the ranking rules, and
the weights of the index's fields."""

Search = Callable[[str, int], Answer]
Rows = list[tuple[str, float]]
"""Category and NDCG@10 of each question."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A corpus and its questions."""

    name: str
    root: Path
    """Where the annotations' paths start."""
    indexed: Path
    """The folder below it that is indexed."""
    questions: tuple[str, ...]


def load_measure(retrieval: Path) -> ModuleType:
    """The judge's own ``evaluate.py``, so that everybody is measured alike."""
    spec = importlib.util.spec_from_file_location("retrieval_evaluate", retrieval / "evaluate.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(retrieval / "evaluate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_repositories(retrieval: Path, corpora: Path, *, whole: bool) -> list[Repository]:
    """All repositories of ``repos.json``; ``whole`` indexes each from its top instead of from its ``benchmark_root``."""
    repositories = []
    for spec in json.loads((retrieval / "repos.json").read_text()):
        root = corpora / spec["name"]
        annotations = json.loads((retrieval / "annotations" / f"{spec['name']}.json").read_text())
        indexed = root if whole else root / spec["benchmark_root"]
        if not indexed.is_dir():
            raise FileNotFoundError(f"{indexed}: bring the corpora with {retrieval / 'fetch_corpora.sh'} {corpora}")
        questions = tuple(item["query"] for item in annotations)
        repositories.append(Repository(spec["name"], root, indexed, questions))
    return repositories


def measure(evaluate: ModuleType, repository: Repository, search: Search) -> Rows:
    """NDCG@10 of every question of one repository."""
    rows, _, _ = evaluate.evaluate(repository.name, repository.root, search)
    return [(category, ndcg) for category, ndcg, _, _ in rows]


def mean_of(rows: Rows) -> float:
    """Mean NDCG@10 over the questions."""
    return statistics.mean(ndcg for _, ndcg in rows)


@contextmanager
def constants(values: dict[str, float]) -> Iterator[None]:
    """Search with other constants for a while."""
    homes = {name: FIELD_WEIGHTS if name in FIELD_WEIGHTS else vars(rules) for name in values}
    before = {name: homes[name][name] for name in values}
    try:
        for name, value in values.items():
            homes[name][name] = value
        yield
    finally:
        for name, value in before.items():
            homes[name][name] = value


def leave_one_out(evaluate: ModuleType, engines: dict[Repository, Engine]) -> dict[str, Rows]:
    """Each repository's answers with the constants that are best on the others."""
    settings = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    tried: list[dict[str, Rows]] = []
    for setting in settings:
        with constants(setting):
            tried.append({repo.name: measure(evaluate, repo, engine.search) for repo, engine in engines.items()})
    means = [{name: mean_of(rows) for name, rows in results.items()} for results in tried]
    held_out: dict[str, Rows] = {}
    for left_out in tried[0]:
        others = [name for name in tried[0] if name != left_out]
        best = max(range(len(settings)), key=lambda at: statistics.mean(means[at][name] for name in others))
        held_out[left_out] = tried[best][left_out]
        print(f"  chosen without {left_out:12s} {settings[best]}")
    return held_out


def report(title: str, results: dict[str, Rows]) -> dict[str, Any]:
    """Print and return the figures of one engine."""
    every = [row for rows in results.values() for row in rows]
    by_category = {
        category: statistics.mean(ndcg for kind, ndcg in every if kind == category)
        for category in sorted({kind for kind, _ in every})
    }
    macro = statistics.mean(mean_of(rows) for rows in results.values())
    print(f"{title}: NDCG@10 {macro:.4f}  " + "  ".join(f"{name} {value:.3f}" for name, value in by_category.items()))
    for name, rows in results.items():
        print(f"  {name:12s} {mean_of(rows):.3f}  ({len(rows)} questions)")
    return {
        "ndcg_at_10": macro,
        "categories": by_category,
        "repositories": {name: mean_of(rows) for name, rows in results.items()},
    }


def ask_semble(evaluate: ModuleType, repository: Repository, peer_python: Path, *, vectors: bool) -> Rows:
    """The peer's NDCG@10 on one repository; it answers all questions in one process."""
    answers = semble_answers(peer_python, repository.indexed, repository.questions, TOP_K, vectors=vectors)
    known = dict(zip(repository.questions, answers, strict=True))
    return measure(evaluate, repository, lambda text, _: known[text])


def interval(ours: dict[str, Rows], theirs: dict[str, Rows]) -> tuple[float, float, float]:
    """Difference of the means over repositories, and the 95 % interval of it: questions drawn anew in each repository."""
    numpy = importlib.import_module("numpy")
    random = numpy.random.default_rng(1)
    means = []
    for name, rows in ours.items():
        differences = numpy.array([a[1] - b[1] for a, b in zip(rows, theirs[name], strict=True)])
        drawn = random.integers(0, len(differences), (_RESAMPLES, len(differences)))
        means.append(numpy.concatenate([[differences.mean()], differences[drawn].mean(axis=1)]))
    samples = numpy.mean(means, axis=0)
    low, high = numpy.percentile(samples[1:], [2.5, 97.5])
    return float(samples[0]), float(low), float(high)


def recall_within(evaluate: ModuleType, retrieval: Path, engines: dict[Repository, Engine]) -> float:
    """Mean over all questions of the share of right files among the results that fit into the tokens."""
    shares = []
    for repository, engine in engines.items():
        for item in json.loads((retrieval / "annotations" / f"{repository.name}.json").read_text()):
            wanted = [one for one in evaluate.targets(item) if (repository.root / one[0]).exists()]
            if not wanted:
                continue
            found = engine.within(item["query"], _TOKENS * _CHARACTERS_PER_TOKEN, _OVERHEAD_CHARACTERS)
            shares.append(statistics.mean(any(evaluate.matches(path, one) for path in found) for one in wanted))
    return statistics.mean(shares)


def report_sets(retrieval: Path, embedder: Embedder) -> dict[str, float]:
    """Print and return the figures of the judged sets besides the repositories."""
    figures: dict[str, float] = {}
    with Engine(load_cosqa(retrieval / "cosqa").files, embedder=embedder) as engine:
        judged = load_cosqa(retrieval / "cosqa")
        figures["cosqa_mrr"] = reciprocal_rank(judged, engine.paths)
        figures["cosqa_mrr_vectors"] = reciprocal_rank(judged, lambda text, k: engine.paths(text, k, by_words=False))
    judged = load_code_chunks(retrieval / "anthropic")
    with Engine(judged.files, embedder=embedder) as engine:
        for k in (5, 10, 20):
            figures[f"code_chunks_pass_at_{k}"] = 100 * recall_at(judged, engine.paths, k)
    judged = load_docs(retrieval / "anthropic")
    with Engine(judged.files, kinds=frozenset({"docs"}), embedder=embedder) as engine:
        figures["docs_recall_at_3"] = recall_at(judged, engine.paths, 3)
        figures["docs_mrr"] = reciprocal_rank(judged, engine.paths)
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")
    return figures


def report_described(corpus: Path, embedder: Embedder) -> dict[str, float]:
    """Print and return how well files of other projects are found by what their own comments said of them."""
    judged = load_described(corpus)
    with Engine(judged.files) as engine:
        figures = {"described_mrr_words": reciprocal_rank(judged, engine.paths)}
    with Engine(judged.files, embedder=embedder) as engine:
        figures["described_mrr_vectors"] = reciprocal_rank(
            judged, lambda text, k: engine.paths(text, k, by_words=False)
        )
        figures["described_mrr"] = reciprocal_rank(judged, engine.paths)
    for name, value in figures.items():
        print(f"{name}: {value:.4f}  ({len(judged.questions)} questions)")
    return figures


def parse_arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=Path, required=True, help="folder that fetch_corpora.sh filled")
    parser.add_argument("--retrieval", type=Path, default=REPOSITORY.parent / "shared" / "retrieval")
    parser.add_argument("--peer-python", type=Path, help="interpreter made by bench/peers.sh; without it no peer")
    parser.add_argument("--whole", action="store_true", help="index whole repositories: docs, tests and all")
    parser.add_argument(
        "--leave-one-out", action="store_true", help="also choose constants on eight, report on the ninth"
    )
    parser.add_argument("--sets", action="store_true", help="also CoSQA and Anthropic's passages")
    parser.add_argument("--described", action="store_true", help="also questions made of comments; makes bench.corpus")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def main() -> None:
    """Run all engines and print."""
    options = parse_arguments()
    evaluate = load_measure(options.retrieval)
    repositories = load_repositories(options.retrieval, options.corpora, whole=options.whole)
    kinds = frozenset({"code", "docs", "config"} if options.whole else {"code"})
    embedder = load_local_embedder(threads=2)
    figures: dict[str, Any] = {}
    with ExitStack() as stack:
        words = {one: stack.enter_context(Engine(files_below(one.indexed), kinds=kinds)) for one in repositories}
        both = {
            one: stack.enter_context(Engine(files_below(one.indexed), kinds=kinds, embedder=embedder))
            for one in repositories
        }
        lexical = {one.name: measure(evaluate, one, engine.search) for one, engine in words.items()}
        hybrid = {one.name: measure(evaluate, one, engine.search) for one, engine in both.items()}
        figures["lexical"] = report("skep, words alone", lexical)
        figures["hybrid"] = report("skep", hybrid)
        figures["recall_within_tokens"] = recall_within(evaluate, options.retrieval, both)
        print(f"right files within {_TOKENS} tokens: {figures['recall_within_tokens']:.4f}")
        if options.peer_python:
            for name, ours, vectors in (("lexical", lexical, False), ("hybrid", hybrid, True)):
                peer = {
                    one.name: ask_semble(evaluate, one, options.peer_python, vectors=vectors) for one in repositories
                }
                figures[f"semble_{name}"] = report(f"semble 0.7.0, {name}", peer)
                difference, low, high = interval(ours, peer)
                figures[f"difference_{name}"] = {"mean": difference, "low": low, "high": high}
                print(f"difference {difference:+.4f}, 95 % of it {low:+.4f} to {high:+.4f}")
        if options.leave_one_out:
            title = "skep, words alone, each repository with constants chosen on the others"
            figures["leave_one_out"] = report(title, leave_one_out(evaluate, words))
    if options.sets:
        figures["sets"] = report_sets(options.retrieval, embedder)
    if options.described:
        figures["described"] = report_described(make_corpus(default_cache()).folder, embedder)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

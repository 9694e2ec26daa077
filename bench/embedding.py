"""How fast passages become vectors, against bare onnxruntime loops with the same model on the same texts in the same run.

    python -m bench.embedding [--cache FOLDER] [--repeat N] [--save]

The texts are 400 passages of the corpus, cut by our own chunker from files spread evenly over it. A bare loop gets its texts
tokenised and sorted by length beforehand, outside the time; ours starts from the texts. Two loops, because onnxruntime can be
used in two ways: *one run at a time* gives it all threads inside each run and 32 texts per run, as its examples do; *one run
per thread* computes batches of 1,024 tokens side by side, each in one thread. Ours is compared with the better of the two.
All take turns in every round, so that other load on the machine meets all of them. Loading and memory are measured in
processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, Protocol

from bench.corpus import Corpus, make_corpus
from bench.processes import REPOSITORY, plain_environment
from bench.results import Collector, Figure, finish, parse_options
from skep.knowledge.chunking import parse_file
from skep.knowledge.embedding import BUNDLED_MODEL, load_local_embedder

PASSAGES = 400
RATIO_GOAL = 0.9

_FILES = 400
_TEXTS_PER_RUN = 32
_TOKENS_PER_RUN = 1_024

_FRESH = """
import json, sys, time
import psutil
from skep.knowledge.embedding import load_local_embedder
process, started = psutil.Process(), time.perf_counter()
before = process.memory_info().rss
embedder = load_local_embedder(threads=int(sys.argv[1]))
loaded = time.perf_counter() - started
embedder.embed(["where are retries configured"])
first = time.perf_counter() - started
embedder.embed(json.load(sys.stdin))
print(json.dumps([loaded, first, (process.memory_info().rss - before) / 2**20]))
"""

Batch = dict[str, Any]
"""The inputs of one run."""


def passages(folder: Path) -> list[str]:
    """The corpus's passages, evenly spread over its files. Raises ValueError when there are too few."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found: list[str] = []
    for path in paths[:: max(1, len(paths) // _FILES)]:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [chunk.text for chunk in parse_file(path.name, text).chunks[:20]]
    if len(found) < PASSAGES:
        raise ValueError(f"{folder} has {len(found)} passages in {_FILES} files, not {PASSAGES}")
    return [found[count * len(found) // PASSAGES] for count in range(PASSAGES)]


class Session(Protocol):
    """onnxruntime's InferenceSession; only what we use."""

    def run(self, output_names: None, input_feed: Batch) -> list[object]:
        """All outputs for these inputs."""
        ...


class BareLoops:
    """onnxruntime and the texts' tokens, with nothing of ours between them."""

    def __init__(self, texts: Sequence[str], threads: int) -> None:
        self._onnxruntime, self._numpy = import_module("onnxruntime"), import_module("numpy")
        tokenizer = import_module("tokenizers").Tokenizer.from_file(str(BUNDLED_MODEL / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(256)
        self._ids = sorted((encoding.ids for encoding in tokenizer.encode_batch(list(texts))), key=len, reverse=True)
        self.tokens = sum(len(ids) for ids in self._ids)
        self._threads = threads
        self._alone, self._inside = self._session(1), self._session(threads)
        self._by_texts = list(self._batches(lambda _: _TEXTS_PER_RUN))
        self._by_tokens = list(self._batches(lambda length: max(1, _TOKENS_PER_RUN // length)))

    def one_run_at_a_time(self) -> None:
        """All threads inside each run."""
        for batch in self._by_texts:
            self._inside.run(None, batch)

    def one_run_per_thread(self) -> None:
        """As many runs as threads."""
        with ThreadPoolExecutor(self._threads) as pool:
            list(pool.map(lambda batch: self._alone.run(None, batch), self._by_tokens))

    def _session(self, threads: int) -> Session:
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = str(BUNDLED_MODEL / "model.onnx")
        session: Session = self._onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return session

    def _batches(self, size: Callable[[int], int]) -> list[Batch]:
        batches, start = [], 0
        while start < len(self._ids):
            length = len(self._ids[start])
            rows = self._ids[start : start + size(length)]
            padded, mask = self._numpy.zeros((2, len(rows), length), self._numpy.int64)
            for row, ids in enumerate(rows):
                padded[row, : len(ids)], mask[row, : len(ids)] = ids, 1
            batches.append({"input_ids": padded, "attention_mask": mask})
            start += len(rows)
        return batches


def measure_speed(texts: Sequence[str], threads: int, repeat: int, collector: Collector) -> None:
    """Passages per second of ours and of both loops, in turns."""
    embedder, loops = load_local_embedder(threads=threads), BareLoops(texts, threads)
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: embedder.embed(texts),
        "one run at a time": loops.one_run_at_a_time,
        "one run per thread": loops.one_run_per_thread,
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    embedder.embed(texts[:20])
    for _ in range(repeat):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            rates[name].append(len(texts) / (time.perf_counter() - started))
    best = max((name for name in runs if name != "ours"), key=lambda name: median(rates[name]))
    others = ", ".join(f"{name} {median(rates[name]):.0f}" for name in runs if name not in ("ours", best))
    collector.add(
        Figure(
            f"embedding.passages_per_second_{threads}",
            f"passages embedded per second, {threads} thread{'s' if threads > 1 else ''}",
            "1/s",
            "more",
            tuple(rates["ours"]),
            goal=RATIO_GOAL,
            goal_is_ratio=True,
            peer=median(rates[best]),
            peer_name=f"bare onnxruntime, {best}",
            note=f"{loops.tokens / len(texts):.0f} tokens each" + (f"; {others}" if others else ""),
        )
    )


def measure_fresh(texts: Sequence[str], threads: int, repeat: int, collector: Collector) -> None:
    """Loading time, time to the first vector and memory, each in a process of its own."""
    samples = []
    for _ in range(repeat):
        done = subprocess.run(
            [sys.executable, "-c", _FRESH, str(threads)],
            input=json.dumps(texts[:300]),
            env=plain_environment(PYTHONPATH=os.environ.get("PYTHONPATH", str(REPOSITORY / "src"))),
            capture_output=True,
            text=True,
            check=True,
        )
        samples.append(json.loads(done.stdout))
    loaded, first, memory = (tuple(values) for values in zip(*samples, strict=True))
    collector.add(Figure("embedding.load_seconds", "model and its packages loaded", "s", "less", loaded))
    collector.add(Figure("embedding.first_vector_seconds", "loaded and one question embedded", "s", "less", first))
    collector.add(Figure("embedding.memory_mb", f"memory taken by embedding, {threads} threads", "MB", "less", memory))


def measure(corpus: Corpus, repeat: int, collector: Collector) -> None:
    """Take all figures of this script."""
    texts = passages(corpus.folder)
    for threads in (1, 2):
        measure_speed(texts, threads, repeat, collector)
    measure_fresh(texts, 2, repeat, collector)


def main() -> None:
    """Take the figures, print them, and say what changed since they were kept."""
    options = parse_options(__doc__, repeat=3)
    collector = Collector()
    measure(make_corpus(options.cache), options.repeat, collector)
    finish(collector, options)


if __name__ == "__main__":
    main()

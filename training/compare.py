"""The int8 graphs against the published model: cosine, retrieval, speed, and what batch mates change."""

from __future__ import annotations

import json
import platform
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from encoder import Encoder
from numpy.typing import NDArray
from sessions import TOKENS_PER_BATCH, Batch, batches, embed, session
from tokenizers import Tokenizer

Floats = NDArray[np.floating[Any]]

_TEXTS = {"functions": 400, "questions": 200, "docs": 200, "code": 200}
_SPEED_TEXTS = 150
_ROUNDS = 5
_RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Texts:
    """What is compared on."""

    mixed: list[str]
    """1,000 functions, questions, documentation and code passages."""
    functions: list[str]
    questions: list[str]
    gold: list[int]
    """The place of each question's function."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good one graph's vectors are."""

    cosine: Floats
    """To the published model in torch, of each mixed text."""
    reciprocal_ranks: Floats
    """CoSQA: one over the rank of each question's function among all functions; their mean is the MRR."""
    batch_mates: float
    """The largest difference of one number of a vector between a text embedded alone and among others."""


def read_texts(retrieval: Path) -> Texts:
    """The texts of the retrieval data's folder: CoSQA development split, Anthropic code and documentation."""
    cosqa: dict[str, int] = _json(retrieval / "cosqa/code_idx_map.txt")
    asked = _json(retrieval / "cosqa/cosqa-retrieval-dev-500.json")
    place = {number: count for count, number in enumerate(cosqa.values())}
    pools = {
        "functions": list(cosqa),
        "questions": [row["doc"] for row in asked],
        "docs": [row["text"] for row in _json(retrieval / "anthropic/anthropic_docs.json")],
        "code": [c["content"] for d in _json(retrieval / "anthropic/codebase_chunks.json") for c in d["chunks"]],
    }
    chosen = random.Random(1)
    mixed = [text for kind, count in _TEXTS.items() for text in chosen.sample(pools[kind], count)]
    return Texts(mixed, pools["functions"], pools["questions"], [place[row["retrieval_idx"]] for row in asked])


def published_vectors(encoder: Encoder, work: Sequence[Batch]) -> Floats:
    """The vectors of the published model, computed by torch."""
    out = np.empty((sum(len(batch.places) for batch in work), encoder.norm.weight.shape[0]), np.float32)
    with torch.inference_mode():
        for batch in work:
            out[batch.places] = encoder(torch.from_numpy(batch.ids), torch.from_numpy(batch.mask)).numpy()
    return out


def measure_quality(graph: bytes, tokenizer: Tokenizer, texts: Texts, published: Floats) -> Quality:
    """``published`` are the vectors of ``texts.mixed``. Takes one to two minutes."""
    run = session(graph)

    def vectors(some: Sequence[str], tokens: int = TOKENS_PER_BATCH) -> Floats:
        return embed(run, list(batches(tokenizer, some, tokens)))

    mixed = vectors(texts.mixed)
    scores = vectors(texts.questions) @ vectors(texts.functions).T
    gold = scores[np.arange(len(texts.gold)), texts.gold]
    some = slice(None, None, 5)
    alone = np.concatenate([vectors([text]) for text in texts.mixed[some]])
    return Quality(
        cosine=(mixed * published).sum(axis=1),
        reciprocal_ranks=1.0 / (1 + (scores > gold[:, None]).sum(axis=1)),
        batch_mates=max(
            float(np.abs(alone - other).max()) for other in (mixed[some], vectors(texts.mixed[some], 4096))
        ),
    )


def measure_speed(graphs: Mapping[str, bytes], tokenizer: Tokenizer, texts: Texts) -> dict[str, dict[str, float]]:
    """Texts per second of each graph in turns: by processor time in one thread, by wall time in one and in two."""
    work = list(batches(tokenizer, texts.mixed[:: len(texts.mixed) // _SPEED_TEXTS]))
    count = sum(len(batch.places) for batch in work)
    runs = {name: session(graph) for name, graph in graphs.items()}
    rates: dict[str, dict[str, list[float]]] = {name: {"cpu": [], "one": [], "two": []} for name in graphs}
    for _ in range(_ROUNDS):
        for name, run in runs.items():
            started, started_cpu = time.perf_counter(), time.process_time()
            embed(run, work, workers=1)
            rates[name]["cpu"].append(count / (time.process_time() - started_cpu))
            rates[name]["one"].append(count / (time.perf_counter() - started))
            started = time.perf_counter()
            embed(run, work, workers=2)
            rates[name]["two"].append(count / (time.perf_counter() - started))
    return {name: {kind: round(median(values), 1) for kind, values in kinds.items()} for name, kinds in rates.items()}


def summary(quality: Mapping[str, Quality], speed: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """All figures, for JSON. The first graph is the one that the others' CoSQA loss is told against."""
    original = next(iter(quality.values())).reciprocal_ranks
    graphs = {}
    for name, found in quality.items():
        low, high = _interval(found.reciprocal_ranks - original)
        graphs[name] = {
            "megabytes": round(sizes[name] / 1e6, 1),
            "cosine_mean": _digits(found.cosine.mean()),
            "cosine_1_percent": _digits(float(np.percentile(found.cosine, 1))),
            "cosine_least": _digits(found.cosine.min()),
            "cosqa_mrr": _digits(found.reciprocal_ranks.mean()),
            "cosqa_mrr_change_95_percent": [_digits(low), _digits(high)],
            "texts_per_second": speed[name],
            "batch_mates": float(f"{found.batch_mates:.1e}"),
        }
    return {"measured": datetime.now(UTC).date().isoformat(), "processor": _processor(), "graphs": graphs}


def _interval(changes: Floats) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of paired changes."""
    drawn = np.random.default_rng(1).integers(0, len(changes), (_RESAMPLES, len(changes)))
    low, high = np.percentile(changes[drawn].mean(axis=1), (2.5, 97.5))
    return float(low), float(high)


def _digits(value: float) -> float:
    return round(float(value), 4)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _json(path: Path) -> Any:  # noqa: ANN401  # whatever the file holds
    return json.loads(path.read_text(encoding="utf-8"))

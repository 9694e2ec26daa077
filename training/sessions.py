"""Running a graph over texts: tokenising, batching by length, one session per thread count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

MAX_TOKENS = 256
TOKENS_PER_BATCH = 1024
LENGTH_STEP = 8
DIMENSIONS = 384


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts of similar length: their places in the whole, and the two inputs of the graph, (texts, length) each."""

    places: list[int]
    ids: NDArray[np.int64]
    mask: NDArray[np.int64]

    def feed(self) -> dict[str, NDArray[np.int64]]:
        """The inputs by name."""
        return {"input_ids": self.ids, "attention_mask": self.mask}


def load_tokenizer(content: bytes) -> Tokenizer:
    """The published tokenizer, cutting at 256 tokens as sentence-transformers does, without padding."""
    tokenizer: Tokenizer = Tokenizer.from_buffer(content)
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def batches(tokenizer: Tokenizer, texts: Sequence[str], tokens: int = TOKENS_PER_BATCH) -> Iterator[Batch]:
    """The texts, longest first, as the package does it: lengths rounded up to eights, one length and ``tokens`` per batch."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(texts)), key=lambda place: -len(encoded[place]))
    for length, same in groupby(order, key=lambda place: -(-len(encoded[place]) // LENGTH_STEP) * LENGTH_STEP):
        places, size = list(same), max(1, tokens // length)
        for start in range(0, len(places), size):
            yield _batch(encoded, places[start : start + size], length)


def _batch(encoded: Sequence[Sequence[int]], places: list[int], length: int) -> Batch:
    ids, mask = np.zeros((2, len(places), length), np.int64)
    for row, place in enumerate(places):
        count = len(encoded[place])
        ids[row, :count], mask[row, :count] = encoded[place], 1
    return Batch(places, ids, mask)


def session(graph: bytes, threads: int = 1) -> ort.InferenceSession:
    """A session on the processor with so many threads inside one run."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def embed(run: ort.InferenceSession, work: Sequence[Batch], workers: int = 2) -> NDArray[np.float32]:
    """The vectors of all batches in the order of the texts."""
    out = np.empty((sum(len(batch.places) for batch in work), DIMENSIONS), np.float32)
    with ThreadPoolExecutor(workers) as pool:
        for batch, rows in zip(work, pool.map(lambda b: run.run(None, b.feed())[0], work), strict=True):
            out[batch.places] = rows
    return out

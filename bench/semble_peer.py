"""Answers questions with semble, lexical only. Runs in the peers' environment (bench/peers.sh), not in ours.

Reads one JSON object from stdin: ``{"root": folder, "questions": [text], "top_k": n}``; writes one to stdout:
``{"chunks": n, "seconds": index time, "answers": [[[path, start_line, end_line], ...], ...]}``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np  # type: ignore[import-not-found, unused-ignore]  # only the peers' environment has it
from semble.index.create import create_index_from_path
from semble.search import search

_DIMENSIONS = 8


class _NoModel:
    """Stands where semble wants an embedding model; with alpha 0 its vectors have no part in any score."""

    dim = _DIMENSIONS

    def encode(self, texts: Sequence[str], **_: object) -> np.ndarray[Any, Any]:
        return np.full((len(texts), _DIMENSIONS), 0.001, dtype=np.float32)


def main() -> None:
    """Index, answer, print."""
    task = json.load(sys.stdin)
    root, model = Path(task["root"]), _NoModel()
    started = time.perf_counter()
    bm25, vectors, chunks, _ = create_index_from_path(root, model, display_root=root)
    seconds = time.perf_counter() - started
    answers = []
    for question in task["questions"]:
        found = search(question, model, vectors, bm25, chunks, task["top_k"], alpha=0.0)
        answers.append([(hit.chunk.file_path, hit.chunk.start_line, hit.chunk.end_line) for hit in found])
    json.dump({"chunks": len(chunks), "seconds": seconds, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()

"""Answers questions with semble. Runs in the peers' environment (bench/peers.sh), not in ours.

Reads one JSON object from stdin: ``{"root": folder, "questions": [text], "top_k": n, "model": command}``; writes one to stdout:
``{"chunks": n, "seconds": index time, "answers": [[[path, start_line, end_line], ...], ...]}``. ``model`` starts
bench/embedding_pipe.py in our environment, whose model then takes the place of semble's; empty for words alone.
"""

from __future__ import annotations

import json
import subprocess
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


class _OurModel:
    """The model of our package, in the place of semble's: a process of our environment computes."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._into, self._out = self._process.stdin, self._process.stdout
        self.dim: int = json.loads(self._out.readline())

    def encode(self, texts: Sequence[str] | str, **_: object) -> np.ndarray[Any, Any]:
        """One row for each text, as semble's own model gives them."""
        rows = [texts] if isinstance(texts, str) else list(texts)
        self._into.write(json.dumps(rows).encode() + b"\n")
        self._into.flush()
        content = self._out.read(4 * self.dim * len(rows))
        vectors = np.frombuffer(content, dtype=np.float32).reshape(len(rows), self.dim)
        return vectors[0] if isinstance(texts, str) else vectors


def main() -> None:
    """Index, answer, print."""
    task = json.load(sys.stdin)
    root, model = Path(task["root"]), _OurModel(task["model"]) if task["model"] else _NoModel()
    alpha = None if task["model"] else 0.0
    started = time.perf_counter()
    bm25, vectors, chunks, _ = create_index_from_path(root, model, display_root=root)
    seconds = time.perf_counter() - started
    answers = []
    for question in task["questions"]:
        found = search(question, model, vectors, bm25, chunks, task["top_k"], alpha=alpha)
        answers.append([(hit.chunk.file_path, hit.chunk.start_line, hit.chunk.end_line) for hit in found])
    json.dump({"chunks": len(chunks), "seconds": seconds, "answers": answers}, sys.stdout)


if __name__ == "__main__":
    main()

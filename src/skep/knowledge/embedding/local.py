"""The embedding model that comes with Skep, computed here: onnxruntime on the processor, no network, ever.

onnxruntime, tokenizers and numpy are imported when a model is loaded, because a command that embeds nothing should not wait
for them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from skep.knowledge.embedding.batching import padded_length, plan_batches
from skep.knowledge.embedding.interfaces import (
    EmbeddingFailedError,
    EmbeddingModelDamagedError,
    EmbeddingModelMissingError,
    EmbeddingRuntimeMissingError,
)
from skep.knowledge.embedding.models import MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE, Manifest
from skep.knowledge.embedding.tokens import Tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUNDLED_MODEL = Path(__file__).parent / "minilm"
"""The folder of the model that is part of the package."""

TOKENS_PER_BATCH = 1024
"""With padding. Best of 256 to 16,384 with one thread per batch (bench/embedding.py): 16,384 costs a third, because what one
layer hands to the next no longer stays in the processor's cache."""

_SILENT = 3
"""onnxruntime's log level for errors only; they reach us as exceptions anyway."""


class Session(Protocol):
    """onnxruntime's InferenceSession; only what we use."""

    def run(self, output_names: None, input_feed: Mapping[str, object]) -> list[NDArray[np.float32]]:
        """All outputs for these inputs."""
        ...


class LocalEmbedder:
    """A loaded model. Made by :func:`load_local_embedder`; keeps no thread and no file open."""

    def __init__(self, manifest: Manifest, tokens: Tokens, session: Session, threads: int, niceness: int) -> None:
        self._manifest, self._tokens, self._session = manifest, tokens, session
        self._threads, self._niceness = threads, niceness

    @property
    def name(self) -> str:
        """The model and its revision."""
        return self._manifest.full_name

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._manifest.dimensions

    @property
    def max_tokens(self) -> int:
        """How many word pieces count, the marks of start and end included."""
        return self._manifest.max_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of unit length per text, in order; see :class:`Embedder`.

        What fits one batch, a question for instance, is computed in the calling thread at its own priority; more is shared
        among the threads given at loading, so many per call, at the niceness given there. Hand over thousands of texts at a
        time rather than tens: only among many are there others of the same length. Memory grows by 2 kB per text. On one
        machine a text has the same vector to the last bit, whatever it is computed among and in however many threads.
        """
        numpy = import_module("numpy")
        ids = [numpy.asarray(self._tokens.ids(text), numpy.uint16) for text in texts]
        vectors: NDArray[np.float32] = numpy.empty((len(ids), self.dimensions), numpy.float32)
        batches = plan_batches([len(one) for one in ids], TOKENS_PER_BATCH)
        if len(batches) < 2:
            for places in batches:
                vectors[places] = self._run(ids, places)
            return vectors
        threads = min(self._threads, len(batches))
        with ThreadPoolExecutor(threads, "skep-embed", initializer=lower_priority, initargs=(self._niceness,)) as pool:
            rows = pool.map(lambda places: self._run(ids, places), batches)
            for places, found in zip(batches, rows, strict=True):
                vectors[places] = found
        return vectors

    def count_tokens(self, texts: Sequence[str]) -> int:
        """How many word pieces of the texts `embed` looks at, the marks of start and end included."""
        return sum(len(self._tokens.ids(text)) for text in texts)

    def _run(self, ids: list[NDArray[np.uint16]], places: list[int]) -> NDArray[np.float32]:
        """The vectors of one batch, all of one padded length."""
        numpy = import_module("numpy")
        length = padded_length(len(ids[places[0]]))
        padded, mask = numpy.zeros((2, len(places), length), numpy.int64)
        for row, place in enumerate(places):
            padded[row, : len(ids[place])], mask[row, : len(ids[place])] = ids[place], 1
        try:
            return self._session.run(None, {"input_ids": padded, "attention_mask": mask})[0]
        except Exception as error:
            raise EmbeddingFailedError(name=self.name, reason=str(error)) from error


def load_local_embedder(folder: Path = BUNDLED_MODEL, *, threads: int = 1, niceness: int = 0) -> LocalEmbedder:
    """Read a model's folder (``manifest.json``, ``model.onnx``, ``tokenizer.json``) and make it ready.

    Every byte is compared with the manifest's hashes, which takes less than the loading itself.

    Args:
        folder: where the model lies.
        threads: how many batches one call computes at the same time, 1 or more; each takes one core.
        niceness: how far those threads step back behind other work, 0 to 19; 0 changes nothing. Linux only.

    Raises:
        EmbeddingRuntimeMissingError: a package that it runs on cannot be imported.
        EmbeddingModelMissingError: a file cannot be read.
        EmbeddingModelDamagedError: a file is not what the manifest states, or onnxruntime does not understand it.
    """
    _import("numpy")
    onnxruntime, tokenizers = _import("onnxruntime"), _import("tokenizers")
    path = folder / MANIFEST_FILE
    try:
        manifest = Manifest.parse(read_model_file(path))
    except ValueError as error:
        raise EmbeddingModelDamagedError(path=path, reason=str(error)) from error
    graph = _read_checked(folder / MODEL_FILE, manifest)
    words = _read_checked(folder / TOKENIZER_FILE, manifest)
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(words)
        # The published file cuts and pads at 128; cutting is ours, padding goes by batch.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokens = Tokens(tokenizer, manifest.max_tokens)
    except Exception as error:
        raise EmbeddingModelDamagedError(path=folder / TOKENIZER_FILE, reason=str(error)) from error
    try:
        session = _session(onnxruntime, graph)
    except Exception as error:
        raise EmbeddingModelDamagedError(path=folder / MODEL_FILE, reason=str(error)) from error
    return LocalEmbedder(manifest, tokens, session, threads, niceness)


def lower_priority(niceness: int) -> None:
    """Let the calling thread alone step back; 0 does nothing. Does nothing where threads share their process's priority."""
    if niceness and sys.platform == "linux":
        # A container may refuse any change; then the work goes on as it is.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def _session(onnxruntime: ModuleType, graph: bytes) -> Session:
    """A session that computes in the thread that calls it, and starts none of its own: those spin while they wait for each
    other, which halves what a core achieves next to other work.
    """
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    session: Session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session


def _import(package: str) -> ModuleType:
    try:
        return import_module(package)
    except ImportError as error:
        raise EmbeddingRuntimeMissingError(package=package, reason=str(error)) from error


def read_model_file(path: Path) -> bytes:
    """Raises EmbeddingModelMissingError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmbeddingModelMissingError(path=path, reason=error.strerror or str(error)) from error


def _read_checked(path: Path, manifest: Manifest) -> bytes:
    content = read_model_file(path)
    found, stated = hashlib.sha256(content).hexdigest(), manifest.sha256.get(path.name)
    if found != stated:
        raise EmbeddingModelDamagedError(path=path, reason=f"its SHA-256 is {found}, not {stated}")
    return content

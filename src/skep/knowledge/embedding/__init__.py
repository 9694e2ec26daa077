"""Turning texts into vectors: the contract, and the local model that comes with the package."""

from __future__ import annotations

from skep.knowledge.embedding.interfaces import (
    Embedder,
    EmbeddingDisabledError,
    EmbeddingFailedError,
    EmbeddingModelDamagedError,
    EmbeddingModelMissingError,
    EmbeddingRuntimeMissingError,
)
from skep.knowledge.embedding.lazy import LazyEmbedder, open_local_embedder
from skep.knowledge.embedding.local import BUNDLED_MODEL, LocalEmbedder, load_local_embedder

__all__ = [
    "BUNDLED_MODEL",
    "Embedder",
    "EmbeddingDisabledError",
    "EmbeddingFailedError",
    "EmbeddingModelDamagedError",
    "EmbeddingModelMissingError",
    "EmbeddingRuntimeMissingError",
    "LazyEmbedder",
    "LocalEmbedder",
    "load_local_embedder",
    "open_local_embedder",
]

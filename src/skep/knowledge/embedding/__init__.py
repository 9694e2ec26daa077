"""Turning texts into vectors: the contract, and the local model that comes with the package."""

from __future__ import annotations

from skep.knowledge.embedding.interfaces import (
    Embedder,
    EmbeddingFailedError,
    EmbeddingModelDamagedError,
    EmbeddingModelMissingError,
    EmbeddingRuntimeMissingError,
)
from skep.knowledge.embedding.local import BUNDLED_MODEL, LocalEmbedder, load_local_embedder

__all__ = [
    "BUNDLED_MODEL",
    "Embedder",
    "EmbeddingFailedError",
    "EmbeddingModelDamagedError",
    "EmbeddingModelMissingError",
    "EmbeddingRuntimeMissingError",
    "LocalEmbedder",
    "load_local_embedder",
]

"""The local model, loaded when the first text is embedded: most commands embed nothing, and loading takes a quarter second."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skep.knowledge.embedding.interfaces import EmbeddingModelDamagedError
from skep.knowledge.embedding.local import BUNDLED_MODEL, LocalEmbedder, load_local_embedder, read_model_file
from skep.knowledge.embedding.models import MANIFEST_FILE, Manifest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LazyEmbedder:
    """An `Embedder` that reads only the model's manifest until it is used. Made by :func:`open_local_embedder`."""

    def __init__(self, folder: Path, manifest: Manifest, *, threads: int, niceness: int) -> None:
        self._folder, self._manifest = folder, manifest
        self._threads, self._niceness = threads, niceness
        self._loading = threading.Lock()
        self._loaded: LocalEmbedder | None = None

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
        """How many word pieces count."""
        return self._manifest.max_tokens

    def load(self) -> LocalEmbedder:
        """The model, loaded now if it was not before; the others wait. Raises what `load_local_embedder` raises."""
        with self._loading:
            if self._loaded is None:
                self._loaded = load_local_embedder(self._folder, threads=self._threads, niceness=self._niceness)
            return self._loaded

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`Embedder`."""
        return self.load().embed(texts)

    def count_tokens(self, texts: Sequence[str]) -> int:
        """See :class:`LocalEmbedder`."""
        return self.load().count_tokens(texts)


def open_local_embedder(folder: Path = BUNDLED_MODEL, *, threads: int = 1, niceness: int = 0) -> LazyEmbedder:
    """The model of a folder, not loaded yet; arguments as for `load_local_embedder`.

    Raises EmbeddingModelMissingError, EmbeddingModelDamagedError for its manifest alone.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = Manifest.parse(read_model_file(path))
    except ValueError as error:
        raise EmbeddingModelDamagedError(path=path, reason=str(error)) from error
    return LazyEmbedder(folder, manifest, threads=threads, niceness=niceness)

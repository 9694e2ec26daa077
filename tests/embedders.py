"""An embedding model for tests: what it finds near can be read from the texts, and it counts its work."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from skep.errors import SkepError

DIMENSIONS = 48


@dataclass
class WordEmbedder:
    """Texts are near that share words, or words that ``synonyms`` calls the same."""

    name: str = "words@1"
    synonyms: Mapping[str, str] = field(default_factory=dict)
    embedded: list[str] = field(default_factory=list)
    """Every text it was given."""
    before: Callable[[Sequence[str]], None] = lambda texts: None
    """Called with the texts before they are embedded."""
    failure: SkepError | None = None
    """What it raises instead of answering."""

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return DIMENSIONS

    @property
    def max_tokens(self) -> int:
        """No text is too long for it."""
        return 1_000_000

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of unit length per text."""
        if self.failure is not None:
            raise self.failure
        self.before(texts)
        self.embedded += texts
        vectors = np.full((len(texts), DIMENSIONS), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, zlib.crc32(self.synonyms.get(word, word).encode()) % DIMENSIONS] += 1
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

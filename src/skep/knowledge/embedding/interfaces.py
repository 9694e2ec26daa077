"""What turns texts into vectors, and how that fails.

UsageError
└── EmbeddingDisabledError         a setting says so
UnavailableError
├── EmbeddingRuntimeMissingError   onnxruntime, tokenizers or numpy cannot be imported
├── EmbeddingModelMissingError     the model's folder or a file of it is not there
├── EmbeddingModelDamagedError     a file is not the one that the manifest states
└── EmbeddingFailedError           the model was loaded but could not compute
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from skep.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into vectors whose dot product says how near their meanings are.

    Questions and passages are embedded alike. Vectors of two embedders can be compared only when their names are equal.
    Safe to use from several threads.
    """

    @property
    def name(self) -> str:
        """What vectors are kept under; it changes whenever the same text would get another vector."""
        ...

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        ...

    @property
    def max_tokens(self) -> int:
        """How much of a text counts, in the model's own tokens; what comes after is not looked at."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of unit length per text, in the order of the texts: (texts, dimensions).

        Any text has a vector, the empty one too. No prefix is added, neither to questions nor to passages. From machine to
        machine a vector may differ in its last digits; compare by cosine, never by equality. Blocks for the whole
        computation.

        Raises:
            UnavailableError: one of the above; nothing was computed.
        """
        ...


class EmbeddingDisabledError(UsageError):
    """Embedding is switched off by the setting embedding.enabled."""

    fix = "Leave the setting out, or set it to true."


class EmbeddingRuntimeMissingError(UnavailableError):
    """The local embedding model needs {package}, which cannot be imported: {reason}"""

    fix = "Install Skep's dependencies again from requirements.lock; a platform without wheels of {package} cannot embed locally."


class EmbeddingModelMissingError(UnavailableError):
    """The embedding model's file {path} cannot be read: {reason}"""

    fix = "Install Skep again; the model is part of the package."


class EmbeddingModelDamagedError(UnavailableError):
    """The embedding model's file {path} is damaged: {reason}"""

    fix = "Install Skep again; the model is part of the package."


class EmbeddingFailedError(UnavailableError):
    """The embedding model {name} could not compute: {reason}"""

    fix = "Check the free memory; if it happens again, run with fewer embedding threads."

"""What a model's folder says about itself."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

MANIFEST_FILE, MODEL_FILE, TOKENIZER_FILE = "manifest.json", "model.onnx", "tokenizer.json"

_REVISION_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Manifest:
    """The parts of ``manifest.json`` that matter at run time; the file says also how the model was made and measured."""

    name: str
    dimensions: int
    max_tokens: int
    """Including the two that mark start and end."""
    sha256: dict[str, str]
    """Of the model and of the tokenizer, by file name, lower-case hexadecimal."""

    @property
    def revision(self) -> str:
        """Changes with all that changes a vector: the bytes of either file, and where a text is cut."""
        parts = (self.sha256[MODEL_FILE], self.sha256[TOKENIZER_FILE], str(self.max_tokens))
        return hashlib.sha256(" ".join(parts).encode("ascii")).hexdigest()[:_REVISION_DIGITS]

    @property
    def full_name(self) -> str:
        """The model and its revision: ``all-MiniLM-L6-v2-int8@0123456789ab``."""
        return f"{self.name}@{self.revision}"

    @classmethod
    def parse(cls, content: bytes) -> Manifest:
        """Read the JSON document. Raises ValueError when something is missing or of another type."""
        try:
            data = json.loads(content)
            return cls(
                name=str(data["name"]),
                dimensions=int(data["dimensions"]),
                max_tokens=int(data["max_tokens"]),
                sha256={file: str(data["files"][file]) for file in (MODEL_FILE, TOKENIZER_FILE)},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

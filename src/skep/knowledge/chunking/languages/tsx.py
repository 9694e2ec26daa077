"""TSX: TypeScript whose ``<`` may open an element."""

from __future__ import annotations

from skep.knowledge.chunking.language import Language
from skep.knowledge.chunking.languages.typescript import grammar

LANGUAGE = Language(name="tsx", kind="code", extensions=(".tsx",), grammar=grammar("language_tsx"))

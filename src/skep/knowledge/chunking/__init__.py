"""Cutting files into passages: the language of a file, its chunks and the symbols it defines.

A language is one file in ``languages/`` with one row, listed in ``registry.LANGUAGES``, and a fixture in the tests.
"""

from __future__ import annotations

from skep.knowledge.chunking.interfaces import DuplicateLanguageError
from skep.knowledge.chunking.language import Grammar, Language
from skep.knowledge.chunking.registry import LANGUAGES, Registry, build_registry, language_of
from skep.knowledge.chunking.service import CHUNKER_VERSION, code_of, language_of_file, parse_file

__all__ = [
    "CHUNKER_VERSION",
    "LANGUAGES",
    "DuplicateLanguageError",
    "Grammar",
    "Language",
    "Registry",
    "build_registry",
    "code_of",
    "language_of",
    "language_of_file",
    "parse_file",
]

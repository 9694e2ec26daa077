"""The visible list of every language, and how a file finds its row in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from skep.knowledge.chunking.interfaces import DuplicateLanguageError
from skep.knowledge.chunking.language import Language
from skep.knowledge.chunking.languages import (
    bash,
    c,
    cpp,
    csharp,
    css,
    elixir,
    go,
    haskell,
    html,
    java,
    javascript,
    json,
    jupyter,
    kotlin,
    lua,
    markdown,
    php,
    plain,
    python,
    rst,
    ruby,
    rust,
    scala,
    scss,
    sql,
    swift,
    toml,
    tsx,
    typescript,
    yaml,
    zig,
)

LANGUAGES: tuple[Language, ...] = (
    python.LANGUAGE,
    javascript.LANGUAGE,
    typescript.LANGUAGE,
    tsx.LANGUAGE,
    go.LANGUAGE,
    rust.LANGUAGE,
    java.LANGUAGE,
    c.LANGUAGE,
    cpp.LANGUAGE,
    csharp.LANGUAGE,
    kotlin.LANGUAGE,
    scala.LANGUAGE,
    swift.LANGUAGE,
    zig.LANGUAGE,
    php.LANGUAGE,
    ruby.LANGUAGE,
    lua.LANGUAGE,
    bash.LANGUAGE,
    elixir.LANGUAGE,
    haskell.LANGUAGE,
    sql.LANGUAGE,
    html.LANGUAGE,
    css.LANGUAGE,
    json.LANGUAGE,
    yaml.LANGUAGE,
    toml.LANGUAGE,
    jupyter.LANGUAGE,
    markdown.LANGUAGE,
    rst.LANGUAGE,
    *scss.LANGUAGES,
    *plain.LANGUAGES,
)

_VERSION = re.compile(r"[\d.]+$")


@dataclass(frozen=True)
class Registry:
    """Languages by everything a file can be known by."""

    by_name: Mapping[str, Language]
    by_extension: Mapping[str, Language]
    by_file_name: Mapping[str, Language]
    by_shebang: Mapping[str, Language]

    def find(self, path: str, first_line: str = "") -> Language:
        """The language of a file: by its whole name, its extension, its name before the first dot
        (``Dockerfile.dev``), the interpreter in ``first_line``; else ``text``.
        """
        file_name = path.rpartition("/")[2].lower()
        stem, dot, extension = file_name.rpartition(".")
        return (
            self.by_file_name.get(file_name)
            or self.by_extension.get(dot + extension if stem else "")
            or self.by_file_name.get(file_name.partition(".")[0])
            or self.by_shebang.get(_interpreter(first_line))
            or self.by_name["text"]
        )


def _interpreter(first_line: str) -> str:
    """``python`` for ``#!/usr/bin/env -S python3.11 -u``; empty when the line is no shebang."""
    if not first_line.startswith("#!"):
        return ""
    # The kernel reads 256 bytes of a shebang (Linux BINPRM_BUF_SIZE).
    words = [word.rpartition("/")[2] for word in first_line[2:256].split()]
    if words and words[0] == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    return _VERSION.sub("", words[0].lower()) if words else ""


def _claims(language: Language) -> Iterator[tuple[str, str]]:
    """Everything a row claims for itself, as (what, claim)."""
    yield "name", language.name
    yield from (("extension", claim) for claim in language.extensions)
    yield from (("file name", claim) for claim in language.file_names)
    yield from (("shebang", claim) for claim in language.shebangs)


def build_registry(languages: Iterable[Language]) -> Registry:
    """Index the rows.

    Raises:
        DuplicateLanguageError: two rows have a name, extension, file name or shebang in common.
    """
    owners: dict[str, dict[str, Language]] = {"name": {}, "extension": {}, "file name": {}, "shebang": {}}
    for language in languages:
        for what, claim in _claims(language):
            first = owners[what].setdefault(claim, language)
            if first is not language:
                raise DuplicateLanguageError(what=what, claim=claim, first=first.name, second=language.name)
    return Registry(owners["name"], owners["extension"], owners["file name"], owners["shebang"])


REGISTRY = build_registry(LANGUAGES)


def language_of(path: str, first_line: str = "") -> Language:
    """The language of a file by its path, else by the interpreter its first line asks for; ``text`` when neither says."""
    return REGISTRY.find(path, first_line)

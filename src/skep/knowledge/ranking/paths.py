"""What a path says about its file: its name, the words in it, and the roles that carry a penalty."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from skep.knowledge.lexical import terms_of
from skep.knowledge.ranking.models import PathRole

_PATHS_REMEMBERED = 16_384

MIN_PREFIX_CHARS = 3
"""From this length on, one word starting with the other counts as the same in a path: ``auth`` and ``authentication``.
Source: semble 0.7.0."""

_TEST_FOLDERS = frozenset({"test", "tests", "__tests__", "spec", "testing", "testdata", "__mocks__"})
_EXAMPLE_FOLDERS = frozenset(
    {"example", "examples", "_examples", "sample", "samples", "demo", "demos", "docs_src", "doc_src", "tutorials"}
)
_BENCHMARK_FOLDERS = frozenset({"bench", "benches", "benchmark", "benchmarks"})
_COMPAT_FOLDERS = frozenset({"compat", "_compat", "legacy", "deprecated"})
_REEXPORT_NAMES = frozenset({"__init__.py", "__init__.pyi", "package-info.java"})
_DECLARATION_NAME = re.compile(r"\.d\.[cm]?ts$|\.pyi$")
_CHANGELOG_NAME = re.compile(r"^(?:change(?:s|log)|history|news|releases?(?:[-_]notes)?)\b", re.IGNORECASE)
# Names by the conventions of pytest, Go, JUnit, Jest, RSpec, ScalaTest, XCTest, Google Test and their kin.
_TEST_NAME = re.compile(
    r"^(?:test_.*|conftest)\.\w+$"
    r"|[_-](?:test|tests|unittest)\.\w+$"
    r"|\.(?:test|spec)\.\w+$"
    r"|_spec\.(?:rb|lua)$"
    r"|[a-z0-9](?:Test|Tests|TestCase)\.(?:java|kt|kts|php|swift|cs|scala|groovy|cpp|cc|m|mm|dart)$"
    r"|[a-z0-9](?:Spec|Suite)\.(?:kt|swift|scala|groovy)$"
    r"|^test_helpers?\b.*$"
)


@dataclass(frozen=True, slots=True)
class PathFacts:
    """What the rules need of a path."""

    stem: str
    """The file's name without its ending, in lower case, without separators: ``HTTP_server.py`` is ``httpserver``."""
    words: frozenset[str]
    """Terms of the file's name and of the folder it is in."""
    word_starts: frozenset[str]
    """Everything those words start with, from :data:`MIN_PREFIX_CHARS` on."""
    roles: frozenset[PathRole]


def starts_of(word: str) -> frozenset[str]:
    """Everything a word starts with, from :data:`MIN_PREFIX_CHARS` on, itself included; a shorter word only itself."""
    return frozenset(word[:end] for end in range(MIN_PREFIX_CHARS, len(word) + 1)) | {word}


def squeezed(name: str) -> str:
    """A name in lower case without separators, so that naming styles compare equal."""
    return name.casefold().replace("_", "").replace("-", "")


def _roles(path: PurePosixPath) -> frozenset[PathRole]:
    folders = frozenset(part.casefold() for part in path.parts[:-1])
    signs: dict[PathRole, bool] = {
        "test": bool(folders & _TEST_FOLDERS) or _TEST_NAME.search(path.name) is not None,
        "example": bool(folders & _EXAMPLE_FOLDERS),
        "benchmark": bool(folders & _BENCHMARK_FOLDERS),
        "compat": bool(folders & _COMPAT_FOLDERS),
        "reexport": path.name in _REEXPORT_NAMES,
        "declaration": _DECLARATION_NAME.search(path.name) is not None,
        "changelog": _CHANGELOG_NAME.search(path.name) is not None,
    }
    return frozenset(role for role, holds in signs.items() if holds)


@lru_cache(maxsize=_PATHS_REMEMBERED)
def path_facts(path: str) -> PathFacts:
    """The facts of a path relative to the indexed folder, with ``/``."""
    pure = PurePosixPath(path)
    words = frozenset((*terms_of(pure.stem), *terms_of(pure.parent.name)))
    return PathFacts(
        stem=squeezed(pure.name.split(".")[0] or pure.name),
        words=words,
        word_starts=frozenset(start for word in words for start in starts_of(word)),
        roles=_roles(pure),
    )

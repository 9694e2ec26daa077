"""Reading what a file says of others: bounded, in order, of the text alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.edges import MAX_IMPORTS, MAX_NAMES, NO_MENTIONS, PROFILES, find_links, find_mentions
from skep.knowledge.edges.extraction import is_telling
from skep.knowledge.edges.modules import MAX_KEY_CHARS, module_of
from tests.levels import by_level

MODULES = {
    "app.py": "app//",
    "src/flask/app.py": "app/flask/src//",
    "src/flask/__init__.py": "flask/src//",
    "src/utils/index.test.ts": "index.test/utils/src//",
    "src/types.d.ts": "types/src//",
    "index.js": "index//",
    "Makefile": "Makefile//",
    ".profile": ".profile//",
    "x" * MAX_KEY_CHARS: "",
}


@pytest.mark.parametrize("path", MODULES)
def test_a_path_becomes_a_module_key(path: str) -> None:
    assert module_of(path) == MODULES[path]


TELLING = {
    "get": False,
    "response": False,
    "get_response": True,
    "getResponse": True,
    "Session": True,
    "MAX_SIZE": True,
    "API": False,
    "HTTP": True,
    "_private_name": False,
    "__init__": False,
    "trailing_": False,
    "a1": False,
    "1st_try": False,
    "größe_x": True,
    "x" * 101: False,
}


@pytest.mark.parametrize("name", TELLING)
def test_some_names_say_enough_alone(name: str) -> None:
    assert is_telling(name.encode()) is TELLING[name]


def test_names_come_by_how_often_they_are_used() -> None:
    text = "import Alpha\nbeta_two(gamma_three, gamma_three)\nbeta_two(gamma_three)\nself_made()\n"
    assert find_mentions("python", "a.py", text, {"self_made"}).names == ("gamma_three", "beta_two", "Alpha")


def test_imported_names_need_not_be_telling() -> None:
    text = "from a import get, put as store\nload()\n"
    assert find_mentions("python", "x.py", text, ()).names == ("get", "put")


def test_an_import_counts_only_where_it_starts_its_line() -> None:
    text = "# from a.b import c\nvalue = 'import d.e'\nif x:\n    import f.g\n"
    assert find_mentions("python", "x.py", text, ()).imports == ("g/f/",)


def test_imports_of_pythons_own_modules_lead_nowhere() -> None:
    text = "import json, os.path\nfrom typing import Any\nfrom  import nothing\nfrom pkg import mod, Thing\n"
    mentions = find_mentions("python", "x.py", text, ())
    assert mentions.imports == ("pkg//", "pkg/src/", "pkg/lib/", "pkg/python/", "mod/pkg/")
    assert mentions.names == ("Any", "mod", "Thing")


def test_a_relative_import_does_not_leave_the_folder() -> None:
    text = "from ...a import b\nfrom .. import c\n"
    assert find_mentions("python", "pkg/x.py", text, ()).imports == ("c//",)


def test_a_language_without_a_row_says_nothing() -> None:
    assert find_mentions("fortran", "a.f90", "use some_module", ()) == NO_MENTIONS


def test_links_are_mentions_without_names() -> None:
    text = "from a.b import get_it\n"
    links, all_of_it = find_links("python", "x.py", text), find_mentions("python", "x.py", text, ())
    assert (links.imports, links.module, links.names) == (all_of_it.imports, all_of_it.module, ())


HOSTILE = {
    "names": " ".join(f"name_{number}" for number in range(100_000)),
    "one long name": "a_" * 500_000,
    "imports": "import a.b\nfrom c.d import e\n" * 30_000,
    "open brackets": "from a import (" * 60_000,
    "open braces": "import {" * 100_000,
    "long line of names": "from a import " + "b, " * 300_000,
    "quotes": "'" * 1_000_000,
    "import words": "import " * 150_000,
    "backticks": "`a" * 400_000,
    "links": "](" * 400_000,
    "paths": "`a/b/c/d" * 100_000,
    "uses": "use a::{" * 120_000,
    "dots": "import " + "a." * 400_000,
    "includes": "#include " * 100_000,
    "blanks": "import" + " " * 900_000,
    "sources": ". " * 400_000,
    "leading dots": "from " + "." * 900_000,
    "modules": "mod " + "m" * 900_000,
    "module names": "from " + "m" * 900_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_text_takes_no_longer_than_other(what: str) -> None:
    text = HOSTILE[what]
    step = by_level(3, 1)  # each language meets a third of the cases, and all of them at the higher levels
    for language in list(PROFILES)[list(HOSTILE).index(what) % step :: step]:
        started = time.thread_time()
        mentions = find_mentions(language, "a/b.x", text, ())
        assert time.thread_time() - started < 2.0, language
        assert len(mentions.names) <= MAX_NAMES
        assert len(mentions.imports) <= MAX_IMPORTS
        assert all(len(key) <= MAX_KEY_CHARS + 10 for key in mentions.imports)


PIECES = st.sampled_from(
    [
        "import ",
        "from ",
        "use ",
        "a",
        "::",
        ".",
        "/",
        "{",
        "}",
        "'",
        '"',
        "`",
        "\n",
        " ",
        ",",
        "(",
        ")",
        "é",
        "\x00",
        "\ud800",
    ]
)


@given(st.lists(PIECES, max_size=60).map("".join), st.sampled_from(sorted(PROFILES)))
def test_whatever_the_text_the_same_comes_out_and_can_be_stored(text: str, language: str) -> None:
    mentions = find_mentions(language, "some/where.x", text, ())
    assert mentions == find_mentions(language, "some/where.x", text, ())
    stored = (*mentions.subjects, *mentions.imports, *mentions.names)
    assert all(value and value.isprintable() for value in stored)
    assert len(set(mentions.imports)) == len(mentions.imports)

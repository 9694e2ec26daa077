from __future__ import annotations

import os
import subprocess
import sys

import pytest

from skep.knowledge.chunking import LANGUAGES, DuplicateLanguageError, Language, build_registry

TEXT = Language(name="text", kind="docs")


def test_every_row_can_be_found_by_all_it_claims() -> None:
    registry = build_registry(LANGUAGES)
    for row in LANGUAGES:
        assert registry.by_name[row.name] is row
        assert all(registry.find(f"x{extension}") is row for extension in row.extensions)
        assert all(registry.find(f"folder/{file_name}") is row for file_name in row.file_names)
        assert all(registry.find("x", f"#!/usr/bin/{word}") is row for word in row.shebangs)


def test_rows_are_in_lower_case_and_rivals_exist() -> None:
    names = {row.name for row in LANGUAGES}
    for row in LANGUAGES:
        claims = (row.name, *row.extensions, *row.file_names, *row.shebangs)
        assert all(claim == claim.lower() for claim in claims)
        assert all(extension.startswith(".") for extension in row.extensions)
        assert row.rival is None or row.rival[1] in names


@pytest.mark.parametrize(
    ("second", "what", "claim"),
    [
        (Language(name="a", kind="docs"), "name", "a"),
        (Language(name="b", kind="code", extensions=(".a",)), "extension", ".a"),
        (Language(name="b", kind="code", file_names=("afile",)), "file name", "afile"),
        (Language(name="b", kind="code", shebangs=("ash",)), "shebang", "ash"),
    ],
)
def test_a_claim_of_two_languages_is_an_error(second: Language, what: str, claim: str) -> None:
    first = Language(name="a", kind="code", extensions=(".a",), file_names=("afile",), shebangs=("ash",))
    with pytest.raises(DuplicateLanguageError) as caught:
        build_registry([TEXT, first, second])
    assert caught.value.fields == {"what": what, "claim": claim, "first": "a", "second": second.name}
    assert claim in caught.value.fix_text


def loaded_modules(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*(name for name in sys.modules if name.startswith('tree_sitter')))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return {name for name in result.stdout.split() if "." not in name}


def test_grammars_are_loaded_only_for_a_file_that_needs_them() -> None:
    imported = "from skep.knowledge.chunking import parse_file"
    assert loaded_modules(imported) == set()
    assert loaded_modules(f"{imported}; parse_file('a.md', '# x')") == set()
    assert loaded_modules(f"{imported}; parse_file('a.go', 'package a')") == {"tree_sitter", "tree_sitter_go"}

"""Document paths: reversible text for every file name, and nothing else accepted."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.errors import SkepError
from skep.knowledge.walking import (
    DocumentPathError,
    FileMissingError,
    PathOutsideRootError,
    RootIsFileError,
    RootMissingError,
    decode_path,
    encode_path,
    resolve_inside,
)

NAMES = st.binary(min_size=1).filter(lambda raw: b"\0" not in raw)

PAIRS = [
    (b"src/main.py", "src/main.py"),
    ("grün/日本.py".encode(), "grün/日本.py"),
    (b"caf\xe9.txt", "caf\\xe9.txt"),
    (b"a\\b", "a\\\\b"),
    (b"a\\x41", "a\\\\x41"),
    (b"line\nbreak\ttab", "line\nbreak\ttab"),
    (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a lone surrogate is no UTF-8
    (b"\xf0\x9f\x98", "\\xf0\\x9f\\x98"),  # neither is half a character
]

MALFORMED = ["a\\", "a\\x4", "a\\xZZ", "a\\x41", "\\xc3\\xa9", "a\\n", "nul\0", "\udcff", "\\xFF"]


@pytest.mark.parametrize(("raw", "text"), PAIRS)
def test_a_name_has_one_text(raw: bytes, text: str) -> None:
    assert encode_path(raw) == text
    assert decode_path(text) == raw


@given(NAMES)
def test_every_name_survives_the_way_there_and_back(raw: bytes) -> None:
    text = encode_path(raw)
    assert "\0" not in text
    assert decode_path(text.encode("utf-8").decode("utf-8")) == raw


@given(st.text())
def test_a_text_is_either_the_one_of_its_name_or_refused(text: str) -> None:
    with suppress(DocumentPathError):
        assert encode_path(decode_path(text)) == text


@pytest.mark.parametrize("text", MALFORMED)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(DocumentPathError):
        decode_path(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file.py").write_text("x")
    (folder / "sub" / os.fsdecode(b"b\xff\\")).write_text("y")
    (tmp_path / "outside.py").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file.py").write_text("secret")
    (folder / "link.py").symlink_to(tmp_path / "outside.py")
    (folder / "inner.py").symlink_to(folder / "sub" / "file.py")
    (folder / "away").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.parametrize(
    ("text", "raw"), [("sub/file.py", b"sub/file.py"), ("sub/b\\xff\\\\", b"sub/b\xff\\")], ids=["plain", "odd bytes"]
)
def test_a_document_path_resolves_to_its_file(root: Path, text: str, raw: bytes) -> None:
    assert resolve_inside(root, text) == raw
    assert resolve_inside(os.fsencode(root), text) == raw


REFUSED: list[tuple[str, type[SkepError]]] = [
    ("../outside.py", PathOutsideRootError),
    ("sub/../../outside.py", PathOutsideRootError),
    ("/etc/passwd", PathOutsideRootError),
    ("link.py", PathOutsideRootError),
    ("inner.py", PathOutsideRootError),
    ("away/file.py", PathOutsideRootError),
    ("loop/file.py", PathOutsideRootError),
    ("", DocumentPathError),
    ("sub//file.py", DocumentPathError),
    ("./sub/file.py", DocumentPathError),
    ("sub/", DocumentPathError),
    ("sub", FileMissingError),
    ("fifo", FileMissingError),
    ("nothing.py", FileMissingError),
    ("sub/file.py/deeper", FileMissingError),
    ("x" * 5000, FileMissingError),
]


@pytest.mark.parametrize(("text", "error"), REFUSED)
def test_everything_else_is_refused_with_a_way_out(root: Path, text: str, error: type[SkepError]) -> None:
    with pytest.raises(error) as caught:
        resolve_inside(root, text)
    assert caught.value.fix_text


def test_a_wrong_root_is_named(root: Path) -> None:
    with pytest.raises(RootMissingError, match="nowhere"):
        resolve_inside(root / "nowhere", "a")
    with pytest.raises(RootIsFileError, match=r"file\.py"):
        resolve_inside(root / "sub" / "file.py", "a")

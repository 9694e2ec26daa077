from __future__ import annotations

import hashlib
import marshal
import time
import zlib
from pathlib import Path

import pytest

from skep.knowledge.preparing import (
    FAILURES,
    ROOT_GONE,
    PreparedFile,
    UnreadableFile,
    from_plain,
    hash_text,
    prepare_file,
    to_plain,
)
from skep.knowledge.walking import FileStat, WalkEntry, WalkOptions, walk

SOURCE = b"class Heron:\n    def wade(self):\n        return 1\n"


def entry_of(root: Path, name: str) -> WalkEntry:
    (found,) = [entry for entry in walk(root) if entry.path == name]
    return found


def prepare(root: Path, name: str, stored: frozenset[tuple[bytes, str]] = frozenset()) -> PreparedFile | UnreadableFile:
    return prepare_file(str(root).encode(), entry_of(root, name), WalkOptions(), stored)


def test_a_file_becomes_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SOURCE)
    begun = time.time_ns()
    prepared = prepare(tmp_path, "a.py")
    assert isinstance(prepared, PreparedFile)
    assert begun <= prepared.observed_ns <= time.time_ns()
    assert (prepared.path, prepared.language, prepared.kind, prepared.note) == ("a.py", "python", "code", "")
    assert (prepared.sha256, prepared.size_bytes) == (hashlib.sha256(SOURCE).digest(), len(SOURCE))
    assert zlib.decompress(prepared.deflated) == SOURCE
    ((sha256, text, start, end, heading, symbol, embedded),) = prepared.chunks
    assert (sha256, start, end, heading, symbol) == (hash_text(text), 1, 3, "", "Heron")
    assert embedded == hash_text("Heron\n" + text)
    assert [row[1:] for row in prepared.symbols] == [("Heron", "class", 1, 3), ("Heron.wade", "method", 2, 3)]


def test_what_is_stored_already_is_not_cut_again(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SOURCE)
    stored = frozenset({(hashlib.sha256(SOURCE).digest(), "python")})
    prepared = prepare(tmp_path, "a.py", stored)
    assert isinstance(prepared, PreparedFile)
    assert (prepared.reuses, prepared.chunks, prepared.symbols, prepared.deflated) == (True, (), (), b"")
    assert prepared.sha256 == hashlib.sha256(SOURCE).digest()


@pytest.mark.parametrize("language", ["go", "text", "c"])
def test_the_same_bytes_in_another_language_are_cut(tmp_path: Path, language: str) -> None:
    (tmp_path / "a.py").write_bytes(SOURCE)
    prepared = prepare(tmp_path, "a.py", frozenset({(hashlib.sha256(SOURCE).digest(), language)}))
    assert isinstance(prepared, PreparedFile)
    assert not prepared.reuses


def test_a_header_is_what_its_text_says_also_when_it_is_stored_as_something_else(tmp_path: Path) -> None:
    text = b"namespace birds {\nclass Heron {\npublic:\n  int wade();\n};\n}\n"
    (tmp_path / "a.h").write_bytes(text)
    prepared = prepare(tmp_path, "a.h", frozenset({(hashlib.sha256(text).digest(), "c")}))
    assert isinstance(prepared, PreparedFile)
    assert (prepared.reuses, prepared.language) == (False, "cpp")


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.bin.txt").write_bytes(bytes(range(256)))
    found = prepare(tmp_path, "a.bin.txt")
    assert found == UnreadableFile("a.bin.txt", "binary")
    assert found.sentence == "binary"
    assert UnreadableFile("a", "unreadable", "no right.").sentence == "unreadable: no right."
    assert "unreadable" in FAILURES
    assert "binary" not in FAILURES


def test_a_folder_that_is_gone_says_nothing_about_the_file(tmp_path: Path) -> None:
    entry = WalkEntry("a.py", b"a.py", FileStat(1, 1, 1, 1))
    found = prepare_file(str(tmp_path / "nowhere").encode(), entry, WalkOptions(), frozenset())
    assert isinstance(found, UnreadableFile)
    assert found.reason == ROOT_GONE


def test_results_travel_as_plain_values(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(SOURCE)
    (tmp_path / "b.txt").write_bytes(b"\0\1\2")
    for name in ("a.py", "b.txt"):
        result = prepare(tmp_path, name)
        assert from_plain(marshal.loads(marshal.dumps(to_plain(result)))) == result

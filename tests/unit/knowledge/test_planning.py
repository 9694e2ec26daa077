from __future__ import annotations

import dataclasses

import pytest

from skep.knowledge.planning import RACY_NS, KnownDocument, is_surely_unchanged, make_plan
from skep.knowledge.walking import FileStat, WalkEntry

NOW = 1_800_000_000_000_000_000
OLD = FileStat(size=10, mtime_ns=NOW - 10 * RACY_NS, ctime_ns=NOW - 9 * RACY_NS, inode=7)


def entry(path: str, stat: FileStat = OLD) -> WalkEntry:
    return WalkEntry(path, path.encode(), stat)


def known(path: str, stat: FileStat = OLD, *, alive: bool = True, chunker: str | None = "1") -> KnownDocument:
    return KnownDocument(1, path, stat, NOW, 5 if alive else None, chunker)


def test_a_folder_as_it_was_gives_no_work() -> None:
    plan = make_plan([entry("a"), entry("b")], {path: known(path) for path in "ab"}, chunker="1")
    assert (plan.to_read, plan.gone, plan.unchanged) == ([], [], 2)


def test_new_files_are_read_and_missing_ones_are_gone() -> None:
    plan = make_plan([entry("new")], {"old": known("old"), "dead": known("dead", alive=False)}, chunker="1")
    assert [one.path for one in plan.to_read] == ["new"]
    assert [one.path for one in plan.gone] == ["old"]


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode"])
@pytest.mark.parametrize("step", [-1, 1])
def test_any_other_stat_is_a_reason_to_read(field: str, step: int) -> None:
    changed = dataclasses.replace(OLD, **{field: getattr(OLD, field) + step})
    assert not is_surely_unchanged(known("a"), changed, chunker="1")


@pytest.mark.parametrize(
    ("document", "chunker"),
    [(known("a", alive=False), "1"), (known("a"), "2"), (known("a", chunker=None), "1")],
    ids=["deleted", "cut otherwise", "never cut"],
)
def test_what_is_stored_must_be_alive_and_cut_by_this_chunker(document: KnownDocument, chunker: str) -> None:
    assert not is_surely_unchanged(document, OLD, chunker=chunker)
    assert [one.path for one in make_plan([entry("a")], {"a": document}, chunker=chunker).to_read] == ["a"]


@pytest.mark.parametrize(
    ("age_ns", "unchanged"), [(RACY_NS + 1, True), (RACY_NS, False), (0, False), (-(10**18), False)]
)
@pytest.mark.parametrize("field", ["mtime_ns", "ctime_ns"])
def test_a_file_changed_just_before_it_was_read_proves_nothing(field: str, age_ns: int, unchanged: bool) -> None:
    fresh = dataclasses.replace(OLD, **{field: NOW - age_ns})
    assert is_surely_unchanged(known("a", fresh), fresh, chunker="1") is unchanged


@pytest.mark.parametrize(
    ("closed", "gone"),
    [
        ((), {"a/b/c", "a/bc", "d"}),
        (("a/b",), {"a/bc", "d"}),
        (("a",), {"d"}),
        (("",), set()),
        (("a/b/c",), {"a/b/c", "a/bc", "d"}),
    ],
)
def test_what_lies_in_a_folder_that_could_not_be_listed_is_not_gone(closed: tuple[str, ...], gone: set[str]) -> None:
    before = {path: known(path) for path in ("a/b/c", "a/bc", "d")}
    plan = make_plan([], before, unknown_below=closed, chunker="1")
    assert {one.path for one in plan.gone} == gone

"""Ignore lines, without git: the cases of its manual, and hostile ones. Equality with git is an integration test."""

from __future__ import annotations

import pytest

from skep.knowledge.walking.ignoring import Rules

CASES: list[tuple[bytes, str, bool]] = [
    # ignore file, path (a folder ends in /), ignored
    (b"foo", "a/b/foo", True),
    (b"/foo", "a/foo", False),
    (b"/foo", "foo", True),
    (b"foo/", "foo", False),
    (b"foo/", "a/foo/", True),
    (b"a/foo", "a/foo", True),
    (b"a/foo", "b/a/foo", False),
    (b"*.py[co]", "x/y.pyc", True),
    (b"*.tar.gz\n!keep.tar.gz", "keep.tar.gz", False),
    (b"*.tar.gz\n!keep.tar.gz", "other.tar.gz", True),
    (b"!a\na", "a", True),
    (b"**/foo/bar", "x/y/foo/bar", True),
    (b"foo/**", "foo/x/y", True),
    (b"foo/**", "foo/", False),
    (b"a/**/b", "a/b", True),
    (b"a/**/b", "a/x/y/b", True),
    (b"a/*/b", "a/x/y/b", False),
    (b"foo**/bar", "foox/y/bar", True),  # git cuts the literal beginning off first
    (b"\\#a", "#a", True),
    (b"#a", "#a", False),
    (b"\\!a", "!a", True),
    (b"a  ", "a", True),
    (b"a\\ ", "a ", True),
    (b"a\r\nb\r\n", "a", True),
    (b"\xef\xbb\xbfa", "a", True),
    (b"caf?", "café", False),  # bytes are matched: é is two
    (b"caf??", "café", True),
    (b"[[:digit:]]*", "7up", True),
    (b"[[:nonsense:]]*", "7up", False),
    (b"[", "[", False),
    (b"a\\", "a\\", False),
    (b"[]-a]", "]", True),
    (b"[!a-c]", "d", True),
    (b"x[/]y", "x/y", False),
    (b"A", "a", False),
]


def ignored(rules: Rules, path: str) -> bool:
    """Walks down to the path as the walker does, without stopping at ignored folders."""
    *folders, name = path.removesuffix("/").encode().split(b"/")
    for folder in folders:
        rules = rules.below(folder)
    return rules.ignored_by_git(name, folder=path.endswith("/"))


@pytest.mark.parametrize(("lines", "path", "expected"), CASES)
def test_lines_mean_what_the_manual_says(lines: bytes, path: str, *, expected: bool) -> None:
    assert ignored(Rules().with_files(gitignore=lines), path) is expected


def test_the_deepest_file_decides_and_our_own_is_asked_first() -> None:
    rules = Rules().with_files(gitignore=b"*.log\n", skepignore=b"!c.log\n", exclude=b"*.tmp\n").below(b"sub")
    rules = rules.with_files(gitignore=b"!a.log\n!a.tmp\n")
    assert not rules.ignored_by_git(b"a.log", folder=False)
    assert rules.ignored_by_git(b"b.log", folder=False)
    assert rules.ignored_by_git(b"b.tmp", folder=False)
    assert not rules.ignored_by_git(b"a.tmp", folder=False)
    assert rules.wanted(b"c.log", folder=False) is True
    assert rules.wanted(b"b.log", folder=False) is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "line",
    [b"*a" * 60 + b"b", b"/" + b"**/a/" * 2000 + b"b", b"**/" * 20_000 + b"x", b"[a" * 20_000, b"?*" * 100 + b"b"],
)
def test_no_line_makes_matching_slow(line: bytes) -> None:
    rules = Rules().with_files(gitignore=line)
    for _ in range(20):
        assert not rules.ignored_by_git(b"a" * 255, folder=False)
        rules = rules.below(b"a")

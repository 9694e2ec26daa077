"""What we ignore is what git ignores: the same trees and lines through both."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skep.knowledge.walking import Skipped, SkipReason, WalkEntry, WalkOptions, WalkReport, read_file, walk
from tests.levels import by_level

EVERYTHING = WalkOptions(include_secrets=True, include_generated=True, include_minified=True)

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Thousands of tiny files cost nothing there; None is the usual place."""

EXAMPLES = by_level(60, 300, 1000)

NAMES = [b"a", b"b", b"ab", b"foo", b"foobar", b"bar", b"foo.c", b".d", b"a-b", b"]", b"[x]", b"a b", b"b ", b"A"]
NAMES += ["é".encode(), b"\xff", b"a\\b", b"!k", b"#h", b"f*o", b"a\tb"]
PIECES = [
    b"a",
    b"b",
    b"o",
    b"f",
    b"*",
    b"?",
    b"**",
    b"[ab]",
    b"[!a]",
    b"[a-f]",
    b"\\",
    b"[[:alnum:]]",
    b"\xc3\xa9",
    b"-",
]
PIECES += [b".", b" ", b"[", b"]", b"[^\\]]"]
ODD_LINES = [
    b"/**/",
    b"**/foo/**",
    b"a/**/**/b",
    b"!/*/",
    b"foo**/bar",
    b"a/foo**",
    b"aa**/**",
    b"/fo**/b*",
    b"**\\/foo",
]
ODD_LINES += [b"\\/a", b"//a", b"a//b", b"/", b"!", b"\\#h", b"\\!k", b"a\\", b"b\\ ", b"b  ", b"[", b"[]]", b"[!]a]"]
ODD_LINES += [b"[]-a]", b"[a-]", b"[[:foo:]]", b"[[:alpha:]-z]", b"[[:x]", b"[a/b]", b"**", b"***", b"a***b", b"*/*/*"]
ODD_LINES += [b"\\a/b", b"f\\*o", b"[a\\-b]", b"/foo/**/b/", b"a**\\/**/b", b"**foo/bar", b"a\r", b"# x", b"a\0b", b""]

SEGMENTS = st.one_of(
    st.sampled_from([b"**", b"*"]), st.sampled_from(NAMES), st.lists(st.sampled_from(PIECES), min_size=1).map(b"".join)
)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(ODD_LINES))
    start = draw(st.sampled_from([b"", b"", b"", b"!", b"/", b"!/"]))
    body = b"/".join(draw(st.lists(SEGMENTS, min_size=1, max_size=4)))
    return start + body + draw(st.sampled_from([b"", b"", b"/"]))


IGNORE_FILES = st.tuples(st.lists(lines(), max_size=6), st.sampled_from([b"\n", b"\r\n"])).map(
    lambda drawn: drawn[1].join(drawn[0])
)
FOLDERS = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple), max_size=6)


@st.composite
def trees(draw: st.DrawFn) -> dict[bytes, bytes]:
    """Files by path. A name that is a folder elsewhere is no file."""
    folders = {(), *draw(FOLDERS)}
    folders |= {folder[:depth] for folder in folders for depth in range(len(folder))}
    files: dict[bytes, bytes] = {}
    for folder in sorted(folders):
        names = draw(st.sets(st.sampled_from(NAMES), min_size=1, max_size=4))
        files |= {b"/".join((*folder, name)): b"" for name in names if (*folder, name) not in folders}
        if not folder or draw(st.integers(0, 2)) == 0:
            files[b"/".join((*folder, b".gitignore"))] = draw(IGNORE_FILES)
    return files


def write(root: bytes, files: dict[bytes, bytes]) -> None:
    for path, data in files.items():
        os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
        with open(os.path.join(root, path), "wb") as file:
            file.write(data)


def git(folder: bytes | Path, *arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["git", "-C", folder, *arguments], input=stdin, capture_output=True)
    # check-ignore answers 1 when nothing is ignored
    assert done.returncode in ((0, 1) if "check-ignore" in arguments else (0,)), done.stderr
    return done.stdout


@pytest.mark.no_cover
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=trees(), exclude=IGNORE_FILES)
def test_the_walk_leaves_out_exactly_what_git_ignores(files: dict[bytes, bytes], exclude: bytes) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        root = os.fsencode(folder)
        # As little as git needs to call it a repository, ten times faster than `git init`.
        write(root, {b".git/HEAD": b"ref: refs/heads/main\n", b".git/objects/x": b"", b".git/refs/x": b""})
        write(root, files)
        write(root, {b".git/info/exclude": exclude})
        listed = git(root, "check-ignore", "--stdin", "-z", "--no-index", stdin=b"\0".join(files) + b"\0")
        ignored = set(listed.split(b"\0"))
        walked = [entry.raw for entry in walk(root, EVERYTHING)]
        assert walked == sorted(path for path in files if path not in ignored)


def paths(root: Path, subpath: str = "", report: WalkReport | None = None) -> list[str]:
    return [entry.path for entry in walk(root, subpath=subpath, report=report)]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    write(os.fsencode(top), {b".gitignore": b"*.log\n", b"main.py": b"", b"main.log": b""})
    git(top, "add", ".")
    commit(top)
    return top


def commit(folder: Path) -> None:
    git(folder, "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "-qm", "first")


def test_a_worktree_is_walked_like_any_folder(repository: Path) -> None:
    git(repository, "worktree", "add", "-q", str(repository.parent / "tree"), "-b", "other")
    write(os.fsencode(repository.parent / "tree"), {b"new.log": b"", b"new.py": b""})
    assert (repository.parent / "tree" / ".git").is_file()
    assert paths(repository.parent / "tree") == [".gitignore", "main.py", "new.py"]


def test_submodules_and_nested_repositories_are_plain_folders(repository: Path) -> None:
    library = repository.parent / "library"
    library.mkdir()
    git(library, "init", "-q")
    write(os.fsencode(library), {b".gitignore": b"/tmp\n", b"lib.py": b"", b"tmp": b"", b"x.log": b""})
    git(library, "add", "-f", ".")
    commit(library)
    git(repository, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "sub/library")
    nested = repository / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    write(os.fsencode(nested), {b".git/info/exclude": b"mine\n", b"mine": b"", b"theirs": b""})
    assert (repository / "sub" / "library" / ".git").is_file()
    report = WalkReport()
    assert paths(repository, report=report) == [
        ".gitignore",
        ".gitmodules",
        "main.py",
        "nested/theirs",
        "sub/library/.gitignore",
        "sub/library/lib.py",
    ]
    assert report.default_folders[".git"] == 3
    assert not report.skipped


def test_git_itself_can_never_be_reincluded(repository: Path) -> None:
    (repository / ".skepignore").write_text("!.git\n!.git/\n!*\n")
    (repository / ".skep").mkdir()
    (repository / ".skep" / "admin.txt").write_text("x")
    found = paths(repository)
    assert "main.log" in found
    assert not [path for path in found if path.startswith((".git/", ".skep/"))]


@pytest.mark.parametrize(
    "subpath", ["", "src", "src/a.py", "src/deep", "src/x.log", "out", "out/kept.py", "src/gone.py"]
)
def test_a_subpath_gives_that_part_of_the_whole(repository: Path, subpath: str) -> None:
    files = [b"src/a.py", b"src/a.pyx", b"src/x.log", b"src/deep/b.py", b"src/deep/c.tmp", b"out/kept.py", b"z.py"]
    write(os.fsencode(repository), dict.fromkeys(files, b""))
    write(os.fsencode(repository), {b"src/.gitignore": b"deep/*.tmp\n", b".git/info/exclude": b"/out\n"})
    whole = paths(repository)
    expected = [path for path in whole if not subpath or path == subpath or path.startswith(f"{subpath}/")]
    assert paths(repository, subpath) == expected


def test_an_ignore_file_that_is_a_link_is_not_followed(repository: Path) -> None:
    (repository / "sub").mkdir()
    (repository / "sub" / "a.py").touch()
    (repository / "sub" / ".gitignore").symlink_to(repository.parent / "outside")
    (repository.parent / "outside").write_text("a.py\n")
    report = WalkReport()
    assert "sub/a.py" in paths(repository, report=report)
    assert Skipped("sub/.gitignore", SkipReason.SYMLINK_OUTSIDE) in report.skipped


def test_what_the_walk_hands_out_can_be_read(repository: Path) -> None:
    entries = list(walk(repository))
    assert all(isinstance(entry, WalkEntry) for entry in entries)
    contents = [read_file(repository, entry, WalkOptions()) for entry in entries]
    assert [content.stat for content in contents if not isinstance(content, Skipped)] == [e.stat for e in entries]

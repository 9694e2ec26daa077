from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.lexical import PathGlobError, glob_to_regex
from skep.knowledge.lexical.globs import MAX_GLOB_CHARS


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("*.py", "a.py", True),
        ("*.py", "deep/er/a.py", True),
        ("*.py", "a.pyc", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/b/a.py", False),
        ("src/*.py", "lib/src/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/b/c/a.py", True),
        ("**/a.py", "a.py", True),
        ("**/a.py", "x/y/a.py", True),
        ("src/**", "src/b/a.py", True),
        ("src/", "src/b/a.py", True),
        ("src/", "x/src/a.py", True),
        ("src/", "src", False),
        ("src/", "srcs/a.py", False),
        ("src/app", "src/app/a.py", True),
        ("src/app", "src/application/a.py", False),
        ("utils", "x/utils/a.py", True),
        ("utils", "x/utils", True),
        ("utils", "x/utils.py", False),
        ("/setup.py", "setup.py", True),
        ("/setup.py", "x/setup.py", False),
        ("./src/*.py", "src/a.py", True),
        (".github/", ".github/ci.yml", True),
        ("?.c", "a.c", True),
        ("?.c", "ab.c", False),
        ("a?c", "a/c", False),
        ("[ab].c", "a.c", True),
        ("[!ab].c", "a.c", False),
        ("[!ab].c", "z.c", True),
        ("[a-c].c", "b.c", True),
        ("[a--c].c", "b.c", False),
        ("[a--c].c", "-.c", True),
        ("[-a].c", "-.c", True),
        ("[a-].c", "b.c", False),
        ("[[a].c", "[.c", True),
        ("[a&&b].c", "&.c", True),
        ("x[", "x[", True),
        ("*.{ts,tsx}", "src/a.tsx", True),
        ("*.{ts,tsx}", "src/a.js", False),
        ("a+b(1).txt", "a+b(1).txt", True),
        ("*.py", "new\nline.py", True),
        ("é*.md", "dir/pré.md", False),
        ("é*.md", "dir/état.md", True),
    ],
)
def test_globs(glob: str, path: str, matches: bool) -> None:
    assert (re.fullmatch(glob_to_regex(glob), path) is not None) is matches


@pytest.mark.parametrize("glob", ["", "/", "./", "a{b,{c}", "x" * (MAX_GLOB_CHARS + 1)])
def test_globs_that_mean_nothing_are_refused(glob: str) -> None:
    with pytest.raises(PathGlobError) as caught:
        glob_to_regex(glob)
    assert caught.value.fields["reason"]


@given(st.text(alphabet="abc./*?[]{},!-", max_size=20))
def test_any_glob_gives_a_regex_or_a_refusal(glob: str) -> None:
    try:
        regex = glob_to_regex(glob)
    except PathGlobError:
        return
    try:
        re.compile(regex)
    except re.error:
        assert "[" in glob, "only a set may be wrong; the index says so"


@given(st.lists(st.text(alphabet="ab.é_", min_size=1, max_size=5), min_size=1, max_size=4).map("/".join))
def test_a_plain_path_matches_itself_and_what_is_below(path: str) -> None:
    regex = glob_to_regex("/" + path)
    assert re.fullmatch(regex, path)
    assert re.fullmatch(regex, path + "/x")
    assert not re.fullmatch(regex, path + "x")

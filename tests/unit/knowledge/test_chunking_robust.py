"""Whatever the text: nothing lost, nothing doubled, lines right, the same every time, in bounded time."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skep.knowledge.chunking import parse_file
from skep.knowledge.models import ParsedFile
from tests.levels import by_level, level

EXAMPLES = by_level(40, 200, 1000)
"""Texts for each kind of file."""

HARD_MAX_BYTES = 1_500
FIRST_GRAMMARS = ["py", "js", "tsx", "go", "rs", "java", "c", "cpp"]
MORE_GRAMMARS = ["ts", "h", "cs", "kt", "scala", "swift", "zig", "php", "rb", "lua", "sh", "ex", "hs", "css", "html"]
LINES = ["md", "rst", "yaml", "json", "toml", "sql", "scss", "less", "ipynb", "txt"]
PATHS = [f"a.{extension}" for extension in FIRST_GRAMMARS + MORE_GRAMMARS + LINES]

SNIPPETS = st.sampled_from(
    [
        "def f(x):\n    return x\n",
        "class A {\n  m() { return 1; }\n}\n",
        "func (s *S) F() {}\n",
        "# Title\n\nwords\n",
        "Title\n=====\n",
        "```\n",
        "/* comment */",
        "'''",
        '"',
        "{",
        "}",
        "(",
        ")",
        "<",
        "\n",
        "\r\n",
        "    ",
        "\t",
        "\x00",
        "\ufeff",
        "\ud800",
        "é漢😀",
        "\u2028\x85\x1c",
        "x" * 800,
        "word " * 200,
        "value = compute(1, 2)\n" * 40,
        " " * 2_000,
        "\n" * 800,
    ]
)
ANY_TEXT = st.lists(st.one_of(SNIPPETS, st.text(st.characters(), max_size=40)), max_size=40).map("".join)


def bare(text: str) -> str:
    return "".join(text.split())


def assert_true_to(text: str, parsed: ParsedFile) -> None:
    assert "".join(bare(chunk.text) for chunk in parsed.chunks) == bare(text)
    lines = text.split("\n")
    last_end = 1
    for chunk in parsed.chunks:
        assert chunk.text.strip()
        assert len(chunk.text.encode("utf-8", "surrogatepass")) <= HARD_MAX_BYTES
        assert last_end <= chunk.start_line <= chunk.end_line <= len(lines)
        expected = lines[chunk.start_line - 1 : chunk.end_line]
        actual = chunk.text.split("\n")
        assert len(actual) == len(expected)
        assert expected[0].endswith(actual[0]) or actual[0] in expected[0]
        assert actual[1:-1] == expected[1:-1]
        assert expected[-1].startswith(actual[-1]) or actual[-1] in expected[-1]
        last_end = chunk.end_line
    for symbol in parsed.symbols:
        assert 1 <= symbol.start_line <= symbol.end_line <= len(lines)


@pytest.mark.no_cover
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=EXAMPLES, deadline=None)
@example(text="def f(x):\n    return x\n" + " " * 2_000 + "/* comment */def f(x):\n    return x\n")
@given(text=ANY_TEXT)
def test_any_text(path: str, text: str) -> None:
    parsed = parse_file(path, text)
    assert_true_to(text, parsed)
    assert parse_file(path, text) == parsed


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", ["", " ", "\n", "\r\n\t \n", "\x0c", "\u3000" * 3_000, " " * 100_000])
def test_without_words_there_are_no_chunks(path: str, text: str) -> None:
    assert parse_file(path, text).chunks == ()
    assert parse_file(path, text).symbols == ()


DEEP = 100_000
LINES_DEEP = by_level(30_000, DEEP)


def repeated(unit: str, size: int = 40_000) -> str:
    """About ``size`` characters of nothing but ``unit``: deep where it opens something, broken in most languages."""
    return unit * (size // len(unit))


PATHOLOGICAL = {
    "round": "(" * DEEP,
    "round closed": "(" * DEEP + ")" * DEEP,
    "square closed": "[" * DEEP + "1" + "]" * DEEP,
    "curly closed": "{" * DEEP + "}" * DEEP,
    "one on a line": "(\n" * LINES_DEEP + ")\n" * LINES_DEEP,
    "sum": "1+" * DEEP + "1",
    "minus": "-" * DEEP,
    "calls": repeated("a("),
    "arrows": repeated("->", 20_000),
    "angles": repeated("a<"),
    "templates": repeated("template<"),
    "generic calls": repeated("a<b>("),
    "elements": repeated("<div>"),
    "functions": repeated("function f(){"),
    "definitions": repeated("def f():"),
    "classes": repeated("class A{"),
    "strings": repeated("\"'`"),
    "templates in strings": repeated("`${"),
    "comments": repeated("/*"),
    "macros": repeated("#if x\n"),
    "NUL": repeated("\x00"),
    "surrogates": repeated("\ud800\udc00x", 20_000),
    "one name": repeated("x", 1_000_000),
    "long names": "".join(f"def {'f' * 5_000}{n}():\n{' ' * (n + 1)}" for n in range(50)) + "pass",
    "many names": repeated("x = 1\n"),
    "quotes of prose": repeated("> "),
    "fences": repeated("```\n"),
    "rules": repeated("===\n"),
    "headings": repeated("# a\n"),
    "open comments": repeated("<!-- a\n"),
    "comparisons": repeated("<a\n"),
    "heredocs": repeated("<<A\n"),
    "ends": repeated("end\n"),
    "blocks": repeated("do |x|\n"),
    "cases": repeated("case "),
    "creations": repeated("create or replace "),
    "bodies": "create function f " + repeated("begin "),
    "dollars": repeated("$a"),
    "single quotes": repeated("'"),
    "tables": repeated("[a.b]\n"),
    "open tables": repeated("[a."),
    "keys": repeated("a:\n"),
    "nested keys": "".join(f"{' ' * n}a{n}:\n" for n in range(400)),
    "nested objects": "".join(f'{" " * n}"a{n}": {{\n' for n in range(400)),
    "h1": repeated("<h1>"),
    "selectors": repeated("a>b "),
    "cells": '{"cells": [' + repeated('{"cell_type": "code", "source": ["def f():\\n"]},'),
    "nested cells": repeated('{"cells": ['),
    "blank lines": "x" + "\n" * by_level(200_000, 1_000_000) + "y",
    "spaces": ("x" + " " * 500_000) * 2,
}
LIMIT_SECONDS = 5.0
"""Far above what a fast machine needs (0.02 to 1 s), far below what any of them takes when it turns quadratic."""


def assert_takes_bounded_time(path: str, text: str) -> None:
    started = time.process_time()
    parsed = parse_file(path, text)
    assert time.process_time() - started < LIMIT_SECONDS, path
    assert path == "a.ipynb" or "".join(bare(chunk.text) for chunk in parsed.chunks) == bare(text)
    assert all(len(chunk.text.encode("utf-8", "surrogatepass")) <= HARD_MAX_BYTES for chunk in parsed.chunks)


def extensions_for(case: str) -> list[str]:
    """All of them at the higher levels; at the default level every fifth, so that each format meets a fifth of the cases."""
    extensions = FIRST_GRAMMARS + LINES
    if level() == "default":
        return extensions[list(PATHOLOGICAL).index(case) % 5 :: 5]
    return extensions


@pytest.mark.no_cover
@pytest.mark.parametrize("case", PATHOLOGICAL)
def test_hostile_text_takes_bounded_time(case: str) -> None:
    for extension in extensions_for(case):
        assert_takes_bounded_time(f"a.{extension}", PATHOLOGICAL[case])


TRAPS = {
    # Each was quadratic or worse in its grammar without the limits: on reads, on dense marks, on time.
    "lua scanner": ("a.lua", repeated("1+")),
    "kotlin scanner": ("a.kt", repeated("/*")),
    "swift scanner": ("a.swift", repeated("/*")),
    "scala scanner": ("a.scala", repeated("[")),
    "bash scanner": ("a.sh", repeated("\x00")),
    "html scanner": ("a.html", repeated("<!-- a\n")),
    "bash pipeline": ("a.sh", repeated("do |x|\n")),
    "c# angles": ("a.cs", repeated("a<")),
    "ruby comparisons": ("a.rb", repeated("<a\n")),
    "haskell errors": ("a.hs", repeated("# a\n")),
    # Where reading ends early, in the middle of a character: the parser once died of it.
    "swift blanks": ("a.swift", "\u3000" * 20_000),
    "scala marks": ("a.scala", "\ufeffx " * 8_000),
    "bash braces": ("a.sh", "{\U000db345" * 100),
    "php": ("a.php", "<?php " + repeated("/*")),
    "notebook": ("a.ipynb", '{"cells": [' + repeated('{"cell_type": "code", "source": ["def f():\\n"]},')),
}


@pytest.mark.no_cover
@pytest.mark.parametrize("case", TRAPS)
def test_the_trap_of_a_grammar_takes_bounded_time(case: str) -> None:
    assert_takes_bounded_time(*TRAPS[case])


@pytest.mark.full
@pytest.mark.no_cover
@pytest.mark.parametrize("case", PATHOLOGICAL)
def test_hostile_text_takes_bounded_time_in_every_grammar(case: str) -> None:
    for extension in MORE_GRAMMARS:
        assert_takes_bounded_time(f"a.{extension}", PATHOLOGICAL[case])


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["x", "é", "word ", "\t"])
def test_a_line_of_many_mb_is_cut_in_linear_time(unit: str) -> None:
    text = unit * (by_level(10_000_000, 50_000_000) // len(unit.encode()))
    started = time.process_time()
    parsed = parse_file("a.js", text)
    assert time.process_time() - started < LIMIT_SECONDS
    assert sum(len(bare(chunk.text)) for chunk in parsed.chunks) == len(bare(text))
    assert all(chunk.start_line == chunk.end_line == 1 for chunk in parsed.chunks)

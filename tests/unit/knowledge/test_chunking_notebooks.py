from __future__ import annotations

import json
from typing import Any

import pytest

from skep.knowledge.chunking import parse_file
from skep.knowledge.models import ParsedFile


def cell(kind: str, source: str | list[str]) -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {}, "source": source}


def notebook(*cells: dict[str, Any], language: str | None = "python", indent: int | None = 1) -> str:
    metadata = {} if language is None else {"language_info": {"name": language}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=indent)


def parse(text: str) -> ParsedFile:
    return parse_file("a.ipynb", text)


def words(count: int) -> str:
    return " ".join(["word"] * count)


def test_lines_are_those_of_the_file() -> None:
    text = notebook(cell("code", ["import os\n", "def find():\n", "    return os.name\n"]))
    (chunk,) = parse(text).chunks
    (symbol,) = parse(text).symbols
    lines = text.split("\n")
    assert chunk.text == "import os\ndef find():\n    return os.name"
    assert "import os" in lines[chunk.start_line - 1]
    assert "return os.name" in lines[chunk.end_line - 1]
    assert (symbol.name, symbol.kind) == ("find", "function")
    assert "def find" in lines[symbol.start_line - 1]


@pytest.mark.parametrize("source", ["a = 1\nb = 2", ["a = 1\nb", " = 2"], ["a = 1\n", "b", " =", " 2"]])
def test_a_source_may_be_split_anywhere(source: str | list[str]) -> None:
    text = notebook(cell("code", source))
    parsed = parse(text)
    assert [chunk.text for chunk in parsed.chunks] == ["a = 1\nb = 2"]
    assert [symbol.name for symbol in parsed.symbols] == ["a", "b"]
    last = parsed.symbols[-1].start_line
    assert "b" in text.split("\n")[last - 1]


def test_a_file_on_one_line_is_still_read_by_cells() -> None:
    parsed = parse(notebook(cell("markdown", "# Top"), cell("code", "a = 1"), indent=None))
    assert [(chunk.heading, chunk.start_line, chunk.end_line) for chunk in parsed.chunks] == [("Top", 1, 1)]


def test_headings_hold_for_the_code_below_them() -> None:
    sections = [(cell("markdown", f"# Part {n}\n\n{words(40)}"), cell("code", f"x{n} = '{words(60)}'")) for n in (1, 2)]
    parsed = parse(notebook(*sections[0], *sections[1]))
    assert [chunk.heading for chunk in parsed.chunks] == ["Part 1", "Part 1", "Part 2", "Part 2"]


def test_outputs_and_attachments_are_left_out() -> None:
    code = cell("code", "a = 1") | {"outputs": [{"text": ["secret"]}]}
    prose = cell("markdown", "words") | {"attachments": {"image.png": {"image/png": "secret"}}}
    assert all("secret" not in chunk.text for chunk in parse(notebook(code, prose)).chunks)


def test_magics_do_not_disturb_the_code() -> None:
    magic = cell("code", "%load_ext x\n!pip install y\ndef f():\n    pass")
    other = cell("code", "%%bash\ndef g():\n")
    timed = cell("code", "%%time\ndef h():\n    pass")
    parsed = parse(notebook(magic, other, timed))
    assert [symbol.name for symbol in parsed.symbols] == ["f", "h"]
    assert "!pip install y" in parsed.chunks[0].text


def test_a_broken_cell_leaves_the_others_alone() -> None:
    parsed = parse(notebook(cell("code", "def broken(:\n  (("), cell("code", "def fine():\n    pass")))
    assert "fine" in {symbol.name for symbol in parsed.symbols}


@pytest.mark.parametrize(("language", "names"), [("scala", ["f"]), ("julia", []), (None, ["f"])])
def test_code_is_read_in_its_own_language(language: str | None, names: list[str]) -> None:
    parsed = parse(notebook(cell("code", "def f(x: Int): Int = x"), language=language))
    assert [symbol.name for symbol in parsed.symbols] == names
    assert parsed.chunks[0].text == "def f(x: Int): Int = x"


def test_a_long_cell_is_cut_between_definitions() -> None:
    body = "    value = compute(value, 'some words of argument', 12345)\n" * 10
    parsed = parse(notebook(cell("code", "".join(f"def f{n}(value):\n{body}\n\n" for n in range(3)))))
    assert [chunk.symbol for chunk in parsed.chunks] == ["f0", "f1", "f2"]
    assert [chunk.text.split("(")[0] for chunk in parsed.chunks] == ["def f0", "def f1", "def f2"]


def test_what_no_database_can_hold_is_replaced() -> None:
    text = '{"cells": [{"cell_type": "code", "source": "a = \'\\u0000\\ud800\'"}]}'
    assert parse(text).chunks[0].text == "a = '\ufffd\ufffd'"


@pytest.mark.parametrize("text", [notebook(), notebook(cell("code", []), cell("markdown", "  \n"))])
def test_an_empty_notebook_has_no_chunks(text: str) -> None:
    assert parse(text).chunks == ()


@pytest.mark.parametrize("text", ['{"cells": 1}', "[]", "words", '{"other": []}', '{"worksheets": [{"cells": []}]}'])
def test_what_is_no_notebook_is_cut_by_lines(text: str) -> None:
    assert [chunk.text for chunk in parse(text).chunks] == [text]

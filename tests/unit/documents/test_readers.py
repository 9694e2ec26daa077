"""What each format says."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from skep.documents import Attachment, Block, Document
from skep.documents.drafting import Source
from skep.documents.understanding import understand
from tests import documents


def read(data: bytes | str, name: str = "file") -> Document:
    return understand(Source(data.encode() if isinstance(data, str) else data, name))


def test_pdf() -> None:
    data = documents.pdf(
        ["First page.\nWith (two) lines.", "", "Third page."],
        title="The hive",
        bookmarks=[("Part one", 0), ("Part two", 2)],
    )
    document = read(data)
    assert document.blocks == (
        Block("First page.\nWith (two) lines.", page=1, headings=("Part one",)),
        Block("Third page.", page=3, headings=("Part two",)),
    )
    assert (document.title, document.page_count, document.page_name) == ("The hive", 3, "page")
    assert document.metadata == {"author": "A. Writer"}
    assert document.picture_pages == ()


def test_a_scanned_pdf_is_said_to_be_so() -> None:
    document = read(documents.pdf(["", ""], is_scanned=True))
    assert (document.blocks, document.picture_pages, document.is_picture_only) == ((), (1, 2), True)
    assert document.notes == ("It is scanned: its pages are pictures without text.",)


def test_a_picture_is_said_to_be_one() -> None:
    document = read(documents.picture())
    assert (document.format, document.picture_pages, document.is_picture_only) == ("image", (1,), True)


def test_docx() -> None:
    document = read(documents.docx())
    assert document.blocks == (
        Block("Bees", "heading"),
        Block("Bees live in a hive.", headings=("Bees",)),
        Block("Queens", "heading", headings=("Bees",)),
        Block("There is one queen.", headings=("Bees", "Queens")),
        Block("eggs", headings=("Bees", "Queens")),
        Block("honey", headings=("Bees", "Queens")),
        Block("who | count\ndrones | 300", "table", headings=("Bees", "Queens")),
    )
    assert document.title == "The hive"
    assert document.metadata["author"] == "A. Writer"


_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def test_docx_pages_changes_and_lists() -> None:
    body = (
        "<w:p><w:r><w:t>one</w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:tab/><w:t>new</w:t></w:r></w:ins></w:p>"
        "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>item</w:t></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>other</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:r><w:lastRenderedPageBreak/><w:t>two</w:t></w:r></w:p><w:p><w:r><w:t>still two</w:t></w:r></w:p>"
    )
    text = f"<w:document {_W}><w:body>{body}</w:body></w:document>"
    document = read(documents.with_member(documents.docx(), "word/document.xml", text))
    found = [(block.text, block.kind, block.page) for block in document.blocks]
    assert found[:2] == [("one\tnew", "text", 1), ("- item\n- other", "list", 1)]
    assert found[3] == ("still two", "text", 2)


def test_pptx() -> None:
    document = read(documents.pptx())
    assert document.blocks == (
        Block("Why bees", "heading", 1),
        Block("They pollinate.", page=1, headings=("Why bees",)),
        Block("How many", "heading", 2),
        Block("drones | 300", "table", 2, ("How many",)),
        Block("Say it slowly.", "note", 2, ("How many",)),
    )
    assert (document.page_count, document.page_name) == (2, "slide")


def test_xlsx() -> None:
    rows: list[list[object]] = [
        ["day", "kg", "good"],
        [datetime.fromisoformat("2026-11-02"), 1.5, True],
        [datetime.fromisoformat("2026-11-03 06:30"), None, False],
    ]
    document = read(documents.xlsx(rows))
    text = "day | kg | good\n2026-11-02 | 1.5 | TRUE\n2026-11-03 06:30:00 |  | FALSE"
    assert document.blocks == (Block(text, "table", 1, ("Harvest",), 1, 3),)
    assert (document.page_count, document.page_name) == (2, "sheet")


def test_long_tables_are_parted_below_their_first_row() -> None:
    rows: list[list[object]] = [["name", "kg"], *([f"hive {number}", number] for number in range(120))]
    blocks = read(documents.xlsx(rows)).blocks
    assert [(block.first_line, block.last_line) for block in blocks] == [(1, 50), (51, 100), (101, 121)]
    assert blocks[1].text.splitlines()[:2] == ["name | kg", "hive 49 | 49"]


def test_csv() -> None:
    document = read('name;note\nskep;"two\nlines"\nhive;x\n', "a.csv")
    assert document.blocks == (Block("name | note\nskep | two lines\nhive | x", "table", first_line=1, last_line=4),)


def test_csv_whose_quotation_marks_do_not_pair() -> None:
    document = read('name,note\nskep,"old\nhive,a "good" one\n', "a.csv")
    assert document.blocks[0].text == 'name | note\nskep | "old\nhive | a "good" one'
    assert document.notes == ("Its quotation marks do not pair; it was read line by line.",)


def test_html() -> None:
    document = read(documents.HTML)
    assert document.blocks == (
        Block("Hives", "heading"),
        Block("A hive hums.", headings=("Hives",)),
        Block("Kinds", "heading", headings=("Hives",)),
        Block("- straw\n- skep\n- wood", "list", headings=("Hives", "Kinds")),
        Block("kind | age\nskep | 2,000 years", "table", headings=("Hives", "Kinds")),
        Block("x =  1\ny = 2", "code", headings=("Hives", "Kinds")),
        Block("Loose words", headings=("Hives", "Kinds")),
    )
    assert (document.title, document.metadata) == ("Hives", {"language": "en"})


def test_epub() -> None:
    document = read(documents.epub(["<html><body><h1>Two</h1><p>b&nbsp;c</p></body></html>", "<h1>One</h1><p>a</p>"]))
    assert document.blocks == (
        Block("One", "heading", 1),
        Block("a", page=1, headings=("One",)),
        Block("Two", "heading", 2),
        Block("b c", page=2, headings=("Two",)),
    )
    assert (document.title, document.metadata, document.page_name) == ("The book", {"author": "A. Writer"}, "chapter")


def test_markdown() -> None:
    document = read(documents.MARKDOWN, "a.md")
    assert document.blocks == (
        Block("Hives", "heading", first_line=4, last_line=4),
        Block("A hive hums.", headings=("Hives",), first_line=6, last_line=6),
        Block("Kinds", "heading", None, ("Hives",), 8, 8),
        Block("- straw\n- wood", "list", None, ("Hives", "Kinds"), 10, 11),
        Block("```python\n# no heading\n```", "code", None, ("Hives", "Kinds"), 13, 15),
        Block("| kind | age |\n|---|---|\n| skep | old |", "table", None, ("Hives", "Kinds"), 17, 19),
    )
    assert document.title == "On hives"


def test_rst() -> None:
    document = read(documents.RST, "a.rst")
    assert document.blocks == (
        Block("Hives", "heading", first_line=1, last_line=3),
        Block("A hive hums.", headings=("Hives",), first_line=5, last_line=5),
        Block("Kinds", "heading", None, ("Hives",), 7, 8),
        Block("* straw\n* wood", "list", None, ("Hives", "Kinds"), 10, 11),
        Block("Old kinds", "heading", None, ("Hives", "Kinds"), 13, 14),
        Block("Example::", "text", None, ("Hives", "Kinds", "Old kinds"), 16, 16),
        Block("    skep = 1", "code", None, ("Hives", "Kinds", "Old kinds"), 18, 18),
    )
    assert document.title == "Hives"


def test_text() -> None:
    document = read("one\ntwo\r\n\r\n\nthree\x07\n" + "x\n" * 61)
    places = [(block.first_line, block.last_line) for block in document.blocks]
    assert places == [(1, 2), (5, 64), (65, 66)]
    assert document.blocks[0].text == "one\ntwo"
    assert document.blocks[1].text.startswith("three\nx")


@pytest.mark.parametrize(
    ("data", "text", "is_guessed"),
    [
        ("grüße".encode(), "grüße", False),
        ("grüße".encode("utf-8-sig"), "grüße", False),
        ("grüße".encode("utf-16"), "grüße", False),
        ("grüße, words".encode("utf-16-le"), "grüße, words", False),
        ("grüße".encode("cp1252"), "grüße", True),
        ("蜂 蜜, שלום".encode(), "蜂 蜜, שלום", False),
    ],
)
def test_encodings(data: bytes, text: str, is_guessed: bool) -> None:
    document = read(data, "a.txt")
    assert [block.text for block in document.blocks] == [text]
    assert bool(document.notes) is is_guessed


def test_json() -> None:
    document = read(json.dumps({"name": "skep", "big": {f"key {n}": "x" * 1000 for n in range(9)}, "last": [1, 2]}))
    assert [block.headings for block in document.blocks] == [(), ("big",), ("big",), ("big",), ()]
    assert (document.blocks[0].text, document.blocks[-1].text) == ("name: skep", "last: [1, 2]")


def test_json_lines() -> None:
    document = read('{"a": 1}\n\n{"a": 2}\n', "a.jsonl")
    assert document.blocks == (Block('{"a": 1}\n{"a": 2}', "code", first_line=1, last_line=3),)


def test_notebook() -> None:
    document = read(documents.notebook(), "a.ipynb")
    assert document.blocks == (
        Block("Yield", "heading", 1),
        Block("Per hive.", page=1, headings=("Yield",)),
        Block("print(42)", "code", 2, ("Yield",)),
        Block("42", "note", 2, ("Yield",)),
    )
    assert (document.page_count, document.page_name, document.metadata) == (2, "cell", {"language": "python"})


def test_email() -> None:
    document = read(documents.email(), "a.eml")
    assert [block.text for block in document.blocks] == ["The harvest is in.", "See the list."]
    assert document.title == "Honey, grüße"
    assert document.metadata["from"] == "Ann <ann@example.com>"
    assert document.attachments == (Attachment("list.pdf", "application/pdf", 12),)


def test_an_email_that_is_a_page() -> None:
    document = read(documents.email(html="<h1>Hi</h1><p>there</p>", attachment=None), "a.eml")
    assert [block.text for block in document.blocks] == ["Hi", "there"]

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from skep.knowledge.lexical import LexicalDocument, LexicalIndex, LexicalWriter, compare
from tests.unit.knowledge.lexical_documents import passage

DOCUMENTS = [
    passage(1, "alpha beta", defines=("Alpha.run", "operator=="), ordinal=0),
    passage(1, "beta gamma", ordinal=1),
    passage(2, "größe 中文 字", path="docs/größe.md", kind="docs"),
    passage(3, "delta"),
]


@pytest.fixture
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def index(tmp_path: Path) -> LexicalIndex:
    with LexicalWriter(tmp_path) as writer:
        writer.add([passage(7, "an old thing"), passage(1, "older")])
        writer.commit(seq=1)
        writer.remove([7])
        writer.add(DOCUMENTS)
        writer.commit(seq=2)
    made = LexicalIndex(tmp_path)
    made.open()
    return made


def test_an_index_with_a_history_equals_its_documents(index: LexicalIndex, scratch: Path) -> None:
    assert compare(index, DOCUMENTS, scratch) == []


@pytest.mark.parametrize(
    ("expected", "what", "subject"),
    [
        (DOCUMENTS[:-1], "extra", "version 3 passage 0"),
        ([*DOCUMENTS, passage(4, "epsilon")], "missing", "version 4 passage 0"),
        ([*DOCUMENTS[:-1], passage(3, "delta changed")], "different", "version 3 passage 0"),
        ([*DOCUMENTS[:-1], replace(DOCUMENTS[-1], modified_at=1)], "different", "version 3 passage 0"),
        ([], "extra", "version 1 passage 0"),
    ],
)
def test_differences_of_passages(
    index: LexicalIndex, scratch: Path, expected: list[LexicalDocument], what: str, subject: str
) -> None:
    first = compare(index, expected, scratch)[0]
    assert (first.what, first.subject) == (what, subject)


def test_differences_of_terms_name_the_term_and_both_counts(index: LexicalIndex, scratch: Path) -> None:
    expected = [*DOCUMENTS[:-1], passage(3, "delta 語彙")]
    terms = {one.subject: (one.expected, one.found) for one in compare(index, expected, scratch) if one.what == "term"}
    assert terms["body:語彙"] == ("1 passages", "0 passages")
    assert "body:delta" not in terms


def test_terms_that_are_wrong_under_right_fingerprints_are_found(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skep.knowledge.lexical.schema.join_terms", lambda text: text.replace("beta", "bitrot"))
    with LexicalWriter(tmp_path) as writer:
        writer.add(DOCUMENTS[:2])
        writer.commit(seq=1)
    monkeypatch.undo()
    index = LexicalIndex(tmp_path)
    index.open()
    assert [(one.subject, one.expected, one.found) for one in compare(index, DOCUMENTS[:2], scratch)] == [
        ("body:beta", "2 passages", "0 passages"),
        ("body:bitrot", "0 passages", "2 passages"),
    ]


def test_the_number_of_differences_is_bounded(index: LexicalIndex, scratch: Path) -> None:
    expected = [passage(number, f"word{number}") for number in range(100, 200)]
    assert len(compare(index, expected, scratch, limit=10)) == 10

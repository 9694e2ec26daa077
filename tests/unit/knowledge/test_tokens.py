from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.lexical import stem, terms_of, words_of
from skep.knowledge.lexical.tokens import MAX_WORD_CHARS, join_terms, join_terms_of


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("getHTTPResponse", ["gethttpresponse", "get", "http", "respons"]),
        ("my_func", ["my_func", "my", "func"]),
        ("__init__", ["__init__", "init"]),
        ("redirects", ["redirects", "redirect"]),
        ("redirect", ["redirect"]),
        ("sha256", ["sha256", "sha", "256"]),
        ("x = 0x1F", ["x", "0x1f"]),
        ("HTTP", ["http"]),
        ("a.b->c::d", ["a", "b", "c", "d"]),
        ("", []),
        ("+-*/ \n\t", []),
        ("café", ["café", "cafe"]),
        ("cafe\u0301", ["café", "cafe"]),
        ("Größe", ["grösse", "grosse"]),
        ("ÉcoleNormale", ["écolenormale", "école", "normal", "ecolenormale", "ecole"]),
        ("中文搜索", ["中文", "文搜", "搜索"]),
        ("字", ["字"]),
        ("数据Loader", ["数据", "loader"]),
        ("\uff46\uff55ll", ["full"]),
        ("Übung7x", ["übung7x", "übung", "ubung7x", "ubung"]),
    ],
)
def test_terms(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_combining_marks_stay_in_their_word() -> None:
    assert words_of("हिन्दी भाषा") == ["हिन्दी", "भाषा"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [("validators", "valid"), ("is", "is"), ("dependencies", "depend"), ("256", "256"), ("école", "école")],
)
def test_stem(word: str, expected: str) -> None:
    assert stem(word) == expected


def test_words_beyond_the_limit_are_cut_alike_everywhere() -> None:
    long_word = "q" * (MAX_WORD_CHARS + 50)
    assert terms_of(long_word) == terms_of("q" * MAX_WORD_CHARS)


def test_joining_leaves_out_what_gives_nothing() -> None:
    assert join_terms_of(["one", "", "---", "two"]) == "one two"


@given(st.text(max_size=200))
def test_terms_are_stable_words_without_blanks(text: str) -> None:
    terms = terms_of(text)
    assert terms == join_terms(text).split(" ") or not terms
    assert terms == terms_of(text)
    assert all(term and not any(character.isspace() for character in term) for term in terms)
    for word in words_of(text):
        assert set(terms_of(word)) <= set(terms)


@given(st.text(alphabet="abcXYZ_019", min_size=1, max_size=30))
def test_an_identifier_is_found_whole_in_any_case(name: str) -> None:
    assert name.lower() in terms_of(f"call({name})")


@given(st.text(alphabet="éü文字カタนд", min_size=1, max_size=12))
def test_a_word_outside_ascii_shares_its_terms_with_the_text_it_is_in(word: str) -> None:
    assert set(terms_of(word)) <= set(terms_of(f"x = {word}(1)"))
    assert terms_of(word)

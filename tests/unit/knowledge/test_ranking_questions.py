from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.lexical import LexicalFilters
from skep.knowledge.ranking import PathRole, analyze, is_symbol, mentions_in
from skep.knowledge.ranking.models import MIN_CANDIDATES
from skep.knowledge.ranking.questions import MAX_MENTIONS, STOP_WORDS


@pytest.mark.parametrize(
    "query",
    [
        "Session",
        "HTTPAdapter",
        "render_template",
        "_private",
        "getState",
        "a.b",
        "Session.get",
        "std::vector",
        "A->b",
        "Foo\\Bar",
        "parse()",
        "Größe",
        " Session ",
        "Set#add",
        "$scope",
        "MAX_SIZE",
    ],
)
def test_names_are_symbols(query: str) -> None:
    assert is_symbol(query)


@pytest.mark.parametrize(
    "query", ["session", "g", "", "request session", "how does Session work", "3.11", "what?", "Why?", "日本語"]
)
def test_words_are_not_symbols(query: str) -> None:
    assert not is_symbol(query)


@pytest.mark.parametrize(
    ("query", "mentions"),
    [
        ("how applyMiddleware wraps getState and dispatch", ("applyMiddleware", "getState")),
        ("How is BaseModel defined", ("BaseModel",)),
        ("what runs in model_post_init", ("model_post_init",)),
        ("HTTPError and HTTPError again", ("HTTPError",)),
        ("How does Flask select an HTTP handler", ()),
        ("JSON", ()),
    ],
)
def test_mentions(query: str, mentions: tuple[str, ...]) -> None:
    assert mentions_in(query) == mentions


@pytest.mark.parametrize(
    ("query", "roles"),
    [
        ("how are redirects followed", set()),
        ("where is the login flow tested", {"test"}),
        ("test_login", {"test"}),
        ("TestClient", {"test"}),
        ("examples of custom commands", {"example"}),
        ("is there a benchmark for parsing", {"benchmark"}),
        ("legacy cookie handling", {"compat"}),
        ("what did the last release change", {"changelog"}),
        ("documentation of the settings file", {"prose"}),
        ("yaml configuration", {"config"}),
    ],
)
def test_what_a_question_asks_for(query: str, roles: set[PathRole]) -> None:
    assert analyze(query).asks_for == roles


def test_stop_words_are_left_out_unless_there_is_nothing_else() -> None:
    assert dict(analyze("how are the redirects followed").terms) == {
        "redirects": 1.0,
        "redirect": 1.0,
        "followed": 1.0,
        "follow": 1.0,
    }
    assert dict(analyze("how is it").terms) == {"how": 1.0, "is": 1.0, "it": 1.0}


def test_a_pasted_file_of_names_is_looked_up_in_part() -> None:
    question = analyze(" ".join(f"someName{number}" for number in range(9_000)))
    assert question.mentions == tuple(f"someName{number}" for number in range(MAX_MENTIONS))
    assert question.path_words == frozenset()
    assert len(question.terms) > 9_000


def test_a_repeated_word_weighs_more() -> None:
    assert analyze("cookie jar cookie").terms["cookie"] == 2.0


def test_path_words_are_stems_of_longer_words_and_none_for_a_symbol() -> None:
    assert analyze("how is an IP validated by validators").path_words == {"valid"}
    assert analyze("Validator").path_words == frozenset()


def test_the_query_for_the_index() -> None:
    filters = LexicalFilters(kinds=("code",))
    symbol = analyze("Session.get").lexical_query(10, filters)
    assert (symbol.names, symbol.filters, symbol.limit) == (("Session.get",), filters, MIN_CANDIDATES)
    sentence = analyze("how does getState work").lexical_query(100)
    assert (sentence.names, sentence.limit) == (("getState",), 500)


@given(st.text(max_size=200))
def test_any_text_can_be_analyzed(text: str) -> None:
    question = analyze(text)
    assert question.symbol is None or question.mentions == ()
    assert all(weight > 0 for weight in question.terms.values())
    plain = unicodedata.normalize("NFKC", text)
    assert not question.terms or any(character.isalnum() or character == "_" for character in plain)


def test_stop_words_are_plain_lower_case() -> None:
    assert all(word.isascii() and word.islower() for word in STOP_WORDS)

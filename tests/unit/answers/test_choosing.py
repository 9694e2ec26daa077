"""Which quotes are chosen, and when there are none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from skep.answers.choosing import Candidate, choose
from skep.answers.words import content_words, coverage
from skep.knowledge import Kind, SearchResult

QUESTION = "How do I revoke a key?"


def candidate(path: str, text: str, place: int = 0, kind: Kind = "docs") -> Candidate:
    result = SearchResult("c", path, 1, 1 + text.count("\n"), None, None, "markdown", kind, 1.0, text, "abc")
    return Candidate(result, place)


REVOKE = candidate("keys.md", "Hand out keys.\n\nA key is revoked with `skep key revoke`. Nobody needs it then.", 3)
OTHER = candidate("bread.md", "Bread is baked for an hour.\n\nIt rises before.", 0)
AGAIN = candidate("keys.md", "Revoke old keys each year.", 1)
CODE = candidate("keys.py", "def revoke_key(): ...", 0, "code")


def meaning(texts: Sequence[str]) -> Sequence[float]:
    """As an embedder would have it: near where keys are spoken of."""
    return [0.8 if "evoke" in text else 0.1 for text in texts]


@pytest.mark.parametrize("similarities", [meaning, None], ids=["by meaning", "by words"])
def test_the_sentence_that_answers_is_quoted_with_what_follows(similarities: object) -> None:
    (best,) = choose(QUESTION, [OTHER, REVOKE], similarities, 3)  # type: ignore[arg-type]
    assert best.result.path == "keys.md"
    assert best.unit.text == "A key is revoked with `skep key revoke`. Nobody needs it then."
    assert (best.unit.first_line, best.unit.last_line) == (2, 2)
    assert 0.6 < best.relevance <= 1


def test_each_document_comes_once_while_others_are_left_and_prose_before_code() -> None:
    found = choose(QUESTION, [CODE, AGAIN, REVOKE], meaning, 3)
    assert [each.result.path for each in found] == ["keys.md", "keys.py", "keys.md"]
    assert len(choose(QUESTION, [CODE, AGAIN, REVOKE], meaning, 1)) == 1


def test_nothing_is_quoted_where_nothing_fits() -> None:
    assert choose("Who won the football world cup?", [OTHER, REVOKE], meaning, 3) == []
    assert choose("Who won the football world cup?", [OTHER, REVOKE], None, 3) == []
    assert choose(QUESTION, [], meaning, 3) == []


def test_words_that_stand_nowhere_make_it_less_likely_that_anything_fits() -> None:
    near = [candidate("tuning.md", "Tune the pool of connections.")]
    likely = [0.43]
    assert choose("How do I tune a guitar?", near, lambda texts: likely * len(texts), 3) == []
    assert choose("How do I tune a pool?", near, lambda texts: likely * len(texts), 3) != []


def test_forms_of_a_word_meet_and_parts_of_names_count() -> None:
    assert content_words("How are the keys revoked, and by whom?") == ("key", "revok")
    assert coverage(content_words("revoking keys"), "def revokeKey(): pass") == 1.0
    assert coverage(content_words("revoking keys"), "def revoke_all(): pass") == 0.5
    assert coverage((), "anything") == 1.0

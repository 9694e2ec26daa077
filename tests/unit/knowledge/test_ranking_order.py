from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.lexical import Hit, LexicalHits
from skep.knowledge.ranking import Passage, PassageKey, analyze, rank


def code(path: str, *defines: str) -> Passage:
    return Passage(path=path, language="python", kind="code", symbol="", defines=defines)


def hits(*scores: float, definitions: tuple[int, ...] = ()) -> LexicalHits:
    return LexicalHits(
        passages=tuple(Hit(number, 0, score) for number, score in enumerate(scores)),
        definitions=tuple(Hit(number, 0, 0.0) for number in definitions),
    )


def test_a_definition_that_words_did_not_find_comes_first() -> None:
    passages: dict[PassageKey, Passage] = {
        (0, 0): code("use.py"),
        (1, 0): code("more.py"),
        (9, 0): code("session.py", "Session"),
    }
    ranked = rank(analyze("Session"), hits(8.0, 6.0, definitions=(9,)), passages, top_k=2)
    assert [one.version_id for one in ranked] == [9, 0]


def test_a_passage_found_twice_is_ranked_once_with_its_score() -> None:
    ranked = rank(analyze("Session"), hits(8.0, definitions=(0,)), {(0, 0): code("a.py", "Session")}, top_k=10)
    assert len(ranked) == 1
    assert ranked[0].steps[0].score == 1.0


def test_every_step_is_told_and_leads_to_the_score() -> None:
    passages: dict[PassageKey, Passage] = {
        (0, 0): code("tests/session.py", "Session"),
        (1, 0): code("tests/session.py"),
    }
    best, second = rank(analyze("Session"), hits(8.0, 4.0), passages, top_k=10)
    assert [(step.rule, step.effect) for step in best.steps] == [
        ("words", "BM25 8.00"),
        ("file coherence", "+0.40"),
        ("definition", "+4.50"),
        ("path penalties", "\N{MULTIPLICATION SIGN}0.30"),
    ]
    assert best.steps[-1].score == pytest.approx(best.score) == pytest.approx(5.9 * 0.3)
    assert [step.rule for step in second.steps] == ["words", "file coherence", "path penalties", "saturation"]
    assert second.steps[-1].score == pytest.approx(second.score) == pytest.approx(0.7 * 0.3 * 0.5)


def test_hits_that_nobody_describes_are_left_out() -> None:
    ranked = rank(analyze("session"), hits(8.0, 4.0), {(1, 0): code("a.py")}, top_k=10)
    assert [(one.version_id, one.steps[0].score) for one in ranked] == [(1, 1.0)]


def test_nothing_found_is_nothing_ranked() -> None:
    assert rank(analyze("session"), hits(), {}, top_k=10) == []


def test_equal_scores_keep_a_stable_order() -> None:
    passages: dict[PassageKey, Passage] = {(number, 0): code(f"{number}.py") for number in range(5)}
    ranked = rank(analyze("word"), hits(1.0, 1.0, 1.0, 1.0, 1.0), passages, top_k=3)
    assert [one.version_id for one in ranked] == [0, 1, 2]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 50.0)), max_size=30),
    st.sampled_from(["Session", "how does getState work", "plain words", "tests of a", ""]),
    st.integers(1, 12),
)
def test_ranking_is_sorted_bounded_and_repeatable(found: list[tuple[str, float]], query: str, top_k: int) -> None:
    passages: dict[PassageKey, Passage] = {
        (number, 0): code(f"tests/{name}.py", "Session") for number, (name, _) in enumerate(found)
    }
    given_hits = hits(*(score for _, score in found))
    ranked = rank(analyze(query), given_hits, passages, top_k)
    assert len(ranked) == min(top_k, len(found))
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert all(math.isfinite(one.score) and one.steps[-1].score == pytest.approx(one.score) for one in ranked)
    assert ranked == rank(analyze(query), given_hits, passages, top_k)

"""Words and meanings put together: what stands out counts, as much as the nearest passage earns."""

from __future__ import annotations

import pytest

from skep.knowledge.ranking import PassageKey, analyze
from skep.knowledge.ranking.fusion import CERTAIN, SHARES, fuse

A, B, C = (0, 0), (1, 0), (2, 0)
SENTENCE = analyze("where are retries configured")


def scores(question: str, found: dict[PassageKey, float], near: dict[PassageKey, float]) -> dict[PassageKey, float]:
    keys = sorted({*found, *near})
    return {key: fused.score for key, fused in fuse(analyze(question), keys, found, near).items()}


def test_without_vectors_words_decide_alone() -> None:
    fused = fuse(SENTENCE, [A, B], {A: 8.0, B: 2.0}, {})
    assert [(one.score, one.words, one.bm25, one.cosine) for one in fused.values()] == [
        (1.0, 1.0, 8.0, None),
        (0.25, 0.25, 2.0, None),
    ]


def test_what_leads_in_both_has_the_whole_score_and_what_is_in_one_its_share() -> None:
    found = scores("where are retries configured", {A: 8.0, B: 4.0}, {A: 0.6, C: 0.4})
    least = SHARES[0]
    assert found == pytest.approx({A: 1.0, B: 0.5 * (1 - least), C: 0.0})


def test_only_what_stands_out_is_near() -> None:
    near = {A: 0.62, B: 0.60, C: 0.52}
    fused = fuse(SENTENCE, [A, B, C], {}, near)
    ordinary = sum(near.values()) / 3
    assert fused[B].score == pytest.approx(SHARES[0] * (0.60 - ordinary) / (0.62 - ordinary))
    assert fused[C].score == 0.0
    assert fused[C].cosine == 0.52


@pytest.mark.parametrize(
    ("nearest", "share"),
    [(0.3, SHARES[0]), (CERTAIN[0], SHARES[0]), (sum(CERTAIN) / 2, sum(SHARES) / 2), (CERTAIN[1], 1.0), (0.95, 1.0)],
)
def test_the_nearer_the_nearest_the_more_meaning_counts(nearest: float, share: float) -> None:
    found = scores("where are retries configured", {A: 5.0}, {B: nearest, C: 0.1})
    assert found[A] == pytest.approx(1 - share)
    assert found[B] == pytest.approx(share)


def test_for_a_name_words_decide_alone() -> None:
    assert scores("HTTPAdapter", {A: 5.0}, {B: 0.9, C: 0.1}) == {A: 1.0, B: 0.0, C: 0.0}


def test_one_near_passage_alone_is_the_nearest() -> None:
    assert scores("where are retries configured", {}, {A: 0.5}) == pytest.approx({A: SHARES[0]})
    assert fuse(SENTENCE, [], {}, {}) == {}

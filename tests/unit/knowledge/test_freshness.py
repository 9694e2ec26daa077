"""Which lags are told, and by which names."""

from __future__ import annotations

from skep.knowledge.freshness import MAX_COLLECTIONS, Lag, lag_readings

LAGS = [
    Lag("docs", "lexical", 0, 0.0),
    Lag("docs", "embedding", 7, 90.5),
    Lag("code", "lexical", 2, 3.0),
    Lag("code", "embedding", 40, None),
]


def told(lags: list[Lag], *, are_named: bool) -> dict[tuple[str, ...], float]:
    return {
        (reading.metric.name, *reading.labels): reading.value for reading in lag_readings(lags, are_named=are_named)
    }


def test_without_names_only_the_worst_of_each_follower_is_told() -> None:
    assert told(LAGS[:3], are_named=False) == {
        ("skep_freshness_lag_seconds", "lexical"): 3.0,
        ("skep_freshness_lag_seconds", "embedding"): 90.5,
    }
    assert told([], are_named=True) == {}


def test_an_age_that_is_not_known_is_not_told_as_zero() -> None:
    found = told(LAGS, are_named=True)
    assert found["skep_collection_lag_changes", "code", "embedding"] == 40
    assert ("skep_collection_lag_seconds", "code", "embedding") not in found
    assert ("skep_freshness_lag_seconds", "embedding") not in found, "it may be any age"
    assert found["skep_freshness_lag_seconds", "lexical"] == 3.0
    assert found["skep_collection_lag_seconds", "docs", "embedding"] == 90.5
    assert found["skep_collection_lag_seconds", "docs", "lexical"] == 0


def test_of_many_collections_those_furthest_behind_are_named() -> None:
    many = [Lag(f"c{number}", "lexical", number, float(number)) for number in range(MAX_COLLECTIONS + 50)]
    named = {key[1] for key in told(many, are_named=True) if key[0] == "skep_collection_lag_seconds"}
    assert named == {f"c{number}" for number in range(50, MAX_COLLECTIONS + 50)}

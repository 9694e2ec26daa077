from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.embedding.batching import LENGTH_STEP, padded_length, plan_batches
from skep.knowledge.embedding.models import Manifest

BOUND = 64


@given(st.lists(st.integers(min_value=2, max_value=256), max_size=200))
def test_every_text_is_in_one_batch_of_its_padded_length_within_the_bound(lengths: list[int]) -> None:
    batches = plan_batches(lengths, BOUND)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = {padded_length(lengths[place]) for place in batch}
        assert len(padded) == 1
        assert len(batch) == 1 or padded.pop() * len(batch) <= BOUND
    assert [lengths[place] for batch in batches for place in batch] == sorted(lengths, reverse=True)


@given(st.integers(min_value=0, max_value=1_000))
def test_a_padded_length_has_room_and_wastes_less_than_a_step(length: int) -> None:
    assert padded_length(length) % LENGTH_STEP == 0
    assert 0 <= padded_length(length) - length < LENGTH_STEP


@pytest.mark.parametrize(
    ("lengths", "batches"),
    [
        ([], []),
        ([5], [[0]]),
        ([16, 16, 16, 16, 16], [[0, 1, 2, 3], [4]]),
        ([16, 9, 17, 8], [[2], [0, 1], [3]]),
        ([2, 100, 3], [[1], [2, 0]]),
        ([0, 0], [[0, 1]]),
    ],
)
def test_plans(lengths: list[int], batches: list[list[int]]) -> None:
    assert plan_batches(lengths, BOUND) == batches


def manifest(**changes: object) -> Manifest:
    stated = {"name": "m", "dimensions": 3, "max_tokens": 2, "files": {"model.onnx": "aa", "tokenizer.json": "bb"}}
    return Manifest.parse(json.dumps(stated | changes).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"model.onnx": "ab", "tokenizer.json": "bb"}},
        {"files": {"model.onnx": "aa", "tokenizer.json": "ba"}},
        {"max_tokens": 3},
    ],
)
def test_the_revision_changes_with_what_changes_a_vector(changes: dict[str, object]) -> None:
    assert manifest(**changes).revision != manifest().revision
    assert manifest(licence="other", figures={}).revision == manifest().revision


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"name": "m"}',
        b'{"name": "m", "dimensions": "many", "max_tokens": 2, "files": {"model.onnx": "a", "tokenizer.json": "b"}}',
        b'{"name": "m", "dimensions": 3, "max_tokens": 2, "files": {"model.onnx": "a"}}',
        b'{"name": "m", "dimensions": 3, "max_tokens": 2, "files": 7}',
        b"\xff\xfe",
    ],
)
def test_a_manifest_that_cannot_be_used_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Manifest.parse(content)

"""Counting names in bodies of every size gives what looking at each byte gives."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.naming import Names

NAMES = (b'"model"', b'_url"', b'"n"')
PIECES = st.lists(st.sampled_from((*NAMES, b'"', b"model", b"_url", b"n", b" ", "ü".encode())), max_size=60)


def by_each_byte(body: bytes, name: bytes) -> int:
    return len(re.findall(b"(?=" + re.escape(name) + b")", body))


@given(PIECES, PIECES)
def test_counts_are_those_of_looking_at_each_byte(start: list[bytes], end: list[bytes]) -> None:
    for few in (b"", b'"x"' * 100):
        _counts_all(b"".join([*start, few, b"x" * 20_000, *end]))


def _counts_all(body: bytes) -> None:
    names = Names(body)
    assert [names.count(name) for name in NAMES] == [by_each_byte(body, name) for name in NAMES]


@pytest.mark.parametrize("size", [0, 1_000, 100_000, 1_000_000, 3_000_000])
def test_every_size_counts_the_same(size: int) -> None:
    body = b'"model"' + b"x" * size + b'{"model": "n", "a_url": 1}' + b"x" * size + b'"model"'
    names = Names(body)
    assert [names.count(name) for name in NAMES] == [3, 1, 1]

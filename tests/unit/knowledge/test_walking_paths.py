"""Document paths: reversible text for every file name, and nothing else accepted."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.walking import (
    DocumentPathError,
    decode_path,
    encode_path,
)

NAMES = st.binary(min_size=1).filter(lambda raw: b"\0" not in raw)

PAIRS = [
    (b"src/main.py", "src/main.py"),
    ("grün/日本.py".encode(), "grün/日本.py"),
    (b"caf\xe9.txt", "caf\\xe9.txt"),
    (b"a\\b", "a\\\\b"),
    (b"a\\x41", "a\\\\x41"),
    (b"line\nbreak\ttab", "line\nbreak\ttab"),
    (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a lone surrogate is no UTF-8
    (b"\xf0\x9f\x98", "\\xf0\\x9f\\x98"),  # neither is half a character
]

MALFORMED = ["a\\", "a\\x4", "a\\xZZ", "a\\x41", "\\xc3\\xa9", "a\\n", "nul\0", "\udcff", "\\xFF"]


@pytest.mark.parametrize(("raw", "text"), PAIRS)
def test_a_name_has_one_text(raw: bytes, text: str) -> None:
    assert encode_path(raw) == text
    assert decode_path(text) == raw


@given(NAMES)
def test_every_name_survives_the_way_there_and_back(raw: bytes) -> None:
    text = encode_path(raw)
    assert "\0" not in text
    assert decode_path(text.encode("utf-8").decode("utf-8")) == raw


@given(st.text())
def test_a_text_is_either_the_one_of_its_name_or_refused(text: str) -> None:
    with suppress(DocumentPathError):
        assert encode_path(decode_path(text)) == text


@pytest.mark.parametrize("text", MALFORMED)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(DocumentPathError):
        decode_path(text)

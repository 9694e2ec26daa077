"""Unpacking: exact for what is packed well, bounded for what is not."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.headers import dollars, to_client, to_provider, told_by_caller
from skep.gateway.packing import Unpacker, UnpackError


@given(st.binary(max_size=500), st.integers(1, 60), st.sampled_from(["gzip", "deflate"]))
def test_any_pieces_unpack_to_the_same(data: bytes, size: int, encoding: str) -> None:
    packed = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    unpacker = Unpacker(encoding, max_bytes=1000)
    pieces = [unpacker.feed(packed[at : at + size]) for at in range(0, len(packed), size)]
    assert b"".join(pieces) == data
    assert unpacker.is_whole


def test_a_bomb_is_stopped_early() -> None:
    with pytest.raises(UnpackError, match="more than 1000000 bytes"):
        Unpacker("gzip", max_bytes=1_000_000).feed(gzip.compress(b"\0" * 50_000_000))


def test_half_of_it_is_not_whole() -> None:
    unpacker = Unpacker("gzip", max_bytes=1000)
    unpacker.feed(gzip.compress(b"hello")[:-4])
    assert not unpacker.is_whole


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", ""])
def test_other_ways_of_packing_are_refused(encoding: str) -> None:
    with pytest.raises(UnpackError):
        Unpacker(encoding, max_bytes=1000)


def test_what_is_not_packed_as_it_says_is_refused() -> None:
    with pytest.raises(UnpackError):
        Unpacker("gzip", max_bytes=1000).feed(b"plain text, in fact")


@pytest.mark.parametrize(
    ("nusd", "shown"),
    [(0, "0"), (1, "0.000000001"), (21_000, "0.000021"), (1_500_000_000, "1.5"), (2_000_000_000, "2"), (10**10, "10")],
)
def test_nano_dollars_as_dollars(nusd: int, shown: str) -> None:
    assert dollars(nusd) == shown


def test_which_headers_pass() -> None:
    sent = [
        (b"authorization", b"Bearer skep_x"),
        (b"x-api-key", b"skep_x"),
        (b"host", b"skep"),
        (b"x-skep-tags", b"a"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"openai-organization", b"org"),
        (b"content-encoding", b"gzip"),
        (b"user-agent", b"OpenAI/Python"),
        (b"x-stainless-lang", b"python"),
        (b"x-other", b"caf\xe9"),
    ]
    assert to_provider(sent) == sent[-3:]
    told = [
        ("content-length", "3"),
        ("set-cookie", "a"),
        ("x-request-id", "r"),
        ("x-skep-cost-usd", "0"),
        ("cf-ray", "1"),
    ]
    assert to_client(told) == [(b"x-request-id", b"r")]


def test_what_a_client_says_about_its_call() -> None:
    sent = [(b"x-skep-tags", b"red, blue ,,red"), (b"x-skep-session", b" s1 "), (b"x-skep-tags", b"green")]
    assert told_by_caller(sent) == ("s1", ("red", "blue", "green"))
    assert told_by_caller([(b"x-other", b"y"), (b"x-skep-session", b"")]) == (None, ())
    session, tags = told_by_caller(
        [(b"x-skep-session", b"s" * 999), (b"x-skep-tags", b",".join(b"%d" % n for n in range(99)))]
    )
    assert (len(session or ""), len(tags)) == (200, 20)

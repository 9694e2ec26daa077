"""Server-sent events: whatever the borders of the pieces, the same events come out, and no byte is lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.events import EventScanner, EventTooLargeError, data_of

_line = st.sampled_from(
    [
        'data: {"a":1}',
        "data:x",
        "data: [DONE]",
        ": ping",
        "event: x",
        "id: 7",
        "data",
        "data: é\x85\u2028",
        "retry: 3",
        "",
    ]
)
_ends = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def _stream(draw: st.DrawFn) -> bytes:
    """Lines and empty lines with one kind of line end, or a mixture of them."""
    mixed = draw(st.booleans())
    end = draw(_ends)
    lines = draw(st.lists(_line, max_size=12))
    return "".join(line + (draw(_ends) if mixed else end) for line in lines).encode()


def _all(stream: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    scanner = EventScanner(1_000_000)
    borders = [0, *sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]
    events = [event for at, to in itertools.pairwise(borders) for event in scanner.feed(stream[at:to])]
    return events, scanner.rest


def _meant(stream: bytes) -> list[bytes]:
    """The data of every event, as the standard says it, read slowly."""
    text = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[bytes] = []
    data: list[bytes] = []
    for line in text.split(b"\n")[:-1]:
        if not line and data:
            found.append(b"\n".join(data))
            data = []
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
    return found


@given(_stream(), st.lists(st.integers(0, 500), max_size=8))
def test_any_borders_give_the_same_events(stream: bytes, cuts: list[int]) -> None:
    events, rest = _all(stream, cuts)
    assert b"".join(events) + rest == stream
    found = [data for event in events if (data := data_of(event)) is not None]
    meant = _meant(stream)
    # An end in a lone CR at the very end is not given out yet: an LF may follow.
    assert found == meant or (stream.endswith(b"\r") and found == meant[:-1])


@given(_stream())
def test_byte_by_byte_is_like_all_at_once(stream: bytes) -> None:
    stream += b"\n\ndata: end\n\n"
    whole, rest = _all(stream, [])
    single, single_rest = _all(stream, list(range(600)))
    assert [data_of(event) for event in whole if data_of(event)] == [
        data_of(event) for event in single if data_of(event)
    ]
    assert rest == single_rest == b""


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_any_bytes_pass_whole(stream: bytes, cuts: list[int]) -> None:
    events, rest = _all(stream, cuts)
    assert b"".join(events) + rest == stream


@pytest.mark.parametrize("piece", [b"x", b"x\r", b"x\n", b"\r"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    scanner = EventScanner(10_000)

    def feed() -> None:
        while not scanner.feed(b"y" + piece):
            pass

    with pytest.raises(EventTooLargeError):
        feed()


def test_one_large_event_in_one_piece_is_refused() -> None:
    with pytest.raises(EventTooLargeError):
        EventScanner(100).feed(b"data: " + b"x" * 200 + b"\n\n")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\r\n\r\n", b"x"),
        (b"data:  x\n\n", b" x"),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"event: m\ndata: a\n\n", b"a"),
        (b": ping\n\n", None),
        (b"data\n\n", b""),
        (b"database: x\n\n", None),
    ],
)
def test_the_data_of_an_event(event: bytes, data: bytes | None) -> None:
    assert data_of(event) == data

"""What is taken for a repeat: only what is the same in everything that the answer depends on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from skep.access import Principal
from skep.gateway import repeating
from skep.gateway.caching import Question
from skep.gateway.caching.entries import Wish
from skep.gateway.choosing import Choice, caller_of
from skep.gateway.generate_requests import Named
from skep.gateway.repeating import Asked, Repeats, Sent
from skep.gateway.requests import read_request
from skep.spend import Step

ANN = Principal(project_id=1, project_name="p", key_id="ann", key_name="ann", role="member")
BOB = replace(ANN, key_id="bob", key_name="bob")
HEADERS = [(b"authorization", b"Bearer a"), (b"content-type", b"application/json")]


def body(words: str = "hello") -> bytes:
    return b'{"model":"kept","messages":[{"role":"user","content":"%b"}]}' % words.encode()


def asked(said: bytes) -> Asked:
    known = read_request("chat.completions", said)
    choice = Choice(None, caller_of(ANN, None, None, ()), "")
    return Asked(known, choice, None, None, Question(b"k", 1, 60, Wish()))


def noted(what: Asked) -> Repeats:
    repeats = Repeats()
    repeats.note(what, ANN, HEADERS)
    return repeats


def test_the_same_call_is_known() -> None:
    repeats = noted(asked(body()))
    found = repeats.find(Sent("chat.completions", body()), ANN, list(HEADERS))
    assert found is not None
    assert found.known.values["messages"][0]["content"] == "hello"
    # A key that was read anew, and is as it was.
    assert repeats.find(Sent("chat.completions", body()), replace(ANN), HEADERS) is not None


def test_whatever_differs_is_no_repeat() -> None:
    repeats = noted(asked(body()))
    assert repeats.find(Sent("completions", body()), ANN, HEADERS) is None
    assert repeats.find(Sent("chat.completions", body("hallo")), ANN, HEADERS) is None
    assert repeats.find(Sent("chat.completions", body()), BOB, HEADERS) is None
    assert repeats.find(Sent("chat.completions", body()), replace(ANN, models=("other",)), HEADERS) is None
    assert repeats.find(Sent("chat.completions", body()), ANN, [*HEADERS, (b"x-skep-tags", b"a")]) is None
    assert repeats.find(Sent("chat.completions", body()), ANN, HEADERS[:1]) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": (Step("role", "role", "kept"),)},
        {"arm": "cheaper=canary"},
        {"outside": Choice(None, caller_of(ANN, None, None, ()), "")},
    ],
)
def test_what_comes_to_another_model_from_time_to_time_is_not_remembered(changes: dict[str, object]) -> None:
    plain = asked(body())
    assert plain.is_plain
    choice = replace(plain.choice, **changes)  # type: ignore[arg-type]
    repeats = noted(replace(plain, choice=choice))
    assert repeats.find(Sent("chat.completions", body()), ANN, HEADERS) is None


def test_callers_share_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    repeats = noted(asked(body()))
    repeats.note(asked(body()), BOB, HEADERS)
    found = [repeats.find(Sent("chat.completions", body()), who, HEADERS) for who in (ANN, BOB)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].known is found[1].known
    # Of too much everything is forgotten.
    monkeypatch.setattr(repeating, "_MOST_BYTES", 1)
    repeats.note(asked(body("another")), ANN, HEADERS)
    assert repeats.find(Sent("chat.completions", body()), ANN, HEADERS) is None
    assert repeats.find(Sent("chat.completions", body("another")), ANN, HEADERS) is not None


def test_long_headers_are_not_remembered() -> None:
    long = [*HEADERS, (b"user-agent", b"x" * 9_000)]
    repeats = Repeats()
    repeats.note(asked(body()), ANN, long)
    assert repeats.find(Sent("chat.completions", body()), ANN, long) is None


def test_long_bodies_are_not_remembered() -> None:
    long = body("x" * 20_000)
    assert noted(asked(long)).find(Sent("chat.completions", long), ANN, HEADERS) is None


def test_what_the_address_says_is_part_of_a_call() -> None:
    said = b'{"contents":[]}'
    known = read_request("generate_content", said, named=Named("kept"))
    repeats = noted(replace(asked(body()), known=known))
    assert repeats.find(Sent("generate_content", said, Named("kept")), ANN, HEADERS) is not None
    for named in (Named("other"), Named("kept", streams=True), None):
        assert repeats.find(Sent("generate_content", said, named), ANN, HEADERS) is None

"""Forms: what is found in them is what another reader finds, and what readers differ about is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.fakes.forms import form_object
from skep.gateway.forms import MOST_PARTS, is_form, read_form, with_values
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.media_requests import read_media
from skep.gateway.requests import adapted

KIND = b"multipart/form-data; boundary=b"


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


FILE = part("file", b"\0\r\n\xff", '; filename="a.mp3"\r\nContent-Type: audio/mpeg')


@given(st.lists(st.tuples(st.from_regex(r"[a-z_]{1,8}(\[\])?", fullmatch=True), st.binary(max_size=60)), max_size=6))
def test_every_field_is_found_whatever_it_holds(fields: list[tuple[str, bytes]]) -> None:
    kept = [(name, value) for name, value in fields if b"--b" not in b"\r\n" + value + b"\r\n"]
    body = form(*(part(name, value, '; filename="x"') for name, value in kept))
    if not kept:
        return
    found = read_form(KIND, body)
    assert [(each.name, body[each.span.start : each.span.end], each.is_file) for each in found.parts] == [
        (name, value, True) for name, value in kept
    ]
    changed = with_values(body, {each.span: b"new" for each in found.parts})
    assert changed == form(*(part(name, b"new", '; filename="x"') for name, _ in kept))


def test_the_name_of_the_model_is_replaced_and_nothing_else() -> None:
    body = form(FILE, part("model", b"ear"), part("prompt", b"model=ear"))
    known = read_media("audio.transcriptions", body, b'Multipart/Form-Data; charset=utf-8; boundary="b"')
    assert known.model == "ear"
    sent = adapted(known, model="a-longer-ear", include_usage=True, cap_fields=("max_tokens",), cap=None)
    assert sent == body.replace(b"\r\n\r\near\r\n", b"\r\n\r\na-longer-ear\r\n")
    assert adapted(known, model="ear", include_usage=True, cap_fields=("max_tokens",), cap=None) is body
    assert known.form_type == KIND
    assert form_object(KIND.decode(), sent) == {
        "file": {"filename": "a.mp3", "bytes": 4},
        "model": "a-longer-ear",
        "prompt": "model=ear",
    }


WRONG = {
    "said twice": form(FILE, part("model", b"ear"), part("model", b"dear")),
    "in brackets": form(FILE, part("model", b"ear"), part("model[]", b"dear")),
    "in another case": form(FILE, part("model", b"ear"), part("Model", b"dear")),
    "with a space": form(FILE, part("model", b"ear"), part("model ", b"dear")),
    "before the first boundary": b"x\r\n" + form(FILE, part("model", b"ear")),
    "behind the end": form(FILE, part("model", b"ear")) + part("model", b"dear"),
    "no end": part("model", b"ear"),
    "a boundary behind a line feed alone": form(
        part("file", b'x\n--b\nContent-Disposition: form-data; name="model"\n\ndear\n', '; filename="x"'),
        part("model", b"ear"),
    ),
    "a boundary with space behind it": form(FILE, part("model", b"ear")).replace(b"--b\r\n", b"--b \r\n"),
    "a boundary that goes on": form(part("file", b"\r\n--bc\r\n"), part("model", b"ear")),
    "two names": form(FILE, part("model", b"ear", '; name="n"')),
    "a second form of the name": form(FILE, part("x", b"ear", "; name*=utf-8''model")),
    "a name with a backslash": form(FILE, part("mod\\el", b"ear")),
    "two dispositions": form(FILE, part("x", b"ear", '\r\nContent-Disposition: form-data; name="model"')),
    "a folded header": form(FILE, part("x", b"ear", '\r\n ; name="model"')),
    "an encoding": form(FILE, part("model", b"ZWFy", "\r\nContent-Transfer-Encoding: base64")),
    "no name": form(FILE, b"--b\r\nContent-Type: text/plain\r\n\r\near\r\n"),
    "too many parts": form(*(part("x", b"") for _ in range(MOST_PARTS + 1))),
    "a model that is a file": form(FILE, part("model", b"ear", '; filename="m"')),
    "no model": form(FILE),
    "stream that is no word": form(FILE, part("model", b"ear"), part("stream", b"perhaps")),
    "other models": form(FILE, part("model", b"ear"), part("fallbacks", b"dear")),
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_what_readers_differ_about_is_refused(body: bytes) -> None:
    with pytest.raises(RequestInvalidError):
        read_media("audio.transcriptions", body, KIND)


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=b; boundary=c",
        b'multipart/form-data; boundary="b\\"c"',
        b"multipart/form-data; boundary*=b",
        b"multipart/form-data; boundary=" + b"b" * 71,
    ],
)
def test_a_boundary_must_be_plain(kind: bytes) -> None:
    assert is_form(kind)
    with pytest.raises(RequestInvalidError):
        read_form(kind, form(FILE))


def test_what_is_no_form() -> None:
    assert not is_form(b"application/json")
    assert not is_form(b"multipart/mixed; boundary=b")

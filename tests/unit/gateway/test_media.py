"""What calls about pictures and sound are taken to cost: before, at most; afterwards, by what the provider says."""

from __future__ import annotations

import struct
from typing import Any

import orjson
import pytest

from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.media import image_nusd
from skep.gateway.media_answers import MediaTally, is_answer, is_sound, media_usage, read_media_answer
from skep.gateway.media_requests import read_media
from skep.gateway.profiles import Face
from skep.gateway.requests import Known
from skep.gateway.usage import AnswerUnreadableError, ImagesMade
from skep.spend import Rates, Usage, make_price

BY_TOKENS = make_price(Rates(1_000_000, 2_000_000))
BY_CHARACTERS = make_price(Rates(0, 0, input_nusd_per_mchar=1))
BY_HOUR = make_price(Rates(0, 0, audio_nusd_per_hour=1))


def asked(face: Face, **values: Any) -> Known:
    return read_media(face, orjson.dumps({"model": "m", **values}), b"application/json")


PRICES = {"hd 1x1": 5, "1x1": 3, "hd": 9, "low": 1, "*": 4}


@pytest.mark.parametrize(
    ("quality", "size", "price"),
    [
        ("hd", "1x1", 5),
        ("", "1x1", 3),
        ("standard", "1x1", 3),
        ("hd", "2x2", 9),
        ("standard", "2x2", 4),
        ("auto", "1x1", 9),
        ("hd", "auto", 9),
        ("low", "auto", 4),
        ("", "", 9),
    ],
)
def test_what_nobody_says_costs_the_dearest_that_it_can_be(quality: str, size: str, price: int) -> None:
    assert image_nusd(PRICES, ImagesMade(1, quality, size)) == price


def test_a_picture_of_which_no_price_is_known() -> None:
    assert image_nusd({"hd 1x1": 5}, ImagesMade(1, "low", "1x1")) is None


def test_bounds_of_pictures() -> None:
    one, three = asked("images.generations", prompt="x"), asked("images.generations", prompt="x", n=3)
    assert three.output_tokens == 3 * (one.output_tokens or 0) > 3 * 6_240
    assert (asked("images.generations", prompt="x", size="3840x2160").output_tokens or 0) > 100_000
    low, medium, high = (
        asked("images.generations", prompt="x", size="1024x1024", quality=quality).output_tokens or 0
        for quality in ("low", "medium", "high")
    )
    assert 4 * 272 < low < medium < high < (one.output_tokens or 0)
    assert medium > 4 * 1_056
    gif = asked("images.generations", prompt="x", output_format="gif", frame_count=4, size="1024x1024")
    assert (gif.output_tokens or 0) > 4 * 16_384
    pictures = asked("images.edits", prompt="x", images=[{"image_url": "u"}, {"file_id": "f"}], mask={"image_url": "u"})
    assert pictures.input_tokens_at_most > 3 * 20_000
    assert asked("images.generations", prompt="x", output_format="svg").dear_field == "output_format"
    assert asked("images.generations", prompt="x", svg={}).dear_field == "svg"
    for n in (1001, "x", True, 1.5):
        with pytest.raises(RequestInvalidError):
            asked("images.generations", prompt="x", n=n)


def test_speech_is_bounded_by_its_text() -> None:
    known = asked("audio.speech", input="ü" * 100, instructions="slowly")
    assert known.media is not None
    assert (known.media.characters, known.stream, known.has_audio) == (100, True, True)
    assert known.input_tokens_at_most > 200
    assert (known.output_tokens or 0) > 800
    assert known.media.billed(Usage(), BY_CHARACTERS) == (Usage(0, output_tokens=0, characters=100), False)
    assert known.media.billed(Usage(5, output_tokens=9), BY_TOKENS) == (Usage(5, output_tokens=9), False)
    estimated, is_estimated = known.media.billed(Usage(), BY_TOKENS)
    assert (estimated.input_tokens, estimated.output_tokens, is_estimated) == (52, 150, True)
    for wrong in (None, "", 5, ["x"]):
        with pytest.raises(RequestInvalidError):
            asked("audio.speech", input=wrong)


def test_a_long_text_to_speak_is_counted_too() -> None:
    body = orjson.dumps({"model": "m", "input": "ä" * 1_000_000})
    known = read_media("audio.speech", body, b"")
    assert known.media is not None
    assert known.media.characters == 1_000_000


def wav(kind: int, size: int) -> bytes:
    return struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 0, b"WAVEfmt ", 16, kind, 2, 44_100, 1, 4, 16, b"data", 0) + bytes(
        size
    )


@pytest.mark.parametrize(
    ("file", "about_ms", "most_ms"),
    [
        (wav(1, 176_400 * 60), 60_001, 60_001),
        (wav(17, 16_000 - 44), 1_000, 32_000),
        (b"\0" * 16_000, 1_000, 32_000),
        (b"", 0, 10_000),
    ],
)
def test_how_long_a_file_is(file: bytes, about_ms: int, most_ms: int) -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\n' + file
    body += b'\r\n--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--b--'
    media = read_media("audio.transcriptions", body, b"multipart/form-data; boundary=b").media
    assert media is not None
    assert (media.audio_ms, media.audio_ms_at_most) == (about_ms, most_ms)
    assert media.billed(Usage(audio_ms=7), BY_HOUR) == (Usage(0, output_tokens=0, audio_ms=7), False)
    assert media.billed(Usage(), BY_HOUR) == (Usage(0, output_tokens=0, audio_ms=about_ms), True)
    assert media.billed(Usage(3, output_tokens=1), BY_TOKENS) == (Usage(3, output_tokens=1), False)
    # Seconds alone do not say what tokens cost.
    assert media.billed(Usage(audio_ms=7), BY_TOKENS)[1] is True


def test_a_recording_that_is_only_named_has_no_bound() -> None:
    assert asked("audio.transcriptions", file_url="https://x").dear_field == "file_url"


@pytest.mark.parametrize(
    ("values", "usage"),
    [
        ({"usage": {"type": "duration", "seconds": 7.25}}, Usage(audio_ms=7_250)),
        ({"duration": "3.5"}, Usage(audio_ms=3_500)),
        ({"usage": {"type": "duration", "seconds": -1}}, Usage()),
        ({"usage": {"seconds": True}, "duration": float("nan")}, Usage()),
        (
            {
                "usage": {
                    "type": "tokens",
                    "input_tokens": 9,
                    "output_tokens": 2,
                    "total_tokens": 11,
                    "input_token_details": {"audio_tokens": 8},
                }
            },
            Usage(9, output_tokens=2, input_audio_tokens=8),
        ),
        (
            {
                "usage": {
                    "input_tokens": 9,
                    "output_tokens": 5,
                    "total_tokens": 14,
                    "input_tokens_details": {"text_tokens": 2, "image_tokens": 7},
                    "output_tokens_details": {"image_tokens": 50, "text_tokens": 0},
                }
            },
            Usage(9, output_tokens=5, input_image_tokens=7, output_image_tokens=5),
        ),
    ],
)
def test_what_answers_say_of_their_use(values: dict[str, Any], usage: Usage) -> None:
    assert media_usage(values) == usage


def test_whole_answers() -> None:
    made = orjson.dumps({"data": [{}, {}], "size": "1x1", "quality": "low"})
    _, error, billing = read_media_answer("images.generations", "application/json", made)
    assert (error, billing.images) == (None, ImagesMade(2, "low", "1x1"))
    assert read_media_answer("audio.transcriptions", "text/plain", b"\xff")[0] == Usage()
    for broken in (b"[]", b'{"data":'):
        with pytest.raises(AnswerUnreadableError):
            read_media_answer("images.generations", "application/json", broken)
    assert is_answer("audio.transcriptions", "text/plain")
    assert not is_answer("images.edits", "text/plain")
    assert not is_answer("audio.transcriptions", "text/html")
    assert is_sound("audio.speech", "audio/mpeg")
    assert not is_sound("audio.speech", "text/event-stream; charset=utf-8")
    assert not is_sound("audio.speech", "text/html")
    assert not is_sound("images.edits", "audio/mpeg")


def event(**values: Any) -> bytes:
    return b"event: x\ndata: " + orjson.dumps(values) + b"\n\n"


def test_a_stream_of_pictures_is_whole_once_one_is() -> None:
    tally = MediaTally("images.generations")
    partial = event(type="image_generation.partial_image", b64_json="x" * 9000)
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    last = event(type="image_generation.completed", b64_json="x" * 9000, size="1x1", quality="low", usage=usage)
    assert (tally.passing([partial]), tally.may_end) == ([partial], False)
    assert (tally.passing([last, last]), tally.may_end) == ([last, last], True)
    assert tally.usage is not None
    assert tally.usage.output_tokens == 4
    assert tally.billing.images == ImagesMade(2, "low", "1x1")


def test_a_stream_may_say_its_end_or_an_error() -> None:
    tally = MediaTally("audio.transcriptions")
    tally.passing([event(type="transcript.text.delta", delta="hum"), b"data: [DONE]\n\n"])
    assert (tally.done_event, tally.output_bytes) == (b"data: [DONE]\n\n", 3)
    broken = MediaTally("audio.transcriptions")
    broken.passing([event(type="error", error={"message": "no", "code": "x"})])
    assert broken.failure is not None
    assert not broken.may_end


def in_form(face: Face, *parts: tuple[bytes, bytes]) -> Known:
    """Parts: what stands behind ``form-data; ``, and the value."""
    said = b"".join(
        b"--b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % part for part in ((b'name="model"', b"m"), *parts)
    )
    return read_media(face, said + b"--b--\r\n", b"multipart/form-data; boundary=b")


@pytest.mark.parametrize(
    "values",
    [
        {"file": "https://example.com/ten-hours.mp3"},
        {"file": "file-abc123"},
        {"file_url": "https://example.com/x"},
        {"audio_url": "https://example.com/x"},
        {},
    ],
)
def test_a_recording_that_is_elsewhere_has_no_price(values: dict[str, Any]) -> None:
    assert asked("audio.transcriptions", **values).dear_field in (*values, "file")


def test_a_recording_in_the_request_has_one() -> None:
    said = "UklGR" + "A" * 600
    assert asked("audio.transcriptions", input_audio={"data": said, "format": "wav"}).dear_field is None
    assert in_form("audio.transcriptions", (b'name="file"; filename="a.wav"', b"RIFF")).dear_field is None
    assert in_form("audio.transcriptions", (b'name="file"', b"https://example.com/x.mp3")).dear_field == "file"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        (b'name="n"; filename=""', b"10"),
        (b'name="n"; filename="n"', b"10"),
        (b'name="quality"; filename="q"', b"high"),
        (b'name="n"', b"\xff"),
        (b'name="n]"', b"10"),
        (b'name="[n]"', b"10"),
        (b'name="n[]"', b"10"),
        (b'name="n\0"', b"10"),
        ('name="n\u200b"'.encode(), b"10"),
        ('name="\uff4e"'.encode(), b"10"),
        (b'name="N"', b"10"),
    ],
)
def test_a_field_that_another_reader_may_take_for_one_of_ours_is_refused(part: bytes, value: bytes) -> None:
    with pytest.raises(RequestInvalidError):
        in_form("images.generations", (b'name="prompt"', b"x"), (part, value))


@pytest.mark.parametrize(
    ("quality", "size"),
    [("HIGH", ""), ("High", ""), ("ultra", ""), ("", "2048X2048"), ("", "02048x2048"), ("", "2K"), ("", "4096x4096")],
)
def test_another_spelling_is_not_cheaper(quality: str, size: str) -> None:
    prices = {"high": 17, "low": 1, "2048x2048": 16, "1024x1024": 4, "*": 1}
    assert (image_nusd(prices, ImagesMade(1, quality, size)) or 0) >= 16


def test_pictures_are_counted_under_whatever_name() -> None:
    one = asked("images.edits", prompt="x", image="data:1").input_tokens_at_most
    many = asked("images.edits", prompt="x", image=[f"data:{number}" for number in range(50)]).input_tokens_at_most
    assert many > 40 * (one - 1_000) > 0


def test_another_name_for_how_many_has_no_price() -> None:
    assert asked("images.generations", prompt="x", num_images=10).dear_field == "num_images"
    assert asked("images.generations", prompt="x", num_images=1).dear_field is None

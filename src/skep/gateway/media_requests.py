"""Reads requests about pictures and sound: JSON, or forms whose files are not looked at but for their length. Pure.

A bound of what they may cost is reckoned generously where no provider says one: what is reserved is given back with the answer.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from skep.gateway.forms import Form, Part, is_form, read_form
from skep.gateway.interfaces import RequestInvalidError
from skep.gateway.large_bodies import Unread
from skep.gateway.media import AUTO, IMAGES, MEDIA_KEYS, SPEECH, TOKENS_PER_SECOND, Media, usual_picture_tokens
from skep.gateway.profiles import Face
from skep.gateway.requests import PICTURE_TOKENS, Known, read_request
from skep.gateway.splicing import Span
from skep.gateway.usage import ImagesMade, counted

_FORM_KEYS = frozenset(
    (*MEDIA_KEYS, "model", "models", "fallbacks", "stream", "n", "user", "prompt", "service_tier")
) - {"images", "mask"}
"""What must not be said twice in a form. Of pictures there may be several."""

_MOST_IMAGES = 1_000
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_UNSAID_PIXELS = 1536 * 1024
"""The largest that providers choose by themselves."""

_LEAST_PIXELS_PER_TOKEN = 64
"""Four times as many tokens as a picture of high quality has: for those that are called ``max``."""

_TOKENS_PER_PARTIAL = 200
_USUAL_PICTURE_TOKENS = 1_000
_MOST_INPUT_TOKENS_BESIDES = 1_000
_USUAL_FRAMES, _MOST_FRAMES = 9, 16
"""Of a GIF."""

_MOST_TOKENS_PER_CHARACTER = 8
"""Of speech that is as slow as can be asked for."""

_LEAST_BYTES_PER_SECOND = 500
"""Of sound: what the most frugal codecs for speech make of it."""

_USUAL_BYTES_PER_SECOND = 16_000
"""128 kbit/s, as of a usual MP3."""

_LEAST_BILLED_MS = 10_000
"""Some providers bill at least so much (https://console.groq.com/docs/speech-to-text)."""

_WRITTEN_TOKENS_PER_SECOND, _USUAL_WRITTEN_TOKENS_PER_SECOND = 10, 4
"""Of what is heard; the quickest speakers say some seven words in a second."""

_ELSEWHERE = ("file_url", "file_id", "url")
"""A recording that is only named: nobody here knows how long it is."""


def read_media(face: Face, body: bytes, content_type: bytes) -> Known:
    """What is known of such a request. A large one should be read in a thread. Raises RequestInvalidError."""
    if is_form(content_type):
        return _from_form(face, body, read_form(content_type, body))
    known = read_request(face, body)
    if face in IMAGES:
        return _drawing(known, None, _pictures_named(known.values))
    if face == SPEECH:
        return _speaking(known, None)
    return _listening(known, None, Span(0, len(body)))


def _from_form(face: Face, body: bytes, form: Form) -> Known:
    values, places = _fields(body, form)
    model = values.get("model")
    if not isinstance(model, str) or not model or not model.isprintable():
        raise RequestInvalidError(reason="model must name a model", param="model")
    for name in ("models", "fallbacks"):
        if name in values:
            raise RequestInvalidError(reason=f"{name} names other models than model does", param=name)
    user = values.get("user") or None
    if user is not None and len(user) > 512:
        raise RequestInvalidError(reason="user must be a text of at most 512 characters", param="user")
    known = Known(
        face=face,
        body=body,
        values=values,
        model=model,
        stream=_is_true(values.get("stream")),
        output_tokens=None,
        choices=_count(values, "n", 1),
        user=user,
        wants_usage=False,
        input_tokens_at_most=0,
        has_audio=False,
        keeps_an_hour=False,
        service_tier=None,
        searches=False,
        # Nobody is known to take a tier here.
        dear_field="service_tier" if values.get("service_tier") else None,
        searches_at_most=0,
        does_more=False,
        spans=places,
    )
    files = [part for part in form.parts if part.is_file]
    if face in IMAGES:
        return _drawing(known, form, len(files))
    if face == SPEECH:
        return _speaking(known, form)
    heard = next((part.span for part in form.parts if part.name == "file"), Span(0, 0))
    return _listening(known, form, heard)


def _fields(body: bytes, form: Form) -> tuple[dict[str, Any], dict[str, Span]]:
    """The texts of a form by name, and where those stand that we go by."""
    values: dict[str, Any] = {}
    places: dict[str, Span] = {}
    for part in form.parts:
        name = _plain_name(part)
        if name in _FORM_KEYS and name in places:
            raise RequestInvalidError(reason=f"the form says {name} twice", param=name)
        places[name] = part.span
        text = form.text(body, part)
        if text is not None:
            values[name] = text
    return values, places


def _plain_name(part: Part) -> str:
    """The name of a part. Raises RequestInvalidError where another reader may take it for one that we go by."""
    bare = re.split(r"[\[.]", part.name, maxsplit=1)[0]
    if bare == "svg":
        return bare
    folded = bare.strip().casefold()
    if part.name != folded and folded in _FORM_KEYS:
        raise RequestInvalidError(reason=f"the form writes {folded} in another way", param=folded)
    return part.name


def _drawing(known: Known, form: Form | None, pictures: int) -> Known:
    values, count = known.values, known.choices
    if not 1 <= count <= _MOST_IMAGES:
        raise RequestInvalidError(reason=f"n must be from 1 to {_MOST_IMAGES}", param="n")
    size, quality = _word(values, "size"), _word(values, "quality")
    found = _SIZE.fullmatch(size)
    pixels = int(found[1]) * int(found[2]) if found else _UNSAID_PIXELS
    frames = 1
    if values.get("output_format") == "gif":
        frames = min(max(1, _count(values, "frame_count", _USUAL_FRAMES)), _MOST_FRAMES)
    partials = min(_count(values, "partial_images", 0), _MOST_FRAMES)
    most = (-(-pixels // _LEAST_PIXELS_PER_TOKEN)) * frames + _TOKENS_PER_PARTIAL * (partials + 10)
    prompt = _bytes_of(values, "prompt")
    # Another model writes it, whose tokens are billed besides.
    is_vector = values.get("svg") is not None or values.get("output_format") == "svg"
    return replace(
        known,
        input_tokens_at_most=prompt + _MOST_INPUT_TOKENS_BESIDES + PICTURE_TOKENS * pictures,
        output_tokens=most * count,
        dear_field="output_format" if is_vector else known.dear_field,
        media=Media(
            known.face,
            form,
            input_tokens=(counted(prompt, 0).input_tokens or 0) + _USUAL_PICTURE_TOKENS * pictures,
            output_tokens=usual_picture_tokens(pixels) * frames * count,
            images=ImagesMade(count, quality, size),
        ),
    )


def _pictures_named(values: Mapping[str, Any]) -> int:
    """How many pictures a request in JSON has at most."""
    images = values.get("images")
    count = len(images) if isinstance(images, list) else images.values if isinstance(images, Unread) else 0
    return count + sum(values.get(name) is not None for name in ("mask", "image"))


def _speaking(known: Known, form: Form | None) -> Known:
    text = known.values.get("input")
    if isinstance(text, Unread):
        text = orjson.loads(known.body[text.span.start : text.span.end])
    if not isinstance(text, str) or not text:
        raise RequestInvalidError(reason="input must be the text to speak", param="input")
    size = len(text.encode("utf-8", "replace")) + _bytes_of(known.values, "instructions")
    media = Media(SPEECH, form, input_tokens=counted(size, 0).input_tokens or 0, characters=len(text))
    return replace(
        known,
        # It is passed on as it comes, in whatever way it is asked for.
        stream=True,
        input_tokens_at_most=size + _MOST_INPUT_TOKENS_BESIDES,
        output_tokens=len(text) * _MOST_TOKENS_PER_CHARACTER + _MOST_INPUT_TOKENS_BESIDES,
        has_audio=True,
        media=replace(media, output_tokens=media.spoken_tokens()),
    )


def _listening(known: Known, form: Form | None, heard: Span) -> Known:
    elsewhere = next((name for name in _ELSEWHERE if known.values.get(name)), None)
    about, most = _length_ms(known.body, heard)
    most = max(most, _LEAST_BILLED_MS)
    prompt = _bytes_of(known.values, "prompt")
    media = Media(
        known.face,
        form,
        input_tokens=about * TOKENS_PER_SECOND // 1000 + (counted(prompt, 0).input_tokens or 0),
        output_tokens=about * _USUAL_WRITTEN_TOKENS_PER_SECOND // 1000,
        audio_ms=about,
        audio_ms_at_most=most,
    )
    return replace(
        known,
        input_tokens_at_most=most * TOKENS_PER_SECOND // 1000 + prompt + _MOST_INPUT_TOKENS_BESIDES,
        output_tokens=most * _WRITTEN_TOKENS_PER_SECOND // 1000,
        has_audio=True,
        dear_field=elsewhere or known.dear_field,
        media=media,
    )


def _length_ms(body: bytes, span: Span) -> tuple[int, int]:
    """About how long a recording is, and how long at most; known for certain of those that say it in a way that cannot be wrong by much."""
    head, size = body[span.start : span.start + 64], span.end - span.start
    rate = _wav_bytes_per_second(head)
    if rate:
        exact = -(-size * 1000 // rate)
        return exact, exact
    return size * 1000 // _USUAL_BYTES_PER_SECOND, -(-size * 1000 // _LEAST_BYTES_PER_SECOND)


_PCM = (1, 3)


def _wav_bytes_per_second(head: bytes) -> int:
    """Of a WAV file that is not compressed; else 0."""
    if head[:4] != b"RIFF" or head[8:16] != b"WAVEfmt " or len(head) < 36:
        return 0
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, 20)
    return int(channels * rate * bits // 8) if kind in _PCM else 0


def _word(values: Mapping[str, Any], name: str) -> str:
    """A word such as ``1024x1024``; what is no word is the provider's to refuse, and costs what it may."""
    value = values.get(name)
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) and len(value) <= 40 and value.isprintable() and " " not in value else AUTO


def _bytes_of(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if isinstance(value, Unread):
        return value.span.end - value.span.start
    return len(value.encode("utf-8", "replace")) if isinstance(value, str) else 0


def _count(values: Mapping[str, Any], name: str, usual: int) -> int:
    """A whole number, also where it is written as a text, as in forms."""
    value = values.get(name)
    if value is None or value == "":
        return usual
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1_000_000:
        raise RequestInvalidError(reason=f"{name} must be a whole number", param=name)
    return value


def _is_true(text: str | None) -> bool:
    """Whether a field of a form says yes, as those that read forms take it."""
    if text is None or text.lower() in ("", "false", "0", "no", "off"):
        return False
    if text.lower() not in ("true", "1", "yes", "on"):
        raise RequestInvalidError(reason="stream must be true or false", param="stream")
    return True

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
from skep.gateway.media import (
    AUTO,
    BATCHES,
    IMAGES,
    MEDIA_KEYS,
    SPEECH,
    TOKENS_PER_SECOND,
    Media,
    pixels_of,
    spelled,
    usual_picture_tokens,
)
from skep.gateway.profiles import Face
from skep.gateway.requests import PICTURE_TOKENS, Known, read_request
from skep.gateway.splicing import Span
from skep.gateway.usage import ImagesMade, counted

_PICTURES = frozenset({"image", "images", "mask"})
"""Of these there may be several in a form, and what is sent may be files or texts."""

_FORM_KEYS = (
    frozenset((*MEDIA_KEYS, "model", "models", "fallbacks", "stream", "n", "user", "prompt", "service_tier"))
    - _PICTURES
)
"""What must not be said twice in a form, and must be a text there, but for ``file``."""

_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]+")
_NUMBERED = re.compile(r"(image|images|mask)\[[0-9]*\]")
_NOT_LETTERS = re.compile(r"[^a-z0-9]")
_BARE = {_NOT_LETTERS.sub("", name): name for name in (*_FORM_KEYS, *_PICTURES)}

_MOST_IMAGES = 1_000
_UNSAID_PIXELS = 1536 * 1024
"""The largest that providers choose by themselves."""

_STRANGE_PIXELS = 4096 * 4096
"""The largest that a size may stand for which is a word, such as ``4K``."""

_LEAST_PIXELS_PER_TOKEN = 64
"""Four times as many tokens as a picture of high quality has: for those that are called ``max``."""

_LEAST_PIXELS_PER_TOKEN_OF = {"low": 960, "medium": 248}
"""Four times as many as one of that quality has: 272 and 1,056 for 1024 x 1024
(https://developers.openai.com/api/docs/guides/image-generation#cost-and-latency)."""

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

_ELSEWHERE = ("file_url", "file_id", "audio_url", "url")
"""A recording that is only named: nobody here knows how long it is."""

_HERE = re.compile(rb"data:|(?:[A-Za-z0-9+/_-]|\\/){512}", re.IGNORECASE)
"""Begins a recording that is written out in base64: addresses have colons, and names are shorter."""

_LONGEST_BEGINNING = 1_100


def read_media(face: Face, body: bytes, content_type: bytes) -> Known:
    """What is known of such a request. A large one should be read in a thread. Raises RequestInvalidError."""
    if is_form(content_type):
        return _from_form(face, body, read_form(content_type, body))
    known = read_request(face, body)
    if face in IMAGES:
        return _drawing(known, None, _pictures_named(body, known.values))
    if face == SPEECH:
        return _speaking(known, None)
    return _listening(known, None, Span(0, len(body)), _elsewhere(body, known.values, has_file=False))


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
    if face in IMAGES:
        return _drawing(known, form, sum(_pictures_in(body, part) for part in form.parts))
    if face == SPEECH:
        return _speaking(known, form)
    heard = next((part for part in form.parts if part.name == "file"), None)
    where = _elsewhere(body, values, has_file=heard is not None and heard.is_file)
    return _listening(known, form, Span(0, 0) if heard is None else heard.span, where)


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
        elif name in _FORM_KEYS and not (name == "file" and part.is_file):
            raise RequestInvalidError(reason=f"{name} must be a text in UTF-8, and not a file", param=name)
    return values, places


def _plain_name(part: Part) -> str:
    """The name of a part. Raises RequestInvalidError where another reader may take it for one that we go by."""
    if _NAME.fullmatch(part.name) is None:
        # What is left of such a name differs from reader to reader.
        shown = ascii(part.name[:64])
        raise RequestInvalidError(
            reason=f"the form's field {shown} has a name not of letters, digits and ._-[]", param=None
        )
    bare = re.split(r"[\[.]", part.name, maxsplit=1)[0]
    if bare == "svg":
        return bare
    if part.name in _FORM_KEYS or part.name in _PICTURES or _NUMBERED.fullmatch(part.name):
        return part.name
    for written in (part.name, bare):
        meant = _BARE.get(_NOT_LETTERS.sub("", written.lower()))
        if meant is not None:
            raise RequestInvalidError(reason=f"the form writes {meant} in another way", param=meant)
    return part.name


def _drawing(known: Known, form: Form | None, pictures: int) -> Known:
    values, count = known.values, known.choices
    if not 1 <= count <= _MOST_IMAGES:
        raise RequestInvalidError(reason=f"n must be from 1 to {_MOST_IMAGES}", param="n")
    size, quality = _word(values, "size"), _word(values, "quality")
    pixels = pixels_of(size) or (_UNSAID_PIXELS if values.get("size") in (None, "", AUTO) else _STRANGE_PIXELS)
    frames = 1
    if values.get("output_format") == "gif":
        frames = min(max(1, _count(values, "frame_count", _USUAL_FRAMES)), _MOST_FRAMES)
    partials = min(_count(values, "partial_images", 0), _MOST_FRAMES)
    least = _LEAST_PIXELS_PER_TOKEN_OF.get(quality, _LEAST_PIXELS_PER_TOKEN)
    most = -(-pixels // least) * frames + _TOKENS_PER_PARTIAL * (partials + 10)
    prompt = _bytes_of(values, "prompt")
    # Another model writes it, whose tokens are billed besides.
    vector = "output_format" if values.get("output_format") == "svg" else None
    vector = "svg" if values.get("svg") is not None else vector
    batch = next((name for name in BATCHES if values.get(name) not in (None, "", 1, "1")), None)
    return replace(
        known,
        input_tokens_at_most=prompt + _MOST_INPUT_TOKENS_BESIDES + PICTURE_TOKENS * pictures,
        output_tokens=most * count,
        dear_field=vector or batch or known.dear_field,
        media=Media(
            known.face,
            form,
            input_tokens=(counted(prompt, 0).input_tokens or 0) + _USUAL_PICTURE_TOKENS * pictures,
            output_tokens=usual_picture_tokens(pixels) * frames * count,
            images=ImagesMade(count, quality, size),
        ),
    )


def _pictures_named(body: bytes, values: Mapping[str, Any]) -> int:
    """How many pictures a request in JSON has at most, under whatever name a provider has for them."""
    count = 0
    for name, value in values.items():
        if name not in _PICTURES and "image" not in name:
            continue
        if isinstance(value, Unread):
            # Each of them has a text, or at least a comma.
            count += max(1, value.values, _texts_within(body, value.span), body.count(b",", *_ends(value.span)))
        elif isinstance(value, str | list | dict):
            count += _leaves(value)
    return count


def _leaves(value: object) -> int:
    """How many elements there are in a value; of an object's texts one counts."""
    count, left = 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            count += max(1, each.count("://"))
        elif isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            count += 1
            left += [inner for inner in each.values() if isinstance(inner, list | dict)]
        elif each is not None:
            count += 1
    return count


def _pictures_in(body: bytes, part: Part) -> int:
    """How many pictures a field of a form has at most: a text may name several."""
    if part.is_file:
        return 1
    if "image" not in part.name and part.name.split("[")[0] not in _PICTURES:
        return 0
    ends = _ends(part.span)
    return max(body.count(b"://", *ends), body.count(b",", *ends) + 1, _texts_within(body, part.span))


def _texts_within(body: bytes, span: Span) -> int:
    return body.count(b'"', *_ends(span)) // 2


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.end


def _speaking(known: Known, form: Form | None) -> Known:
    text = known.values.get("input")
    if isinstance(text, Unread):
        text = _loaded(known.body[text.span.start : text.span.end])
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


def _elsewhere(body: bytes, values: Mapping[str, Any], *, has_file: bool) -> str | None:
    """The field that names a recording which is not in the request; None: it is there."""
    named = next((name for name in _ELSEWHERE if values.get(name)), None)
    if named is not None:
        return named
    given = [name for name in ("file", "input_audio") if values.get(name) not in (None, "")]
    if not given and not has_file:
        return "file"
    return next((name for name in given if not _is_here(body, values[name])), None)


def _is_here(body: bytes, value: object) -> bool:
    """Whether a value is a recording that is written out, as OpenRouter wants it: ``{"data": "UklGR..."}``."""
    if isinstance(value, Unread):
        start, end = value.span.start, value.span.end
        if body[start : start + 1] == b"{":
            return _is_here(body, _loaded(body[start:end]))
        return _HERE.match(body[start + 1 : min(end, start + _LONGEST_BEGINNING)]) is not None
    if isinstance(value, dict) and set(value) <= {"data", "format"}:
        value = value.get("data")
    return isinstance(value, str) and _HERE.match(value[:_LONGEST_BEGINNING].encode("utf-8", "replace")) is not None


def _loaded(text: bytes) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestInvalidError(reason=f"the body is not JSON ({error})", param=None) from error


def _listening(known: Known, form: Form | None, heard: Span, elsewhere: str | None) -> Known:
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
    word = spelled(value) if isinstance(value, str) and len(value) <= 40 and value.isprintable() else ""
    return word if word and " " not in word else AUTO


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

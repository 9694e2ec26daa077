"""What answers with pictures and sound say of their use: whole ones, streams of events, and sound that is passed on as it comes. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from typing_extensions import override

from skep.gateway.events import DONE, data_of
from skep.gateway.media import IMAGES, MEDIA, SPEECH
from skep.gateway.profiles import Face
from skep.gateway.streaming import Tally, told_failure
from skep.gateway.usage import UNBILLED, AnswerUnreadableError, Billing, ImagesMade, billing_of, delta_bytes, usage_of
from skep.spend import Usage

_MOST_SECONDS = 10_000_000


def is_answer(face: Face, content_type: str) -> bool:
    """Whether a whole answer can be of this type: a page of somebody on the way is none."""
    if face in MEDIA and face not in IMAGES:
        return not content_type.startswith("text/html")
    return "json" in content_type


def read_media_answer(face: Face, content_type: str, body: bytes) -> tuple[Usage, object, Billing]:
    """The same as `read_answer`, for an answer of one of these faces. What is not told stays open in the usage.

    Raises AnswerUnreadableError.
    """
    if "json" not in content_type:
        return Usage(), None, UNBILLED
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AnswerUnreadableError(str(error)) from error
    if not isinstance(values, dict):
        raise AnswerUnreadableError("it is no object")
    billing = billing_of(values)
    data = values.get("data")
    if face in IMAGES:
        billing = replace(billing, images=_made(values, len(data) if isinstance(data, list) else 0))
    return media_usage(values), values.get("error"), billing


def media_usage(values: Mapping[str, Any]) -> Usage:
    """What an answer says of its use: tokens, seconds, or nothing."""
    told = values.get("usage")
    usage = usage_of(told) or Usage()
    seconds = told.get("seconds") if isinstance(told, dict) else None
    seconds = values.get("duration") if seconds is None else seconds
    if isinstance(seconds, str):
        # So do some that speak OpenAI's API.
        seconds = float(seconds) if re.fullmatch(r"\d{1,8}(?:\.\d{1,9})?", seconds) else None
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < _MOST_SECONDS:
        usage = replace(usage, audio_ms=math.ceil(round(seconds * 1000, 3)))
    return usage


def _made(values: Mapping[str, Any], count: int) -> ImagesMade:
    quality, size = values.get("quality"), values.get("size")
    return ImagesMade(count, quality if isinstance(quality, str) else "", size if isinstance(size, str) else "")


class MediaTally(Tally):
    """See `Tally`: a stream of pictures, of what is heard, or of sound in events. It may end without a word for it, once the last one has come."""

    __slots__ = ("_face", "_is_over", "_made")

    def __init__(self, face: Face) -> None:
        super().__init__(hides_usage=False)
        self._face = face
        self._is_over = False
        self._made = ImagesMade(0)

    @property
    @override
    def may_end(self) -> bool:
        return self._is_over

    @override
    def passing(self, events: Iterable[bytes]) -> list[bytes]:
        passed = []
        for event in events:
            if self.done_event is not None or self.failure is not None:
                break
            data = data_of(event)
            if data is not None and data.strip() == DONE:
                self.done_event = event
                break
            passed.append(event)
            if data is not None:
                self._note(data)
        return passed

    def _note(self, data: bytes) -> None:
        if _PART.search(data, 0, _LOOKED_AT_BYTES) is None:
            self._note_last(data)
        if self._face not in IMAGES:
            self.pieces += 1
            self.output_bytes += delta_bytes(data)

    def _note_last(self, data: bytes) -> None:
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
        if not isinstance(values, dict):
            return
        kind = str(values.get("type") or "")
        if kind == "error" or values.get("error"):
            self.failure = told_failure(data)
        if kind.endswith((".completed", ".done")):
            self._is_over = True
        if kind.endswith(".completed"):
            # Each picture has its own.
            self._made = _made(values, self._made.count + 1)
            self.billing = Billing(images=self._made)
        if isinstance(values.get("usage"), dict):
            usage = media_usage(values)
            self.usage = usage if self.usage is None or kind == "" else _together(self.usage, usage)


_PART = re.compile(rb'"type"\s*:\s*"[a-z_.]+\.(?:partial_image|delta|segment)"')
"""Nearly all events; nothing is learned from them."""

_LOOKED_AT_BYTES = 4096


def _together(one: Usage, other: Usage) -> Usage:
    names = [name for name in Usage.__slots__ if getattr(one, name) is not None or getattr(other, name) is not None]
    return Usage(**{name: (getattr(one, name) or 0) + (getattr(other, name) or 0) for name in names})


class SoundTally(Tally):
    """See `Tally`: sound that is no stream of events. It is whole when its answer is."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(hides_usage=False)

    @property
    @override
    def may_end(self) -> bool:
        return True

    @override
    def passing(self, events: Iterable[bytes]) -> list[bytes]:
        return list(events)


class PieceScanner:
    """Takes the place of an `EventScanner` where nothing is to be cut."""

    def feed(self, piece: bytes) -> list[bytes]:
        """The piece."""
        return [piece]


def is_sound(face: Face, content_type: str) -> bool:
    """Whether an answer that was asked for as a stream is sound, and no events."""
    return face == SPEECH and content_type.split(";", maxsplit=1)[0].strip().lower() not in (
        *("text/event-stream", "text/html", "application/json", ""),
    )

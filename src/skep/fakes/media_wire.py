"""The wire formats of pictures and sound, as OpenAI's API reference has them, of ranked documents (Jina, Cohere) and of judged texts. All pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from skep.fakes import content
from skep.fakes.models import Behaviour, Usage

_USUAL_BYTES_PER_SECOND = 16_000
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
_SUBTITLE = "00:00:{:02d}{}000 --> 00:00:{:02d}{}000"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and what answers are made of."""

    values: Mapping[str, Any]
    model: str
    streams: bool
    behaviour: Behaviour
    text: str
    """What is heard, where something is."""
    pieces: Sequence[str]
    created: int
    id: str
    seed: int
    request_bytes: int

    def charged(self, answer_bytes: int, **units: int) -> Usage:
        """What is charged: what the script says, the rest by bytes; nothing by tokens where the script says seconds."""
        said = self.behaviour.usage
        if said.seconds is not None:
            return Usage(0, audio_ms=round(said.seconds * 1000))
        return replace(content.charged(said, self.request_bytes, answer_bytes), **units)


@dataclass(frozen=True, slots=True)
class Media:
    """An answer: a body or events."""

    usage: Usage
    body: bytes = b""
    events: tuple[bytes, ...] | None = None
    content_type: str = "application/json"


def _event(values: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(values["type"]).encode(), orjson.dumps(values))


_EVENTS = "text/event-stream; charset=utf-8"


def _images(asked: Asked, kind: str) -> Media:
    values = asked.values
    count = values.get("n") or 1
    pictures = [_picture(asked, index) for index in range(count)]
    usage = asked.charged(sum(map(len, pictures)), images=count)
    told = {"usage": _picture_usage(usage)} if asked.behaviour.usage.told else {}
    look = {"size": values.get("size") or "1024x1024", "quality": values.get("quality") or "high"}
    look |= {"background": "opaque", "output_format": "png"}
    if not asked.streams:
        data = [{"b64_json": base64.b64encode(each).decode()} for each in pictures]
        return Media(usage, orjson.dumps({"created": asked.created, "data": data, **look, **told}))
    shown = {"created_at": asked.created, **look}
    partial = {"type": f"{kind}.partial_image", "b64_json": base64.b64encode(pictures[0]).decode(), **shown}
    events = [_event({**partial, "partial_image_index": index}) for index in range(values.get("partial_images") or 0)]
    last = {"type": f"{kind}.completed", "b64_json": base64.b64encode(pictures[0]).decode(), **shown, **told}
    return Media(usage, events=(*events, _event(last)), content_type=_EVENTS)


def _picture(asked: Asked, index: int) -> bytes:
    """Bytes that begin like a PNG, the same for the same seed and words."""
    said = f"{asked.seed}/{asked.values.get('prompt')}/{index}".encode()
    return b"\x89PNG\r\n\x1a\n" + b"".join(hashlib.sha256(said + bytes([turn])).digest() for turn in range(32))


def _picture_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "text_tokens": usage.input_tokens - usage.image_input_tokens,
            "image_tokens": usage.image_input_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {
            "text_tokens": usage.output_tokens - usage.image_output_tokens,
            "image_tokens": usage.image_output_tokens,
        },
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _speech(asked: Asked) -> Media:
    text = str(asked.values["input"])
    sound = b"ID3\x04\x00" + b"".join(
        hashlib.sha256(f"{asked.seed}/{text}/{turn}".encode()).digest() for turn in range(64)
    )
    count = asked.behaviour.events or 4
    pieces = [sound[len(sound) * index // count : len(sound) * (index + 1) // count] for index in range(count)]
    usage = asked.charged(len(sound), characters=len(text))
    if asked.values.get("stream_format") != "sse":
        return Media(usage, events=tuple(pieces), content_type="audio/mpeg")
    deltas = [_event({"type": "speech.audio.delta", "audio": base64.b64encode(each).decode()}) for each in pieces]
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    told = {"usage": {**counts, "total_tokens": sum(counts.values())}} if asked.behaviour.usage.told else {}
    return Media(usage, events=(*deltas, _event({"type": "speech.audio.done", **told})), content_type=_EVENTS)


def _heard(asked: Asked) -> Media:
    form = asked.values.get("response_format") or "json"
    file = asked.values["file"]
    size = file["bytes"] if isinstance(file, dict) else asked.request_bytes
    usage = asked.charged(len(asked.text.encode()))
    seconds = asked.behaviour.usage.seconds
    usage = usage if seconds is not None else replace(usage, audio_ms=size * 1000 // _USUAL_BYTES_PER_SECOND)
    told = {"usage": _heard_usage(usage, seconds)} if asked.behaviour.usage.told else {}
    if asked.streams:
        deltas = [_event({"type": "transcript.text.delta", "delta": piece}) for piece in asked.pieces]
        last = _event({"type": "transcript.text.done", "text": asked.text, **told})
        return Media(usage, events=(*deltas, last), content_type=_EVENTS)
    length = usage.audio_ms / 1000
    if form == "verbose_json":
        part = {"id": 0, "seek": 0, "start": 0.0, "end": length, "text": asked.text, "tokens": [], "temperature": 0.0}
        part |= {"avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
        body = {"task": "transcribe", "language": "english", "duration": length, "text": asked.text, "segments": [part]}
        return Media(usage, orjson.dumps({**body, **told}))
    if form in ("text", "srt", "vtt"):
        comma = "," if form == "srt" else "."
        line = _SUBTITLE.format(0, comma, min(59, round(length)), comma)
        head = {"text": "", "srt": f"1\n{line}\n", "vtt": f"WEBVTT\n\n{line}\n"}[form]
        return Media(usage, f"{head}{asked.text}\n".encode(), content_type="text/plain; charset=utf-8")
    return Media(usage, orjson.dumps({"text": asked.text, **told}))


def _heard_usage(usage: Usage, seconds: float | None) -> dict[str, Any]:
    if seconds is not None:
        return {"type": "duration", "seconds": seconds}
    details = {"audio_tokens": usage.audio_input_tokens, "text_tokens": usage.input_tokens - usage.audio_input_tokens}
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {"type": "tokens", **counts, "total_tokens": sum(counts.values()), "input_token_details": details}


def _ranked(asked: Asked) -> Media:
    documents = asked.values["documents"]
    scores = [
        (content.chance_of(asked.seed, "rank", asked.values.get("query"), str(each)).random(), index)
        for index, each in enumerate(documents)
    ]
    top = asked.values.get("top_n") or len(scores)
    results = [
        {"index": index, "relevance_score": round(score, 6)} for score, index in sorted(scores, reverse=True)[:top]
    ]
    said = asked.behaviour.usage
    usage = replace(asked.charged(0), output_tokens=0, searches=said.searches or 0)
    told: dict[str, Any] = {}
    if said.told and said.searches is not None:
        told = {"meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": said.searches}}}
    elif said.told:
        told = {"usage": {"total_tokens": usage.input_tokens}}
    return Media(usage, orjson.dumps({"id": asked.id, "model": asked.model, "results": results, **told}))


def _judged(asked: Asked) -> Media:
    flagged = asked.behaviour.flagged
    entry = asked.values["input"]
    names = (*_CATEGORIES, *(name for name in flagged if name not in _CATEGORIES))
    result = {
        "flagged": bool(flagged),
        "categories": {name: name in flagged for name in names},
        "category_scores": {name: 0.97 if name in flagged else 0.0001 for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    is_many = isinstance(entry, list) and all(isinstance(each, str) for each in entry)
    results = [result] * (len(entry) if is_many else 1)
    return Media(Usage(0), orjson.dumps({"id": f"modr-{asked.id}", "model": asked.model, "results": results}))


MEDIA_PATHS: Mapping[str, tuple[str, Callable[[Asked], Media]]] = {
    "/v1/images/generations": ("prompt", lambda asked: _images(asked, "image_generation")),
    "/v1/images/edits": ("prompt", lambda asked: _images(asked, "image_edit")),
    "/v1/images/variations": ("image", lambda asked: _images(asked, "image_variation")),
    "/v1/audio/speech": ("input", _speech),
    "/v1/audio/transcriptions": ("file", _heard),
    "/v1/audio/translations": ("file", _heard),
    "/v1/rerank": ("documents", _ranked),
    "/v1/moderations": ("input", _judged),
}
"""By the address: the field that a request must have, and what makes the answer."""

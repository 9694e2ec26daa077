"""Calls whose provider speaks another format than the client: the request is translated once for each format, before the first attempt.

Nothing of this is touched by calls whose every route speaks the client's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import cast, get_args

import orjson

from skep.gateway.interfaces import FaceNotSpokenError, RequestUntranslatableError
from skep.gateway.large_bodies import BodyUnreadableError, is_quick, values_in
from skep.gateway.models import Model
from skep.gateway.profiles import FORMAT_FACES, Face
from skep.gateway.requests import Known
from skep.gateway.splicing import NestedTooDeepError
from skep.gateway.translating import (
    FormatName,
    Translator,
    UntranslatableError,
    Wanted,
    translate_answer,
    translate_error,
    translate_request,
    unsigned,
)

MOST_VALUES = 100_000
"""A body with more values is not translated: reading so many objects would hold up everybody else."""

_FORMATS: Mapping[Face, FormatName] = {face: cast("FormatName", name) for name, face in FORMAT_FACES.items()}
"""By the faces that can be translated into each other."""

_NO_FACE = UntranslatableError(
    "the address", "its provider has neither it nor one that such a request can be translated for"
)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A request as another face of a provider takes it, and what its client wants of the answer."""

    known: Known
    wanted: Wanted
    client: Face
    """The face that it came by."""

    def answer(self, body: bytes) -> bytes:
        """A whole answer for the client. Raises AnswerStrangeError."""
        wanted = replace(self.wanted, created=int(time.time()))
        return translate_answer(body, _FORMATS[self.known.face], _FORMATS[self.client], wanted)

    def stream(self) -> Translator:
        """What turns the events of the answer into the client's."""
        wanted = replace(self.wanted, created=int(time.time()))
        return Translator(_FORMATS[self.known.face], _FORMATS[self.client], wanted)

    def error(self, status: int, message: str, code: str) -> bytes:
        """A provider's error for the client."""
        return translate_error(_FORMATS[self.client], status, message, code)


Translations = Mapping[Face, "Spoken | UntranslatableError"]
"""By the provider's face: the request, or why it cannot be said there."""


def format_of(face: Face) -> FormatName | None:
    """The wire format of a face; None: it is translated into no other."""
    return _FORMATS.get(face)


def foreign_faces(model: Model) -> Mapping[Face, frozenset[Face]]:
    """By the faces that not every route of a model has, those to translate into; the faces that all have are left out."""
    found: dict[Face, frozenset[Face]] = {}
    for face in get_args(Face):
        spoken = {route.face_for(face) for route in model.routes}
        if spoken != {face}:
            found[face] = frozenset(each for each in spoken if each is not None and each != face)
    return found


async def translations(known: Known, model: Model, faces: Collection[Face]) -> Translations:
    """The request for each of the faces; a large one is read in a thread.

    When no route of the model can be told it, raises RequestUntranslatableError with what the first says that has an address for
    it at all, else FaceNotSpokenError.
    """
    found = _translated(known, faces) if is_quick(known.body) else await asyncio.to_thread(_translated, known, faces)
    reasons: list[UntranslatableError] = []
    for route in model.routes:
        reason = why_not(found, known.face, route.face_for(known.face))
        if reason is None:
            return found
        reasons.append(reason)
    first = next((reason for reason in reasons if reason is not _NO_FACE), None)
    if first is None:
        spoken = ", ".join(dict.fromkeys(face for route in model.routes for face in route.paths))
        raise FaceNotSpokenError(model=model.name, face=known.face, known=spoken or "nothing", param="model")
    raise RequestUntranslatableError(model=model.name, param=first.field, reason=first.reason)


def why_not(found: Translations, client: Face, face: Face | None) -> UntranslatableError | None:
    """Why a provider that is called by a face cannot be told a request; None: it can."""
    if face == client:
        return None
    spoken = _NO_FACE if face is None else found[face]
    return spoken if isinstance(spoken, UntranslatableError) else None


def _translated(known: Known, faces: Iterable[Face]) -> Translations:
    try:
        if not is_quick(known.body) and values_in(known.body) > MOST_VALUES:
            raise UntranslatableError("the body", f"it has more than {MOST_VALUES} values")
        values = orjson.loads(known.body)
    except (orjson.JSONDecodeError, BodyUnreadableError, NestedTooDeepError) as error:
        return dict.fromkeys(faces, UntranslatableError("the body", str(error)))
    except UntranslatableError as error:
        return dict.fromkeys(faces, error)
    if known.named is not None:
        values |= {"model": known.named.model, "stream": known.named.streams}
    return {face: _one(known, values, face) for face in faces}


def _one(known: Known, values: dict[str, object], face: Face) -> Spoken | UntranslatableError:
    try:
        written, wanted = translate_request(values, _FORMATS[known.face], _FORMATS[face])
    except UntranslatableError as error:
        return error
    # Each provider has a word of its own for the bound, and some refuse any other: `adapted` says it.
    in_address = ("model", "stream") if _FORMATS[face] == "gemini" else ()
    for name in ("max_completion_tokens", "max_output_tokens", *in_address):
        written.pop(name, None)
    body = orjson.dumps(written)
    if _FORMATS[face] != "gemini":
        body = unsigned(body)
    said = replace(known, face=face, body=body, values=written, wants_usage=False, spans=None)
    return Spoken(said, wanted, known.face)


def without_signatures(known: Known) -> Known:
    """A request for a provider of the client's own format, without what only Gemini's models can read of ids."""
    body = unsigned(known.body)
    return known if body is known.body else replace(known, body=body, spans=None)

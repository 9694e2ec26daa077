"""One attempt: a route is asked, and answers in a way that can be passed on, or fails in one that is named."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from skep.gateway.calls import NO_USAGE, ModelCall
from skep.gateway.events import EventScanner, EventTooLargeError, data_of
from skep.gateway.failures import Failure, classify
from skep.gateway.guarding import StreamGuard
from skep.gateway.headers import header
from skep.gateway.interfaces import Answer, AttemptFailedError, Stream
from skep.gateway.media_answers import (
    MediaTally,
    PieceScanner,
    SoundTally,
    is_answer,
    is_sound,
    read_media_answer,
)
from skep.gateway.models import Route
from skep.gateway.profiles import Face
from skep.gateway.ranking import read_ranking
from skep.gateway.requests import Known
from skep.gateway.streaming import Tally, tally_of
from skep.gateway.translated import Spoken
from skep.gateway.translating import AnswerStrangeError, Translator
from skep.gateway.usage import AnswerUnreadableError, Billing, read_answer, read_generation, read_message
from skep.spend import Usage

_MAX_EVENT_BYTES = 8_388_608
"""One event of a stream is a few hundred bytes; with a picture in it, some megabytes."""

_MAX_ERROR_BYTES = 1_048_576


async def fetch_whole(call: ModelCall, route: Route, timeout_seconds: float) -> tuple[Answer, Usage | None, Billing]:
    """Ask a route for a whole answer: what it says in the client's format, used, and is billed by. Raises AttemptFailedError."""
    provider, spoken = route.provider, call.spoken(route)
    known = call.known if spoken is None else spoken.known
    answer = await call.tools.upstream.fetch(
        provider,
        route.paths[known.face],
        call.body(route, known),
        call.headers_to(route, spoken),
        timeout_seconds=timeout_seconds,
    )
    if call.heard is not None:
        call.heard.restart()
        if call.guard is None or answer.status != HTTPStatus.OK:
            # What a guard looks through is kept as it leaves it; see `_relay_whole`.
            call.heard.add(answer.body)
    if answer.status != HTTPStatus.OK:
        raise AttemptFailedError(_classified(answer.status, answer.headers, answer.body))
    content_type = header(answer.headers, "content-type")
    if not is_answer(known.face, content_type):
        # A page of somebody on the way, most likely: no model has written it.
        reason = f"its answer is no JSON but {content_type[:80] or 'unnamed'}"
        raise AttemptFailedError(
            Failure("malformed", reason, 200, usage=Usage(call.known.input_tokens_reckoned, output_tokens=0))
        )
    try:
        if known.media is None:
            usage, error, billing = _READERS.get(known.face, read_answer)(answer.body)
        else:
            usage, error, billing = read_media_answer(known.face, content_type, answer.body)
    except AnswerUnreadableError as unreadable:
        raise AttemptFailedError(Failure("malformed", "its answer is not the JSON it should be", 200)) from unreadable
    if error:
        raise AttemptFailedError(_classified(500, answer.headers, answer.body))
    if known.is_free:
        usage = NO_USAGE
    if spoken is not None:
        answer = _Translated(answer.status, answer.headers, _translated(spoken, answer.body, usage))
    return answer, usage, billing


_READERS = {"messages": read_message, "rerank": read_ranking, "generate_content": read_generation}
"""What reads whole answers by the faces that have others than OpenAI's."""


@dataclass(slots=True)
class _Translated:
    """An answer in the client's format."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def _translated(spoken: Spoken, body: bytes, usage: Usage | None) -> bytes:
    try:
        return spoken.answer(body)
    except AnswerStrangeError as error:
        reason = f"its answer cannot be said in the client's format: {error}"
        raise AttemptFailedError(Failure("malformed", reason, 200, usage=usage)) from error


def _classified(status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Failure:
    return classify(
        status,
        body,
        content_type=header(headers, "content-type"),
        retry_after=header(headers, "retry-after"),
        now=time.time(),
    )


@dataclass(slots=True)
class Opened:
    """A stream whose first event has come."""

    stream: Stream
    scanner: EventScanner | PieceScanner
    tally: Tally
    first: list[bytes]
    face: Face
    """The provider's."""
    translator: Translator | None
    """None: the provider speaks the client's format."""
    guard: StreamGuard | None
    """None: nobody looks through it."""
    content_type: str = "text/event-stream; charset=utf-8"


async def open_stream(call: ModelCall, route: Route, timeout_seconds: float) -> Opened:
    """Send, and wait for the first event: until it is there, another attempt can take the place of this one.

    Raises AttemptFailedError.
    """
    provider, spoken = route.provider, call.spoken(route)
    known = call.known if spoken is None else spoken.known
    until = time.monotonic() + min(timeout_seconds, route.first_byte_timeout_seconds)
    stream = await call.tools.upstream.stream(
        provider,
        route.stream_paths[known.face],
        call.body(route, known),
        call.headers_to(route, spoken),
        timeout_seconds=until - time.monotonic(),
    )
    try:
        if stream.status != HTTPStatus.OK:
            body = await _read_error(stream, until)
            if call.heard is not None:
                call.heard.restart()
                call.heard.add(body)
            raise AttemptFailedError(_classified(stream.status, stream.headers, body))
        opened = _opened(call, route, stream, known)
        call.make_stopper(route, known)
        while not opened.first:
            piece = await _read(stream, until - time.monotonic())
            if not piece:
                raise AttemptFailedError(Failure("malformed", "its stream ended before the first event", stream.status))
            opened.first = cut_events(opened.scanner, piece)
        _refuse_told_error(opened)
    except BaseException:
        await asyncio.shield(stream.close())
        raise
    return opened


def _opened(call: ModelCall, route: Route, stream: Stream, known: Known) -> Opened:
    """How to read a stream that begins. Raises AttemptFailedError for what is none."""
    content_type = header(stream.headers, "content-type")
    if is_sound(known.face, content_type):
        call.is_sound = True
        return Opened(stream, PieceScanner(), SoundTally(), [], known.face, None, None, content_type)
    if not content_type.startswith("text/event-stream"):
        reason = f"its answer is no stream but {content_type[:80] or 'unnamed'}"
        raise AttemptFailedError(Failure("malformed", reason, stream.status))
    guard = None if call.guard is None else call.guard.stream()
    if known.media is not None:
        scanner = EventScanner(max(_MAX_EVENT_BYTES, call.tools.options.max_answer_bytes))
        return Opened(stream, scanner, MediaTally(known.face), [], known.face, None, guard)
    spoken = call.spoken(route)
    hides = route.provider.profile.takes_include_usage and not call.known.wants_usage and spoken is None
    tally, translator = tally_of(known.face, hides_usage=hides), None if spoken is None else spoken.stream()
    return Opened(stream, EventScanner(_MAX_EVENT_BYTES), tally, [], known.face, translator, guard)


def _refuse_told_error(opened: Opened) -> None:
    """A stream that begins with an error is a failed attempt."""
    if isinstance(opened.tally, SoundTally):
        return
    data = data_of(opened.first[0])
    if data is not None and b'"error"' in data:
        probe = tally_of(opened.face, hides_usage=False)
        probe.passing(opened.first[:1])
        if probe.failure is not None:
            kind = "server_error" if probe.failure.kind == "interrupted" else probe.failure.kind
            raise AttemptFailedError(Failure(kind, probe.failure.reason, opened.stream.status))


async def _read_error(stream: Stream, until: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < _MAX_ERROR_BYTES and (piece := await _read(stream, until - time.monotonic())):
        parts.append(piece)
        size += len(piece)
    return b"".join(parts)


async def _read(stream: Stream, seconds: float) -> bytes:
    return await stream.read(max(0.001, seconds))


def cut_events(scanner: EventScanner | PieceScanner, piece: bytes) -> list[bytes]:
    """The events that a piece completes. Raises AttemptFailedError for one that is too large."""
    try:
        return scanner.feed(piece)
    except EventTooLargeError as error:
        raise AttemptFailedError(Failure("malformed", f"an event has more than {_MAX_EVENT_BYTES} bytes")) from error

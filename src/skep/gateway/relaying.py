"""Passes answers on: whole ones after they were read, streams as they come. Every call that left is settled, however it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus

from skep.gateway.apologizing import apologize, owes_apology
from skep.gateway.calls import CallFailedError, ModelCall, attempt_routes
from skep.gateway.failures import Failure, words_of
from skep.gateway.fetching import Opened, cut_events, fetch_whole, open_stream
from skep.gateway.guarding import BlockedError, CallGuard
from skep.gateway.headers import header, to_client
from skep.gateway.interfaces import (
    AttemptFailedError,
    CallStoppedError,
    NoRouteError,
    RoutesBusyError,
    failed_error,
)
from skep.gateway.streaming import Tally, cost_comment, error_event
from skep.gateway.translating import AnswerStrangeError
from skep.gateway.usage import counted, output_bytes
from skep.gateway.watching import ClientWatch
from skep.spend import Outcome, Step
from skep.web import WHOLE_ANSWER, break_connection

_WATCH_AFTER_SECONDS = 0.1
"""Most whole answers of quick models are there before; whoever waits longer is watched."""

_LAST_READ_SECONDS = 0.5
_AFTER_SAID_SECONDS = 5.0
"""Where no event ends a stream, its end comes right after the last thing that was said; whoever does not close it is not waited for longer."""

_LAST_WORDS_SECONDS = 1.0
"""A client that is behind when the server stops gets so long to take the last event."""


async def run_call(call: ModelCall) -> None:
    """Make the call and answer the client. The ticket has begun.

    Raises the errors that are to be shown, and CancelledError only when the server ends.
    """
    options = call.tools.options
    cancels = options.cancels_when_client_gone
    # A stream that is heard out sees to its end itself; a whole answer has nothing else that would.
    watch = ClientWatch(
        call.receive, cancels=cancels or not call.known.stream, after_seconds=0.0 if cancels else options.drain_seconds
    )
    try:
        await (_relay_stream(call, watch) if call.known.stream else _relay_whole(call, watch))
    except asyncio.CancelledError:
        if call.is_stopped:
            await _answer_stopped(call, watch)
        elif not watch.is_gone:
            raise
        else:
            watch.forgive()
    except _ClientStalledError:
        # Like one that went away; nobody is left to be answered.
        call.notes.log["client"] = "stalled"
    except NoRouteError as error:
        # It is written down as begun, and nothing left.
        call.settle("rate_limited" if isinstance(error, RoutesBusyError) else "server_error")
        if owes_apology(call, None):
            await apologize(call)
            return
        call.notes.headers += call.headers()
        raise
    except CallFailedError as error:
        await _answer_failure(call, error.failure)
    except Exception:
        call.settle_left("internal")
        raise
    finally:
        watch.stop()
        if call.charge is None:
            # The client went away, or the server ends.
            call.settle_left("cancelled")


async def _answer_stopped(call: ModelCall, watch: ClientWatch) -> None:
    """The server ends before the call does: a stream ends with an error event, another answer is an error."""
    assert call.task is not None, "it was cancelled"
    call.task.uncancel()
    error = CallStoppedError(model=call.model.name)
    if not call.has_begun:
        call.settle_left("interrupted")
        call.notes.headers += call.headers()
        raise error
    if call.is_sound:
        break_connection(call.scope)
    elif call.known.stream and not watch.is_gone:
        last = _cost_comment(call) + error_event(call.known.face, error, call.events)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await call.send({"type": "http.response.body", "body": last})


async def _relay_whole(call: ModelCall, watch: ClientWatch) -> None:
    watch.start_later(call.tools.deadlines, _WATCH_AFTER_SECONDS)
    answer, usage, call.billing = await attempt_routes(call, fetch_whole)
    # From here on nothing takes long, and nothing must come between: what is used is charged.
    watch.stop()
    if call.spans is not None:
        call.spans.answered(answer.body)
    outcome: Outcome = "cancelled" if watch.is_gone else "ok"
    body, blocked = answer.body, None
    if call.guard is not None:
        is_json = "json" in header(answer.headers, "content-type")
        body, blocked = await _guard_whole(call, call.guard, body, is_json=is_json)
        outcome = outcome if blocked is None else "content_filter"
    if usage is None:
        call.settle_counted(outcome, output_bytes(answer.body), 0, answer.status)
    else:
        call.settle(outcome, usage=usage, status=answer.status)
    if blocked is not None and call.guard is not None:
        call.notes.headers += call.headers()
        raise call.guard.refusal(blocked, "answer")
    await _send_whole(call, answer.status, to_client(answer.headers), header(answer.headers, "content-type"), body)


async def _guard_whole(
    call: ModelCall, guard: CallGuard, body: bytes, *, is_json: bool
) -> tuple[bytes, BlockedError | None]:
    """The answer as its guards let it pass, or why they do not; what is kept of it is that."""
    if call.heard is not None:
        call.heard.restart()
    try:
        body = await guard.whole(body, is_json=is_json)
    except BlockedError as blocked:
        return body, blocked
    if call.heard is not None:
        call.heard.add(body)
    return body, None


async def _answer_failure(call: ModelCall, failure: Failure) -> None:
    """Tell the client how the last attempt failed: in the provider's own words where they speak about the request."""
    call.settle(failure.rule.outcome, status=failure.status)
    if owes_apology(call, failure):
        await apologize(call)
        return
    if failure.kind == "rate_limited" and failure.retry_after_seconds is None:
        # Who is told nothing comes back at once.
        left = 0.0 if call.route is None else call.tools.board.seconds_left((call.route,))
        failure = replace(failure, retry_after_seconds=max(1.0, left))
    if failure.rule.passes_body and failure.body and failure.status and "json" in failure.content_type:
        headers = []
        if failure.retry_after_seconds is not None:
            headers.append((b"retry-after", b"%d" % max(1, round(failure.retry_after_seconds))))
        spoken, body = None if call.route is None else call.spoken(call.route), failure.body
        if spoken is not None:
            code, message = words_of(body)
            body = spoken.error(failure.status, message or failure.reason, code)
        await _send_whole(call, failure.status, headers, failure.content_type, body)
        return
    call.notes.headers += call.headers()
    provider = "" if call.route is None else call.route.provider.name
    raise failed_error(failure, provider=provider, model=call.model.name)


async def _send_whole(
    call: ModelCall, status: int, headers: list[tuple[bytes, bytes]], content_type: str, body: bytes
) -> None:
    headers += call.headers()
    headers.append((b"content-type", content_type.encode("latin-1")))
    call.has_begun = True
    await call.send({"type": WHOLE_ANSWER, "status": status, "headers": headers, "body": body})


class _ClientStalledError(Exception):
    """The client took nothing for so long that it counts as gone."""


async def _relay_stream(call: ModelCall, watch: ClientWatch) -> None:
    watch.start()
    opened = await attempt_routes(call, open_stream)
    call.first_byte = time.monotonic()
    if call.spans is not None:
        call.spans.answered(opened.first[0])
    try:
        await _pass_on(call, opened, watch)
    except (asyncio.CancelledError, _ClientStalledError):
        raise
    except Exception:
        _settle_stream(call, opened.tally, "internal")
        raise
    finally:
        tally = opened.tally
        if call.charge is None:
            _settle_stream(call, tally, "interrupted" if call.is_stopped else "cancelled")
        # Shielded, so that a server that ends does not leave the provider writing.
        await asyncio.shield(opened.stream.close())


async def _pass_on(call: ModelCall, opened: Opened, watch: ClientWatch) -> None:
    """Pass events on as they come, until the stream ends in one way or the other."""
    route, tally, stream = call.route, opened.tally, opened.stream
    assert route is not None, "a stream came from a route"
    headers = [*to_client(stream.headers), *call.headers()]
    headers += [(b"content-type", opened.content_type.encode("latin-1")), (b"x-accel-buffering", b"no")]
    call.has_begun = True
    await _to_client(call, watch, {"type": "http.response.start", "status": stream.status, "headers": headers})
    deadline = call.started + min(call.model.deadline_seconds, route.timeout_seconds)
    events = opened.first
    if call.heard is not None:
        call.heard.restart()
    drain_until: float | None = None
    while True:
        passed = tally.passing(events if call.stopper is None else call.stopper.passing(events))
        try:
            body = _said(opened, passed)
        except (AnswerStrangeError, BlockedError) as error:
            await _end_early(call, watch, tally, error)
            return
        if body:
            call.events += 0 if call.is_sound else body.count(b"\n\n")
            if call.heard is not None and not call.is_sound:
                call.heard.add(body)
            await _to_client(call, watch, {"type": "http.response.body", "body": body, "more_body": True})
        if tally.failure is not None:
            await _end_broken(call, watch, tally, b"")
            return
        if _has_ended(call, tally):
            await _end_well(call, watch, opened)
            return
        now = time.monotonic()
        if watch.is_gone and drain_until is None:
            drain_until = now + call.tools.options.drain_seconds
        left = min(deadline, drain_until or deadline) - now
        try:
            if left <= 0:
                raise AttemptFailedError(Failure("timeout", "the call took longer than it may"))
            idle = _AFTER_SAID_SECONDS if tally.is_said else route.idle_timeout_seconds
            more = await _next_events(opened, min(idle, left))
        except AttemptFailedError as error:
            await _end_unread(call, watch, opened, error.failure)
            return
        if more is None:
            await _end_well(call, watch, opened)
            return
        events = more


async def _next_events(opened: Opened, seconds: float) -> list[bytes] | None:
    """What comes next; None at an end that nothing need say. Raises AttemptFailedError."""
    piece = await opened.stream.read(seconds)
    if piece:
        return cut_events(opened.scanner, piece)
    if opened.tally.may_end:
        return None
    raise AttemptFailedError(Failure("interrupted", "its stream ended without saying that it is whole"))


def _has_ended(call: ModelCall, tally: Tally) -> bool:
    """Whether nothing more is to be read."""
    is_stopped = call.stopper is not None and call.stopper.why != ""
    return tally.done_event is not None or (tally.is_said and is_stopped)


async def _end_unread(call: ModelCall, watch: ClientWatch, opened: Opened, failure: Failure) -> None:
    """Nothing more comes: the end, where all was said and no event ends a stream, or a break."""
    if opened.tally.is_said:
        await _end_well(call, watch, opened)
    else:
        await _break_off(call, watch, opened.tally, failure)


def _said(opened: Opened, events: Sequence[bytes]) -> bytes:
    """What the client gets of events. Raises AnswerStrangeError, BlockedError."""
    if not events:
        return b""
    said = b"".join(events) if opened.translator is None else opened.translator.feed(events)
    return said if opened.guard is None else opened.guard.feed(said)


async def _break_off(call: ModelCall, watch: ClientWatch, tally: Tally, failure: Failure) -> None:
    """The provider died in the middle: an error event ends the stream, and never ``[DONE]``."""
    route = call.route
    assert route is not None, "a stream came from a route"
    if not watch.is_gone:
        call.tools.board.failed(route, Failure("interrupted", failure.reason))
    took_ms = round((time.monotonic() - call.attempt_began) * 1000, 1)
    call.steps.append(Step(route.name, failure.kind, failure.reason, took_ms))
    shown = failed_error(Failure("interrupted", failure.reason), provider=route.provider.name, model=call.model.name)
    await _end_broken(call, watch, tally, error_event(call.known.face, shown, call.events))


async def _end_broken(call: ModelCall, watch: ClientWatch, tally: Tally, last: bytes) -> None:
    _settle_stream(call, tally, "cancelled" if watch.is_gone else "interrupted")
    if call.is_sound:
        break_connection(call.scope)
        return
    await _to_client(call, watch, {"type": "http.response.body", "body": _cost_comment(call) + last})


async def _end_early(
    call: ModelCall, watch: ClientWatch, tally: Tally, error: AnswerStrangeError | BlockedError
) -> None:
    if isinstance(error, BlockedError):
        await _end_blocked(call, watch, tally, error)
    else:
        await _break_off(call, watch, tally, Failure("interrupted", str(error)))


async def _end_blocked(call: ModelCall, watch: ClientWatch, tally: Tally, blocked: BlockedError) -> None:
    """A guard ends the stream: an error event, and never ``[DONE]``."""
    assert call.guard is not None, "it has blocked"
    _settle_stream(call, tally, "content_filter")
    last = error_event(call.known.face, call.guard.refusal(blocked, "answer"), call.events)
    body = blocked.passed + _cost_comment(call) + last
    await _to_client(call, watch, {"type": "http.response.body", "body": body})


async def _end_well(call: ModelCall, watch: ClientWatch, opened: Opened) -> None:
    is_stopped = call.stopper is not None and call.stopper.why != ""
    if is_stopped:
        # The model goes on; a closed connection tells it not to.
        await asyncio.shield(opened.stream.close())
    elif call.route is not None and opened.tally.usage is not None:
        seen = counted(0, opened.tally.output_bytes, opened.tally.pieces).output_tokens or 0
        call.tools.board.wrote(call.route, seen, opened.tally.usage.output_tokens or 0)
    last, done = b"", opened.tally.done_event or b""
    if opened.translator is not None:
        try:
            last, done = opened.translator.end(done)
        except AnswerStrangeError as error:
            await _end_early(call, watch, opened.tally, error)
            return
    if opened.guard is not None:
        try:
            last, done = opened.guard.feed(last) + opened.guard.end(), opened.guard.feed(done)
        except BlockedError as blocked:
            await _end_blocked(call, watch, opened.tally, blocked)
            return
        if call.heard is not None:
            call.heard.add(last)
    _settle_stream(call, opened.tally, "cancelled" if watch.is_gone else "ok")
    if last:
        await _to_client(call, watch, {"type": "http.response.body", "body": last, "more_body": True})
    await _to_client(call, watch, {"type": "http.response.body", "body": _cost_comment(call) + done})
    if is_stopped:
        return
    with suppress(AttemptFailedError):
        # Read to its end, so that the connection can be used again.
        await opened.stream.read(_LAST_READ_SECONDS)


def _settle_stream(call: ModelCall, tally: Tally, outcome: Outcome) -> None:
    call.billing = tally.billing
    usage = tally.usage
    if usage is not None and tally.is_counting:
        output = counted(0, tally.output_bytes, tally.pieces).output_tokens or 0
        usage = replace(usage, output_tokens=max(output, usage.output_tokens or 0))
        call.settle(outcome, usage=usage, estimated=True, status=HTTPStatus.OK)
    elif usage is not None:
        is_ours = call.stopper is not None and call.stopper.why != ""
        if is_ours and call.route is not None:
            # What was thought before it was said is paid, too.
            usage = replace(usage, output_tokens=(usage.output_tokens or 0) + call.tools.board.usual_hidden(call.route))
        call.settle(outcome, usage=usage, estimated=is_ours, status=HTTPStatus.OK)
    else:
        call.settle_counted(outcome, tally.output_bytes, tally.pieces, HTTPStatus.OK)


def _cost_comment(call: ModelCall) -> bytes:
    if call.charge is None or call.is_sound:
        return b""
    return cost_comment(call.known.face, call.charge.cost_nusd)


async def _to_client(call: ModelCall, watch: ClientWatch, message: dict[str, object]) -> None:
    """Send, and wait while the client is behind: nothing is read from the provider meanwhile."""
    if watch.is_gone:
        return
    try:
        async with asyncio.timeout(call.tools.options.client_stall_seconds):
            await call.send(message)
    except TimeoutError:
        watch.is_gone = True
        raise _ClientStalledError from None

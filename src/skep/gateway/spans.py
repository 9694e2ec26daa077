"""The spans of a call that is recorded: one for the call, under it one for each attempt.

Names and attributes are those of OpenTelemetry's conventions for generative AI (the call, with its usage) and for HTTP clients
(the attempts, without, so that nobody who adds up tokens counts them twice):
https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-spans.md
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from skep.gateway.headers import told_by_caller
from skep.gateway.models import Route
from skep.gateway.profiles import Face
from skep.observe import Recorded, Span, SpanSink, masked, new_span_id, traceparent
from skep.spend import Usage
from skep.web import Refusal

Attributes = dict[str, str | int | float | bool | tuple[str, ...]]

_OURSELVES = "skep"
"""Who answers a call for which no provider is asked: the local model, or a refusal."""

_OPERATIONS: dict[Face, str] = {
    "chat.completions": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
    "messages": "chat",
    "messages.count_tokens": "count_tokens",
    "responses": "chat",
    "generate_content": "generate_content",
    "generate_content.count_tokens": "count_tokens",
    "moderations": "moderation",
    "rerank": "rerank",
    "images.generations": "generate_content",
    "images.edits": "generate_content",
    "images.variations": "generate_content",
    "audio.speech": "generate_content",
    "audio.transcriptions": "transcription",
    "audio.translations": "translation",
}

_PORTS = {"http": 80, "https": 443}
_MODEL = re.compile(rb'"model(?:Version)?"[ ]?:[ ]?"([^"\\]{1,200})"')
_LOOKED_AT_BYTES = 65_536
"""Where an answer names its model, it does so before what the model said or right after."""


@dataclass(slots=True)
class _Attempt:
    route: Route
    number: int
    span_id: str
    start_ns: int
    end_ns: int = 0
    error: str = ""
    status: int | None = None


@dataclass(slots=True)
class CallSpans:
    """Of one call. Every hook takes microseconds, and only calls that are recorded have them."""

    recorded: Recorded
    sink: SpanSink
    start_ns: int = field(default_factory=time.time_ns)
    span_id: str = field(default_factory=new_span_id)
    answered_by: str = ""
    """The model that the answer names; empty when it names none."""
    attempts: list[_Attempt] = field(default_factory=list)

    def begin_attempt(
        self, route: Route, number: int, headers: Sequence[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """An attempt begins; the headers for the provider, which goes on with this attempt's span."""
        attempt = _Attempt(route, number, new_span_id(), time.time_ns())
        self.attempts.append(attempt)
        passed = [pair for pair in headers if pair[0] != b"traceparent"]
        passed.append((b"traceparent", traceparent(self.recorded.trace_id, attempt.span_id)))
        return passed

    def end_attempt(self, error: str, status: int | None) -> None:
        """The attempt under way has ended; ``error`` is empty when it went well."""
        attempt = self.attempts[-1]
        if not attempt.end_ns:
            attempt.end_ns, attempt.error, attempt.status = time.time_ns(), error, status

    def answered(self, answer: bytes) -> None:
        """The answer, or its first event, has come."""
        found = _MODEL.search(answer, 0, _LOOKED_AT_BYTES)
        if found is not None:
            self.answered_by = found[1].decode("utf-8", "replace")

    def finish(self, face: Face, attributes: Attributes, usage: Usage | None, error: str) -> None:
        """The call has ended; ``error`` is empty when it went well."""
        now = time.time_ns()
        operation = _OPERATIONS[face]
        if self.attempts:
            last = self.attempts[-1]
            if not last.end_ns:
                last.end_ns, last.error = now, error
            attributes |= _whereabouts(last.route)
        else:
            attributes["gen_ai.provider.name"] = _OURSELVES
        attributes["gen_ai.operation.name"] = operation
        if self.answered_by:
            attributes["gen_ai.response.model"] = self.answered_by
        if usage is not None:
            counts = {"input": usage.input_tokens, "output": usage.output_tokens}
            attributes |= {f"gen_ai.usage.{name}_tokens": count for name, count in counts.items() if count is not None}
        if error:
            attributes["error.type"] = error
        whole = Span(
            name=f"{operation} {attributes['gen_ai.request.model']}",
            trace_id=self.recorded.trace_id,
            span_id=self.span_id,
            parent_id=self.recorded.parent_id,
            parent_is_remote=True,
            start_ns=self.start_ns,
            end_ns=now,
            attributes=attributes,
            is_error=bool(error),
            is_internal=not self.attempts,
        )
        self.sink.take([whole, *map(self._attempt_span, self.attempts)])

    def _attempt_span(self, attempt: _Attempt) -> Span:
        attributes: Attributes = {"http.request.method": "POST", "skep.route": attempt.route.name}
        attributes |= _whereabouts(attempt.route)
        if attempt.status is not None:
            attributes["http.response.status_code"] = int(attempt.status)
        if attempt.number > 1:
            attributes["http.request.resend_count"] = attempt.number - 1
        if attempt.error:
            attributes["error.type"] = attempt.error
        return Span(
            name="POST",
            trace_id=self.recorded.trace_id,
            span_id=attempt.span_id,
            parent_id=self.span_id,
            start_ns=attempt.start_ns,
            end_ns=attempt.end_ns,
            attributes=attributes,
            is_error=bool(attempt.error),
        )


def refusal_span(face: Face, refusal: Refusal, recorded: Recorded, *, is_served: bool) -> Span:
    """Of a call that was refused before anybody was asked. ``is_served``: whether there is the model that it names."""
    operation = _OPERATIONS[face]
    now = time.time_ns()
    model = masked(str(refusal.log.get("model") or ""))
    attributes: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _OURSELVES,
        "http.response.status_code": refusal.status,
        "error.type": refusal.code,
    }
    if model:
        attributes["gen_ai.request.model"] = model
    _, tags = told_by_caller(refusal.headers)
    if tags:
        attributes["skep.tags"] = masked_tags(tags)
    return Span(
        # Names of spans are few: what a client made up is none of them.
        name=f"{operation} {model}" if is_served else operation,
        trace_id=recorded.trace_id,
        span_id=new_span_id(),
        parent_id=recorded.parent_id,
        parent_is_remote=True,
        start_ns=now - round(refusal.seconds * 1e9),
        end_ns=now,
        attributes=attributes,
        is_error=True,
        is_internal=True,
    )


def masked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """A client's tags, of which there are few and short ones, as they may leave for a collector."""
    return tuple(map(masked, tags))


def _whereabouts(route: Route) -> Attributes:
    address = urlsplit(route.provider.base_url)
    return {
        "gen_ai.provider.name": route.provider.profile.trace_name or route.provider.profile.kind,
        "server.address": address.hostname or "",
        "server.port": address.port or _PORTS[address.scheme],
    }

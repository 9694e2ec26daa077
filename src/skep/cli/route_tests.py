"""Tries routes of models with a tiny call each, through the running server like anybody's."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from skep.cli.asking import Called, call_model
from skep.settings import Settings

_SECONDS = 60.0
_BODIES: Mapping[str, dict[str, object]] = {
    "chat.completions": {"messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 16},
    "embeddings": {"input": "OK"},
    "rerank": {"query": "OK?", "documents": ["OK"]},
    "moderations": {"input": "OK"},
}
"""By the face that is asked; the first that a route has counts, and that is what its model is for."""

_CHATS = ("chat.completions", "messages", "responses", "generate_content")

_FACES: Mapping[str, str] = {
    "text": "chat.completions",
    "embedding": "embeddings",
    "ranking": "rerank",
    "moderation": "moderations",
}
"""How a model is asked that is for one thing."""

_UNTRIED: Mapping[str, str] = {
    "picture": "it draws, and a picture costs more than a try may; ask it at /v1/images/generations",
    "speech": "it speaks, and each provider has voices of its own; ask it at /v1/audio/speech",
    "transcription": "it listens, and there is nothing here to be heard; ask it at /v1/audio/transcriptions",
}
"""What is not tried, and why not."""

Result = Literal["ok", "failed", "untried"]


@dataclass(frozen=True, slots=True)
class RouteTest:
    """How one route answered."""

    model: str
    route: str
    face: str
    """How it was asked."""
    result: Result
    status: int
    ms: float
    cost_usd: str | None
    """None: not known."""
    call_id: str | None
    reason: str
    """Why it did not answer, or was not asked; empty when it answered."""


def try_routes(settings: Settings, models: Sequence[dict[str, Any]]) -> Iterator[RouteTest]:
    """Each route of the models (`ModelFacts`), one after the other, as soon as it has answered.

    Raises ServerMissingError, ServerAnswerError, and what `read_key_file` raises.
    """
    for model in models:
        for route in model["routes"]:
            # Chats of any format are translated.
            faces = {*route["faces"], *(["chat.completions"] if any(each in route["faces"] for each in _CHATS) else [])}
            purpose = route["purpose"]
            wanted = _BODIES if purpose is None else [_FACES.get(purpose, "")]
            face = next((each for each in wanted if each in faces), None)
            if face is None:
                reason = _UNTRIED.get(purpose, "it has nothing that can be asked with a few words")
                yield RouteTest(model["name"], route["route"], "", "untried", 0, 0.0, None, None, reason)
                continue
            yield _test(settings, model["name"], route["route"], face)


def _test(settings: Settings, model: str, route: str, face: str) -> RouteTest:
    path, body = f"/v1/{face.replace('.', '/')}", _BODIES[face] | {"model": model}
    began = time.monotonic()
    answer = call_model(settings, path, body, {"x-skep-route": route}, seconds=_SECONDS)
    return RouteTest(
        model=model,
        route=route,
        face=face,
        result="ok" if answer.status == HTTPStatus.OK else "failed",
        status=answer.status,
        ms=round((time.monotonic() - began) * 1000, 1),
        cost_usd=answer.headers.get("x-skep-cost-usd"),
        call_id=answer.headers.get("x-skep-call-id"),
        reason="" if answer.status == HTTPStatus.OK else _reason(answer),
    )


def _reason(answer: Called) -> str:
    error = answer.body.get("error")
    message = error.get("message") if isinstance(error, dict) else answer.body.get("detail")
    return str(message or f"it answered {answer.status}")


def told(test: RouteTest) -> str:
    """A test in a line."""
    if test.result == "ok":
        cost = "" if test.cost_usd is None else f", {test.cost_usd} USD"
        return f"ok      {test.model}: {test.route} answered after {test.ms:.0f} ms{cost}"
    return f"{test.result:<7} {test.model}: {test.route}: {test.reason}"

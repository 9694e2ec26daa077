"""The answers room over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from skep.answers.models import Answer, AskRequest
from skep.answers.service import Answers
from skep.knowledge import CollectionNotFoundError, NothingIndexedError, QueryEmptyError, QueryTooLongError
from skep.web import Call, Endpoint, json_answer

MOST_QUOTES = 10


class Services(Protocol):
    """What the routes need."""

    @property
    def answers(self) -> Answers:
        """Who answers."""


class AskBody(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    question: str = Field(description="In words.")
    collections: list[str] = Field([], description="Names of collections; all when empty.")
    most_quotes: int = Field(3, ge=1, le=MOST_QUOTES, description="Most quotes.")


_EXAMPLE = {
    "question": "how often is a call tried again",
    "kind": "extractive",
    "is_answered": True,
    "quotes": [
        {
            "number": 1,
            "text": "A failed call is tried again twice, after pauses that grow.",
            "collection": "app",
            "path": "docs/retries.md",
            "version": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "start_line": 12,
            "end_line": 12,
            "heading": "Calls > Retries",
            "relevance": 0.71,
        }
    ],
    "took_ms": 48.2,
    "behind": [],
    "embedded_fraction": 1.0,
}


def answer_endpoints(services: Callable[[], Services]) -> tuple[Endpoint, ...]:
    """The routes. ``services`` is asked in each call; it may raise an UnavailableError."""

    async def ask(call: Call) -> ASGIApp:
        body = await call.body(AskBody)
        request = AskRequest(body.question, tuple(body.collections), body.most_quotes)
        return json_answer(await services().answers.ask(call.principal, request))

    return (
        Endpoint(
            method="POST",
            path="/api/v1/ask",
            caller="reader",
            handle=ask,
            summary="Answer a question with quotes from what is indexed, without any model",
            description="Chooses the passages that answer best and quotes them, numbered, best first, each with the document, its version and lines."
            " Nothing is written by a model. Where nothing fits, `is_answered` is false and there are no quotes.",
            body=AskBody,
            answer=Answer,
            body_example={"question": "how often is a call tried again"},
            answer_example=_EXAMPLE,
            errors=(QueryEmptyError, QueryTooLongError, NothingIndexedError, CollectionNotFoundError),
        ),
    )

"""Has a provider judge what is said in a request, before the call."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from http import HTTPStatus

import orjson

from skep.gateway.guarding.interfaces import ModerationFailedError
from skep.gateway.interfaces import AttemptFailedError, Upstream
from skep.gateway.models import Moderation
from skep.observe import event

_log = logging.getLogger(__name__)

_PATH = "/moderations"
_PIECE_CHARACTERS = 20_000
_MOST_PIECES = 32
"""Of longer requests the end is judged: it is what is new."""


async def judged(
    guard: str, asked: Moderation, texts: Sequence[str], upstream: Upstream, *, in_house: bool
) -> Collection[str]:
    """The categories in which the texts are flagged; none where they are fine, or where a failure lets the call pass.

    ``in_house``: nothing may leave the house. Raises ModerationFailedError.
    """
    if in_house and not asked.provider.is_local:
        return _failed(guard, asked, "it is not local, and the call must stay with local providers")
    body = orjson.dumps({"model": asked.model, "input": _pieces(texts)})
    try:
        answer = await upstream.fetch(asked.provider, _PATH, body, (), timeout_seconds=asked.timeout_seconds)
        if answer.status != HTTPStatus.OK:
            return _failed(guard, asked, f"it answered {answer.status}")
        return _flagged(answer.body)
    except AttemptFailedError as error:
        return _failed(guard, asked, error.failure.reason)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return _failed(guard, asked, "its answer is no judgement")


def _failed(guard: str, asked: Moderation, reason: str) -> Collection[str]:
    if asked.passes_on_failure:
        event(_log, logging.WARNING, "call passes without a judgement", guard=guard, reason=reason)
        return ()
    raise ModerationFailedError(guard=guard, provider=asked.provider.name, reason=reason)


def _pieces(texts: Sequence[str]) -> list[str]:
    text = "\n\n".join(texts)
    starts = range(max(0, len(text) - _MOST_PIECES * _PIECE_CHARACTERS), len(text), _PIECE_CHARACTERS)
    return [text[start : start + _PIECE_CHARACTERS] for start in starts] or [""]


def _flagged(body: bytes) -> Collection[str]:
    """See https://platform.openai.com/docs/api-reference/moderations/object."""
    found: dict[str, None] = {}
    for result in orjson.loads(body)["results"]:
        if result["flagged"]:
            named = [name for name, is_so in result.get("categories", {}).items() if is_so is True]
            found.update(dict.fromkeys(named or ["flagged"]))
    return tuple(found)

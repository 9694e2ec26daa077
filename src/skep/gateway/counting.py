"""Says how many tokens a request has where no provider of the model can be asked: an estimate, which says so."""

from __future__ import annotations

import orjson

from skep.gateway.answering_here import Here, Source
from skep.gateway.models import Model
from skep.gateway.profiles import GENERATION_COUNTING, Face
from skep.gateway.usage import counted

_ESTIMATED = (b"x-skep-estimated", b"true")
_OURSELVES = "skep"


def is_countable(model: Model, face: Face) -> bool:
    """Whether a provider of the model can be asked by a face."""
    return any(face in route.paths for route in model.routes)


async def answer_estimate(here: Here, model: str) -> None:
    """Answer with about a token for every four bytes. Raises the errors of spending."""
    headers = await here.settle(model, Source("estimate", _OURSELVES, model))
    tokens = counted(len(here.known.body), 0).input_tokens
    headers += [(b"content-type", b"application/json"), _ESTIMATED]
    name = "totalTokens" if here.known.face == GENERATION_COUNTING else "input_tokens"
    await here.answer(headers, orjson.dumps({name: tokens}))

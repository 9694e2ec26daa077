"""What a chosen model is told: the request in the formats of those of its routes that speak another one."""

from __future__ import annotations

from skep.gateway.choosing import Choice
from skep.gateway.interfaces import FaceNotSpokenError, RequestUntranslatableError
from skep.gateway.requests import Known
from skep.gateway.serving import Served
from skep.gateway.translated import Translations, translations


async def spoken(choice: Choice, served: Served, known: Known) -> tuple[Choice, Served, Translations | None]:
    """What the chosen model is told. A request that cannot be said to the model of its arm takes no part in the experiment.

    Raises RequestUntranslatableError, FaceNotSpokenError.
    """
    outside = choice.outside
    try:
        return choice, served, await translate(served, known)
    except (FaceNotSpokenError, RequestUntranslatableError):
        if outside is None or outside.served is None:
            raise
    return outside, outside.served, await translate(outside.served, known)


async def translate(served: Served, known: Known) -> Translations | None:
    """The request in the formats of those routes that speak another one. Raises what `translations` does."""
    foreign = served.foreign.get(known.face)
    return None if foreign is None else await translations(known, served.model, foreign)

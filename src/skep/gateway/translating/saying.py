"""Answers of our own in any wire format. Pure."""

from __future__ import annotations

import orjson

from skep.gateway.translating.formats import FORMATS
from skep.gateway.translating.interfaces import Wanted
from skep.gateway.translating.models import Answer, Began, FormatName, Said, Stopped, Text, Used
from skep.spend import Usage


def say(target: FormatName, text: str, wanted: Wanted, *, answer_id: str, model: str, streams: bool) -> bytes:
    """A whole answer, or all events of a stream, that say a text, came to their end, and used nothing."""
    usage = Usage(input_tokens=0, output_tokens=0)
    if not streams:
        answer = Answer(id=answer_id, model=model, parts=(Text(text),), stop="end", usage=usage)
        return orjson.dumps(FORMATS[target].write_answer(answer, wanted))
    writer = FORMATS[target].write_stream(wanted)
    deltas = (Began(answer_id, model, usage), Said(text), Stopped("end"), Used(usage))
    return b"".join([*(writer.write(delta) for delta in deltas), *writer.end()])

"""From one wire format into another, by way of one conversation, one answer and one stream in the middle. Pure.

A format is a row of `FORMATS`: a reader and a writer for requests, for answers and for streams. Nothing here is run while both sides of a
call speak the same format.
"""

from __future__ import annotations

from skep.gateway.translating.formats import FORMATS, Translator, translate_answer, translate_error, translate_request
from skep.gateway.translating.interfaces import AnswerStrangeError, Format, UntranslatableError, Wanted
from skep.gateway.translating.models import Conversation, FormatName
from skep.gateway.translating.saying import say
from skep.gateway.translating.signing import unsigned

__all__ = [
    "FORMATS",
    "AnswerStrangeError",
    "Conversation",
    "Format",
    "FormatName",
    "Translator",
    "UntranslatableError",
    "Wanted",
    "say",
    "translate_answer",
    "translate_error",
    "translate_request",
    "unsigned",
]

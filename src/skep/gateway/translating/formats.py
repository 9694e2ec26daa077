"""The one list of wire formats, and the ways from one to another. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from skep.gateway.events import DONE, data_of, name_of
from skep.gateway.translating import (
    chat,
    gemini,
    gemini_answers,
    gemini_requests,
    messages,
    responses,
    responses_answers,
)
from skep.gateway.translating.chat_streams import ChatReader, ChatWriter
from skep.gateway.translating.gemini_streams import GeminiReader, GeminiWriter
from skep.gateway.translating.interfaces import AnswerStrangeError, Format, Values, Wanted
from skep.gateway.translating.messages_streams import MessagesReader, MessagesWriter
from skep.gateway.translating.models import FormatName
from skep.gateway.translating.responses_streams import ResponsesReader, ResponsesWriter

FORMATS: Mapping[FormatName, Format] = {
    each.name: each
    for each in (
        Format(
            name="chat",
            title="OpenAI's chat completions",
            read_request=chat.read_request,
            write_request=chat.write_request,
            read_answer=chat.read_answer,
            write_answer=chat.write_answer,
            read_stream=ChatReader,
            write_stream=ChatWriter,
            write_error=chat.write_error,
            hints=chat.HINTS,
        ),
        Format(
            name="messages",
            title="Anthropic's messages",
            read_request=messages.read_request,
            write_request=messages.write_request,
            read_answer=messages.read_answer,
            write_answer=messages.write_answer,
            read_stream=MessagesReader,
            write_stream=MessagesWriter,
            write_error=messages.write_error,
            hints=messages.HINTS,
        ),
        Format(
            name="responses",
            title="OpenAI's responses",
            read_request=responses.read_request,
            write_request=responses.write_request,
            read_answer=responses_answers.read_answer,
            write_answer=responses_answers.write_answer,
            read_stream=ResponsesReader,
            write_stream=ResponsesWriter,
            write_error=chat.write_error,
            hints=responses.HINTS,
        ),
        Format(
            name="gemini",
            title="Gemini's generateContent",
            read_request=gemini_requests.read_request,
            write_request=gemini.write_request,
            read_answer=gemini_answers.read_answer,
            write_answer=gemini_answers.write_answer,
            read_stream=GeminiReader,
            write_stream=GeminiWriter,
            write_error=gemini_answers.write_error,
            hints=gemini_requests.HINTS,
        ),
    )
}


def translate_request(values: Mapping[str, Any], source: FormatName, target: FormatName) -> tuple[Values, Wanted]:
    """A request in another format, and what it says about the answer. Raises UntranslatableError, which names the field."""
    conversation = FORMATS[source].read_request(values)
    asked = values if source == "responses" else {}
    wanted = Wanted(conversation.wants_usage, conversation.shows_thinking, asked=asked)
    return FORMATS[target].write_request(conversation), wanted


def translate_answer(body: bytes, source: FormatName, target: FormatName, wanted: Wanted) -> bytes:
    """A whole answer in another format. Raises AnswerStrangeError."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AnswerStrangeError("it is no JSON") from error
    if not isinstance(values, dict):
        raise AnswerStrangeError("it is no JSON object")
    try:
        return orjson.dumps(FORMATS[target].write_answer(FORMATS[source].read_answer(values), wanted))
    except (AttributeError, TypeError, KeyError) as error:
        raise AnswerStrangeError("it is not what its format says") from error


def translate_error(target: FormatName, status: int, message: str, kind: str) -> bytes:
    """An error in another format."""
    return orjson.dumps(FORMATS[target].write_error(status, message, kind))


class Translator:
    """Turns the events of one stream into those of another format."""

    def __init__(self, source: FormatName, target: FormatName, wanted: Wanted) -> None:
        self._reader = FORMATS[source].read_stream()
        self._writer = FORMATS[target].write_stream(wanted)

    def feed(self, events: Iterable[bytes]) -> bytes:
        """What the events say, in the other format. Raises AnswerStrangeError when one of them says nothing that can be read."""
        return b"".join([self._one(event) for event in events])

    def end(self, event: bytes = b"") -> tuple[bytes, bytes]:
        """What is still to be said of a stream that ended well with an event, and the one that ends it in the other format."""
        said = b"" if (data_of(event) or DONE).strip() == DONE else self._one(event)
        last, end = self._writer.end()
        return said + last, end

    def _one(self, event: bytes) -> bytes:
        data = data_of(event)
        if data is None:
            # A comment keeps the connection open in any format but Gemini's, whose own client knows none.
            return b"" if isinstance(self._writer, GeminiWriter) else event
        try:
            values = orjson.loads(data)
            return b"".join([self._writer.write(delta) for delta in self._reader.read(name_of(event), values)])
        except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError) as error:
            raise AnswerStrangeError("an event of its stream cannot be read") from error

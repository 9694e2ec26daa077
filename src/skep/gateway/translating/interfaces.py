"""What a wire format must be able to do, and how translating fails.

Both errors stay inside of the gateway, which tells them in its own way: UntranslatableError names a field of a request,
AnswerStrangeError is about a provider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from skep.gateway.translating.models import Answer, Conversation, Delta, FormatName

Values = dict[str, Any]
"""A JSON object; texts that are JSON already may stand in it as `orjson.Fragment`."""


class UntranslatableError(ValueError):
    """A field of a request cannot be said in another format, or is not what its own format allows."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class AnswerStrangeError(ValueError):
    """An answer is not what its format says."""


class StreamReader(Protocol):
    """Reads the events of one stream."""

    def read(self, event: str, values: Mapping[str, Any]) -> Iterable[Delta]:
        """What an event says. ``event`` is its name (empty: none), ``values`` its data."""


class StreamWriter(Protocol):
    """Writes one stream."""

    def write(self, delta: Delta) -> bytes:
        """Events, or nothing."""

    def end(self) -> tuple[bytes, bytes]:
        """What is still to be said of a stream that ended well, and the event that ends it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client's request says about the answer that it gets."""

    usage: bool = True
    """In a stream, where that must be asked for."""
    thinking: bool = True
    created: int = 0
    """Seconds since 1970."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """The client's request, where its format repeats it in the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One wire format. Everything in it is pure."""

    name: FormatName
    title: str
    read_request: Callable[[Mapping[str, Any]], Conversation]
    """Raises UntranslatableError."""
    write_request: Callable[[Conversation], Values]
    """Raises UntranslatableError."""
    read_answer: Callable[[Mapping[str, Any]], Answer]
    """Raises AnswerStrangeError."""
    write_answer: Callable[[Answer, Wanted], Values]
    read_stream: Callable[[], StreamReader]
    write_stream: Callable[[Wanted], StreamWriter]
    write_error: Callable[[int, str, str], Values]
    """An error by its status, its words, and the code or type that the provider gave it."""
    hints: Mapping[str, str]
    """Fields that other formats leave out because nothing is lost, with the reason."""

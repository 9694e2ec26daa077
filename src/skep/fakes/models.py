"""What a script says, what a request asks, and what is played back.

Prices are integers: nano-dollars per million tokens. Times are in the unit of their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs, in nano-dollars per million tokens."""

    input: int
    output: int
    cached_input: int | None = None
    """Tokens read from a cache; None: as `input`."""
    audio_input: int | None = None
    """None: as `input`."""
    audio_output: int | None = None
    """None: as `output`."""
    reasoning: int | None = None
    """None: as `output`."""
    image_input: int | None = None
    """None: as `input`."""
    image_output: int | None = None
    """None: as `output`."""
    characters: int = 0
    """Of a text that is spoken."""
    audio_hour: int = 0
    """In nano-dollars, for an hour of what is listened to."""
    image: int = 0
    """In nano-dollars, for a picture."""
    search: int = 0
    """In nano-dollars, for a search among documents."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as OpenAI counts them: cached and audio input are part of the input, reasoning and audio output of the output."""

    input_tokens: int
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    characters: int = 0
    audio_ms: int = 0
    images: int = 0
    searches: int = 0


@dataclass(frozen=True, slots=True)
class SaidUsage:
    """What a script says of usage. Counts that are None are taken from the bytes of the request and the answer."""

    told: bool = True
    """Whether the answer has a usage at all. What is charged is the same either way."""
    unasked: bool = False
    """Whether a stream of a chat has it in its last piece, whoever asks for it or not (Mistral)."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    seconds: float | None = None
    """Of what is listened to, told and charged in the place of tokens. None: tokens are."""
    searches: int | None = None
    """Told where documents are ranked, in the place of tokens. None: tokens are."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called. ``arguments`` is the text that stands in the answer, usually JSON."""

    name: str
    arguments: str
    id: str = ""
    """Empty: made from the seed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong, with the numbers it takes (see `skep.fakes.faults.FAULTS`)."""

    kind: str
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A number, drawn by the seed when the ends differ."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a request is answered."""

    text: str | None = None
    words: int | None = None
    """So many words made from the seed and the request. None: 12, unless something else is said."""
    json_text: str | None = None
    """Structured output, as it stands in the answer."""
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    """None: what follows from the content."""
    dimensions: int = 8
    """Of embeddings, unless the request says."""
    flagged: tuple[str, ...] = ()
    """What a moderation finds."""
    usage: SaidUsage = SaidUsage()
    latency_ms: Span = Span(0, 0)
    events: int | None = None
    """Events with content in a stream. None: one for each word."""
    events_per_second: float | None = None
    """None: as fast as the connection takes them."""
    status: int = 200
    error_message: str | None = None
    error_type: str | None = None
    error_code: str | None = None
    error_param: str | None = None
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    gzip: bool = False
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule applies: all that is said must hold. Empty or None: anything."""

    paths: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: bool | None = None
    calls: tuple[tuple[int, int | None], ...] = ()
    """First and last (None: no end) of those that meet all the above, counted from 1."""
    every: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """The first rule that applies decides."""

    name: str
    when: Condition
    then: Behaviour


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that a script file says."""

    seed: int = 0
    models: tuple[str, ...] = ()
    """What is served; empty: whatever is asked for."""
    api_keys: tuple[str, ...] = ()
    """Keys that are let in; empty: all."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    otherwise: Behaviour = Behaviour()


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived. Names of headers are in lower case."""

    method: str
    path: str
    """Without the query."""
    headers: Mapping[str, str]
    body: bytes
    json: dict[str, Any] | None
    """The body; None when it is no JSON object."""
    query: str = ""

    @property
    def model(self) -> str | None:
        """The model asked for; None when there is none."""
        model = self.json.get("model") if self.json is not None else None
        return model if isinstance(model, str) else None

    @property
    def streams(self) -> bool:
        """Whether the answer shall be a stream of events."""
        return self.json is not None and self.json.get("stream") is True


@dataclass(frozen=True, slots=True)
class Send:
    """These bytes, ``count`` times."""

    data: bytes
    count: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """How the connection goes on after an answer that is not followed by another."""

    how: Literal["close", "reset", "hang"]


Step = Send | Pause | End


@dataclass(frozen=True, slots=True)
class Answer:
    """What happens on the connection, and what the provider will charge for it."""

    steps: tuple[Step, ...]
    status: int
    """The status sent or, when none is, 0."""
    rule: str | None
    """The name of the rule; None when no rule applied."""
    fault: str | None
    usage: Usage | None
    """What is charged; None: nothing is."""
    cost_nusd: int | None
    """None: nothing is charged, or the script has no price for the model."""

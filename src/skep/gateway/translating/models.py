"""What every wire format is read into and written from: a conversation, its answer, and what streams of answers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from skep.spend import Usage

FormatName = Literal["chat", "messages", "responses", "gemini"]
"""A wire format: OpenAI's chat completions, Anthropic's messages, OpenAI's responses, Gemini's generateContent."""

Role = Literal["system", "developer", "user", "assistant"]
Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
Stop = Literal["end", "length", "stop_sequence", "tools", "refusal", "pause", "context"]


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody says."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture: its bytes in base64 with their media type, or where they are."""

    media_type: str = ""
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF, in base64."""

    data: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The model wants a function called. ``arguments`` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a function gave back."""

    id: str
    parts: tuple[Text | Image, ...]
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Thinking:
    """What the model thought. Without a signature its provider does not take it back."""

    text: str
    signature: str = ""
    is_redacted: bool = False
    """Then the text is what its provider alone can read."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the model says nothing else."""

    text: str


Part = Text | Image | Document | ToolUse | ToolResult | Thinking | Refusal


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says at a time."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called. ``schema`` None: it takes nothing."""

    name: str
    description: str | None = None
    schema: Mapping[str, Any] | None = None
    is_strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tools may or must be called."""

    mode: Literal["auto", "any", "none", "one"] | None = None
    """None: nothing is said, so the provider chooses."""
    name: str | None = None
    """Of the one."""
    parallel: bool | None = None
    """Whether several may be called at a time."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A JSON schema that the answer must fit."""

    schema: Mapping[str, Any]
    name: str = "answer"


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How the model shall think before it answers."""

    mode: Literal["off", "adaptive", "budget"] | None = None
    effort: Effort | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A request."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    shape: Shape | None = None
    reasoning: Reasoning = Reasoning()
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stops: tuple[str, ...] = ()
    user: str | None = None
    stream: bool = False
    wants_usage: bool = False
    """Whether a stream shall tell its usage where that must be asked for."""
    shows_thinking: bool = True
    """Whether the client is to see what the model thinks."""
    source: FormatName = "chat"
    """The format it was read from."""
    only: Mapping[str, Any] = field(default_factory=dict)
    """Fields that nothing but their own format can say, under their names there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the model says."""

    id: str
    model: str
    parts: tuple[Text | Thinking | ToolUse | Refusal, ...]
    stop: Stop
    stop_sequence: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """The first thing that a stream says. ``usage``: what went in, if that is known already."""

    id: str
    model: str
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """More of a text."""

    text: str
    kind: Literal["text", "thinking", "signature", "redacted", "refusal"] = "text"


@dataclass(frozen=True, slots=True)
class ToolBegan:
    """A call of a tool begins; ``index`` counts the calls of the answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolSaid:
    """More of a call's arguments."""

    index: int
    arguments: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The model has said all."""

    stop: Stop
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What it used, as far as known; a later one counts instead of an earlier one."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider failed in the middle."""

    message: str
    kind: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Nothing, so that the connection stays open."""


Delta = Began | Said | ToolBegan | ToolSaid | Stopped | Used | Failed | Ping

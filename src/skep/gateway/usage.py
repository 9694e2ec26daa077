"""What a call used: read from the provider's own usage object, or, where there is none, reckoned from what came. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from skep.spend import Usage

_WHOLE_BYTES = 262_144
"""Longer answers (many embeddings) are not read as a whole when their usage stands at the end."""

_TAIL_BYTES = 8192

_BYTES_PER_TOKEN = 4
"""A usual mean of English text and code for today's vocabularies (OpenAI's own rule of thumb)."""

_TEXTS = re.compile(
    rb'"(?:content|arguments|reasoning_content|reasoning|refusal|text|thinking|partial_json)"[ ]?:[ ]?"([^"\\]*+(?:\\.[^"\\]*+)*+)"',
    re.DOTALL,
)
"""Runs without a backslash are taken whole: a choice at each byte takes four times as long, and this runs in the loop."""

_DELTAS = re.compile(rb'"delta"[ ]?:[ ]?"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)

_In = tuple[tuple[str, str], ...]
"""Where a part may stand: the name of the object inside the usage, and the name in it; the former empty: in the usage itself."""

_CACHED: _In = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("", "prompt_cache_hit_tokens"),
)
_WRITTEN: _In = (
    ("prompt_tokens_details", "cache_write_tokens"),
    ("input_tokens_details", "cache_write_tokens"),
    ("prompt_tokens_details", "cache_creation_tokens"),
)
_WRITTEN_1H: _In = (
    # Anthropic's own name for it, which those who translate its answers pass on here or there.
    ("cache_creation", "ephemeral_1h_input_tokens"),
    ("prompt_tokens_details", "cache_write_1h_tokens"),
)
_REASONING: _In = (
    ("completion_tokens_details", "reasoning_tokens"),
    ("output_tokens_details", "reasoning_tokens"),
    ("", "reasoning_tokens"),
)
_AUDIO_IN: _In = (("prompt_tokens_details", "audio_tokens"), ("input_token_details", "audio_tokens"))
_AUDIO_OUT: _In = (("completion_tokens_details", "audio_tokens"),)
_IMAGE_IN: _In = (("input_tokens_details", "image_tokens"), ("prompt_tokens_details", "image_tokens"))
_IMAGE_OUT: _In = (("output_tokens_details", "image_tokens"), ("completion_tokens_details", "image_tokens"))


@dataclass(frozen=True, slots=True)
class ImagesMade:
    """Pictures that are asked for, or were made. What is not said is empty."""

    count: int
    quality: str = ""
    size: str = ""

    def or_as(self, asked: ImagesMade) -> ImagesMade:
        """With what was asked for where the answer does not say it."""
        return ImagesMade(self.count, self.quality or asked.quality, self.size or asked.size)


@dataclass(frozen=True, slots=True)
class Billing:
    """How a provider says that it bills an answer."""

    service_tier: str | None = None
    """The tier that it was served by."""
    cost_nusd: int | None = None
    """What it charged, by ``usage.cost``; in US dollars only with providers of which that is known (`Profile.tells_cost`)."""
    searches: int | None = None
    """How many searches it bills, where documents were ranked."""
    images: ImagesMade | None = None
    """What pictures it has; None where it is about none."""


UNBILLED = Billing()
"""Nothing is said of it."""


class AnswerUnreadableError(ValueError):
    """An answer is not the JSON object that it should be."""


def usage_of(told: object) -> Usage | None:
    """A usage object as ours; None when it is none. Where names differ, the first that is there counts."""
    if not isinstance(told, dict):
        return None
    entry = _whole(told.get("prompt_tokens", told.get("input_tokens")))
    output = _whole(told.get("completion_tokens", told.get("output_tokens")))
    if entry is None and output is None:
        return None
    total = _whole(told.get("total_tokens"))
    if total is not None and entry is not None and total > entry + (output or 0):
        # Some (xAI, Gemini) leave what the model thought out of their completion_tokens, and bill it all the same.
        output = total - entry
    if len(told) == 3 and None not in (entry, output, total):
        return Usage(input_tokens=entry, output_tokens=output)
    written, hour = _part(told, _WRITTEN, entry), _part(told, _WRITTEN_1H, entry)
    return Usage(
        input_tokens=entry,
        cached_input_tokens=_part(told, _CACHED, entry),
        cache_write_tokens=hour if written is None else written,
        output_tokens=output,
        reasoning_tokens=_part(told, _REASONING, output),
        input_audio_tokens=_part(told, _AUDIO_IN, entry),
        output_audio_tokens=_part(told, _AUDIO_OUT, output),
        cache_write_1h_tokens=hour if None in (hour, written) else min(hour or 0, written or 0),
        input_image_tokens=_part(told, _IMAGE_IN, entry),
        output_image_tokens=_part(told, _IMAGE_OUT, output),
    )


class MessagesUsage:
    """Anthropic's usage, gathered from what a stream tells of it: each count is of all so far, and the last one counts.

    What was read from a cache or written into it is not part of its ``input_tokens``; of ours it is
    (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance).
    """

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def add(self, told: object) -> None:
        """Another usage object."""
        if not isinstance(told, dict):
            return
        details = told.get("output_tokens_details")
        thinking = details.get("thinking_tokens") if isinstance(details, dict) else None
        kept = told.get("cache_creation")
        hour = kept.get("ephemeral_1h_input_tokens") if isinstance(kept, dict) else None
        counts = {name: _whole(told.get(name)) for name in _MESSAGES_COUNTS} | {
            "thinking": _whole(thinking),
            "hour": _whole(hour),
        }
        self._told.update({name: count for name, count in counts.items() if count is not None})

    def whole(self) -> Usage | None:
        """All that is known; None when nothing is."""
        told = self._told
        if not told:
            return None
        written, cached = told.get("cache_creation_input_tokens"), told.get("cache_read_input_tokens")
        entry, hour = told.get("input_tokens"), told.get("hour")
        return Usage(
            input_tokens=None if entry is None else entry + (written or 0) + (cached or 0),
            cached_input_tokens=cached or None,
            cache_write_tokens=written or None,
            output_tokens=told.get("output_tokens"),
            reasoning_tokens=told.get("thinking"),
            cache_write_1h_tokens=min(hour, written or 0) or None if hour else None,
        )


_MESSAGES_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def messages_usage_of(told: object) -> Usage | None:
    """Anthropic's usage object as ours; None when it is none."""
    usage = MessagesUsage()
    usage.add(told)
    return usage.whole()


def read_message(body: bytes) -> tuple[Usage | None, object, Billing]:
    """The same as `read_answer` for an answer in Anthropic's format."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AnswerUnreadableError(str(error)) from error
    if not isinstance(values, dict):
        raise AnswerUnreadableError("it is no object")
    return messages_usage_of(values.get("usage")), values.get("error"), UNBILLED


def generation_usage_of(told: object) -> Usage | None:
    """Gemini's ``usageMetadata`` as ours; None when it is none.

    A count of 0 is left out there. What tools of the provider's own put in is counted beside the prompt, and what the model thought beside
    what it said; both are billed as what they are part of here (https://ai.google.dev/api/generate-content#UsageMetadata).
    """
    if not isinstance(told, dict) or (prompt := _whole(told.get("promptTokenCount"))) is None:
        return None
    entry = prompt + (_whole(told.get("toolUsePromptTokenCount")) or 0)
    thoughts = _whole(told.get("thoughtsTokenCount"))
    output = (_whole(told.get("candidatesTokenCount")) or 0) + (thoughts or 0)
    # Whatever it does not name, the total has it.
    output = max(output, (_whole(told.get("totalTokenCount")) or 0) - entry)
    cached = _whole(told.get("cachedContentTokenCount"))
    entered, from_cache, said = (told.get(f"{name}TokensDetails") for name in ("prompt", "cache", "candidates"))
    audio_in, kept = _of_modality(entered, "AUDIO"), _of_modality(from_cache, "AUDIO")
    audio_out, images_out = _of_modality(said, "AUDIO"), _of_modality(said, "IMAGE")
    if audio_in is not None:
        # What of it came from a cache is counted there.
        audio_in = max(0, min(audio_in, entry) - (kept or 0))
    return Usage(
        input_tokens=entry,
        cached_input_tokens=None if cached is None else min(cached, entry),
        output_tokens=output,
        reasoning_tokens=thoughts,
        input_audio_tokens=audio_in,
        output_audio_tokens=None if audio_out is None else min(audio_out, output),
        output_image_tokens=None if images_out is None else min(images_out, output),
    )


def _of_modality(details: object, modality: str) -> int | None:
    """What of a count is of a modality, such as ``AUDIO``; None: nothing is said of it."""
    if not isinstance(details, list):
        return None
    counts = (each.get("tokenCount") for each in details if isinstance(each, dict) and each.get("modality") == modality)
    return next(map(_whole, counts), None)


def read_generation(body: bytes) -> tuple[Usage | None, object, Billing]:
    """The same as `read_answer` for an answer in Gemini's format."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AnswerUnreadableError(str(error)) from error
    if not isinstance(values, dict):
        raise AnswerUnreadableError("it is no object")
    return generation_usage_of(values.get("usageMetadata")), values.get("error"), UNBILLED


def read_answer(body: bytes) -> tuple[Usage | None, object, Billing]:
    """The usage in a whole answer, the error that some put into an answer with status 200, each None when absent, and how it is billed.

    Raises AnswerUnreadableError when the answer is no JSON object (an answer that was cut off is none).
    """
    if len(body) > _WHOLE_BYTES and (at_end := _at_end(body)) is not None and (usage := usage_of(at_end.get("usage"))):
        return usage, None, billing_of(at_end)
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AnswerUnreadableError(str(error)) from error
    if not isinstance(values, dict):
        raise AnswerUnreadableError("it is no object")
    return usage_of(values.get("usage")), values.get("error"), billing_of(values)


def billing_of(answer: Mapping[str, Any]) -> Billing:
    """What an answer, or an event of one, says of how it is billed."""
    tier, usage = answer.get("service_tier"), answer.get("usage")
    cost = _told_nusd(usage) if isinstance(usage, dict) and "cost" in usage else None
    tier = tier if isinstance(tier, str) and tier else None
    return UNBILLED if tier is None and cost is None else Billing(tier, cost)


def _told_nusd(usage: Mapping[str, Any]) -> int | None:
    """``usage.cost`` in nano-dollars. With a key of one's own for the provider behind (``is_byok``) it is only a fee."""
    cost = usage["cost"]
    if usage.get("is_byok") or isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost <= 1e6:
        return None
    # By way of its text: as with prices, the decimal number is meant.
    return round(Decimal(repr(cost)) * 1_000_000_000)


def counted(input_bytes: int, output_bytes: int, pieces: int = 0) -> Usage:
    """What a call used as far as can be told without the provider: about four bytes make a token.

    A provider sends a piece for each token or for a few of them, so there were at least as many tokens as pieces.
    """
    return Usage(
        input_tokens=-(-input_bytes // _BYTES_PER_TOKEN),
        output_tokens=max(pieces, -(-output_bytes // _BYTES_PER_TOKEN)),
    )


def output_bytes(text: bytes) -> int:
    """How many bytes of answers stand in an event or a body, as they are written in JSON."""
    return sum(len(found) for found in _TEXTS.findall(text))


def delta_bytes(text: bytes) -> int:
    """The same for an event of OpenAI's responses, which say everything again once it is whole: only what is new counts."""
    return sum(len(found) for found in _DELTAS.findall(text))


def _at_end(body: bytes) -> Mapping[str, Any] | None:
    """What a long answer says from its usage on; None when that is not near its end, or what follows does not end the answer well."""
    place = body.rfind(b'"usage"', -_TAIL_BYTES)
    if place < 0:
        return None
    try:
        # What stands before was sent before it: an answer that is cut off is cut off here.
        values: dict[str, Any] = orjson.loads(b"{" + body[place:])
    except orjson.JSONDecodeError:
        return None
    return values


def _part(told: Mapping[str, Any], places: _In, whole: int | None) -> int | None:
    """A part, which is never more than the whole that it is a part of."""
    for outer, name in places:
        inner = told.get(outer) if outer else told
        count = _whole(inner.get(name)) if isinstance(inner, dict) else None
        if count is not None:
            return count if whole is None else min(count, whole)
    return None


def _whole(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None

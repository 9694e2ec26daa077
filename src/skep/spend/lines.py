"""Lines of the journal. Pure.

A line is a row of the ledger in the text format of PostgreSQL's COPY, so that copying costs this process next to nothing. The
first column says its kind: ``B`` was written before the call left and is the row as it shall stand in the ledger should
nothing more be heard of the call (outcome ``lost``, charged as reserved); ``E`` was written when it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import orjson

from skep.spend.models import Ask, Caller, Charge, Exceeded, Settlement, Step, Usage
from skep.spend.prices import is_plain
from skep.spend.tickets import HeldTicket

COLUMNS = (
    "kind",
    "call_id",
    "started_us",
    "project_id",
    "key_id",
    "key_name",
    "user_name",
    "session",
    "tier",
    "tags",
    "model",
    "face",
    "stream",
    "trace_id",
    "provider",
    "model_used",
    "status",
    "attempts",
    "ttft_us",
    "duration_us",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "cache_write_1h_tokens",
    "input_image_tokens",
    "output_image_tokens",
    "characters",
    "audio_ms",
    "cost_nusd",
    "price_version",
    "estimated",
    "outcome",
    "tried",
    "exceeded",
    "saved_nusd",
    "stopped",
    "spared_nusd",
    "is_remote",
    "holds",
)
"""In the order of a line; the ledger's staging table has the same."""

NULL = r"\N"

LONGEST_TEXT = 500
"""Characters of a text from outside that are kept."""

LONGEST_TAG = 100
MOST_TAGS = 32
MOST_STEPS = 50

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\0": "\ufffd"})
_NO_USAGE = Usage()
_NO_PARTS = f"\t{NULL}\t{NULL}\t"
_NO_LAST_PARTS = f"\t{NULL}" * 8
_NO_SAVINGS = f"\t{NULL}" * 3
_UNTOLD = "\t".join([NULL, NULL, NULL, "0", *[NULL] * 14])
"""From ``provider`` to ``audio_ms``, in a line of a call that has not ended."""


@lru_cache(maxsize=20_000)
def cell(text: str | None) -> str:
    """A text as a cell of a line, at most `LONGEST_TEXT` characters of it."""
    return NULL if text is None else _escaped(text[:LONGEST_TEXT])


def _escaped(text: str) -> str:
    if text.isprintable() and "\\" not in text:
        return text
    return text.encode("utf-8", "replace").decode().translate(_ESCAPES)


def caller_columns(caller: Caller, model: str) -> str:
    """The cells that are the same for all calls of one caller to one model."""
    tier = caller.model_tier if caller.tier is None else caller.tier
    texts = (caller.key_name, caller.user, caller.session, tier)
    return "\t".join([str(caller.project_id), cell(caller.key_id), *map(cell, texts), _tags(caller.tags), cell(model)])


def head(ask: Ask, started_us: int, columns: str) -> str:
    """The cells that both lines of a call begin with, after the kind."""
    trace = _escaped(ask.trace_id[:LONGEST_TEXT])  # not a cell: each is another, and they would flood its cache
    return f"{ask.call_id}\t{started_us}\t{columns}\t{cell(ask.face)}\t{'t' if ask.stream else 'f'}\t{trace}"


def begin_line(ticket: HeldTicket, cost_nusd: int | None) -> str:
    """What is written before a call leaves; ``cost_nusd`` is its worst case, None when it has no price."""
    price = ticket.ask.price
    version = NULL if price is None else price.version
    holds = ",".join(
        [
            f"{holding.window_id},{reserved},{0 if holding.rule.metric == 'concurrent' else reserved}"
            for holding, reserved in ticket.holds
        ]
    )
    cost = NULL if cost_nusd is None else cost_nusd
    exceeded = _exceeded(ticket.exceeded)
    return f"B\t{ticket.head}\t{_UNTOLD}\t{cost}\t{version}\tt\tlost\t{NULL}\t{exceeded}{_NO_SAVINGS}\t{NULL}\t{{{holds}}}\n"


def end_line(ticket: HeldTicket, settlement: Settlement, charge: Charge, charged: Sequence[int]) -> str:
    """What is written when a call ended; ``charged`` goes with the ticket's holds."""
    usage = settlement.usage or _NO_USAGE
    holds = ",".join(
        [
            f"{holding.window_id},{reserved},{actual}"
            for (holding, reserved), actual in zip(ticket.holds, charged, strict=True)
        ]
    )
    return (
        f"E\t{ticket.head}\t{cell(settlement.provider)}\t{cell(settlement.model_used)}\t{_number(settlement.status)}"
        f"\t{settlement.attempts}\t{_us(settlement.ttft_ms)}\t{_us(settlement.duration_ms)}\t{_usage(usage)}"
        f"\t{_number(charge.cost_nusd)}\t{charge.price_version or NULL}\t{'t' if charge.estimated else 'f'}"
        f"\t{settlement.outcome}\t{_tried(settlement.tried)}\t{_exceeded(ticket.exceeded)}"
        f"{_savings(settlement)}\t{_flag(settlement.is_remote)}\t{{{holds}}}\n"
    )


def _savings(settlement: Settlement) -> str:
    if settlement.saved_nusd is None and settlement.stopped is None:
        return _NO_SAVINGS
    stopped, spared = cell(settlement.stopped), _number(settlement.spared_nusd)
    return f"\t{_number(settlement.saved_nusd)}\t{stopped}\t{spared}"


def _exceeded(rules: Sequence[Exceeded]) -> str:
    if not rules:
        return NULL
    return "{" + ",".join([f"{each.window_id},{each.taken},{each.rule.amount}" for each in rules]) + "}"


def _usage(usage: Usage) -> str:
    if is_plain(usage):
        return f"{_number(usage.input_tokens)}{_NO_PARTS}{_number(usage.output_tokens)}{_NO_LAST_PARTS}"
    return "\t".join(
        [
            _number(usage.input_tokens),
            _number(usage.cached_input_tokens),
            _number(usage.cache_write_tokens),
            _number(usage.output_tokens),
            _number(usage.reasoning_tokens),
            _number(usage.input_audio_tokens),
            _number(usage.output_audio_tokens),
            _number(usage.cache_write_1h_tokens),
            _number(usage.input_image_tokens),
            _number(usage.output_image_tokens),
            _number(usage.characters),
            _number(usage.audio_ms),
        ]
    )


def _tried(steps: Sequence[Step]) -> str:
    if not steps:
        return NULL
    shown = [replace(step, what=_plain(step.what), reason=_plain(step.reason)) for step in steps[:MOST_STEPS]]
    return _escaped(orjson.dumps(shown).decode())


def _plain(text: str) -> str:
    """A text that JSON in the database can hold: whole characters, and no NUL."""
    return text[:LONGEST_TEXT].encode("utf-8", "replace").decode().replace("\0", "")


def _number(value: int | None) -> str:
    return NULL if value is None else str(value)


def _flag(value: bool | None) -> str:
    return NULL if value is None else "t" if value else "f"


def _us(milliseconds: float | None) -> str:
    return NULL if milliseconds is None else str(round(milliseconds * 1000))


def _tags(tags: Sequence[str]) -> str:
    """An array of texts, each in quotes, escaped for the array first and for COPY then."""
    quoted = ('"' + tag[:LONGEST_TAG].replace("\\", r"\\").replace('"', r"\"") + '"' for tag in tags[:MOST_TAGS])
    return _escaped("{" + ",".join(quoted) + "}")

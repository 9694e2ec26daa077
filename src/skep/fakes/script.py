"""A script: read from YAML or JSON with every problem named at once, and described from the same tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from skep.fakes.faults import FAULTS
from skep.fakes.fields import (
    Field,
    Reading,
    WrongValueError,
    as_json,
    read_any,
    read_calls,
    read_choice,
    read_fields,
    read_flag,
    read_list,
    read_mapping,
    read_number,
    read_pair,
    read_table,
    read_text,
    read_whole,
)
from skep.fakes.interfaces import ScriptInvalidError, ScriptUnreadableError
from skep.fakes.models import Behaviour, Condition, Fault, Price, Rule, SaidUsage, Script, Span, ToolCall
from skep.settings import MapNode, Node, Origin, Problem, Scalar, read_yaml

_MAX_BYTES = 8 * 2**20
_MANY = 2**31
_NUSD_PER_USD = 1_000_000_000


def load_script(path: Path) -> Script:
    """The script in a file. Raises ScriptUnreadableError, ScriptInvalidError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ScriptUnreadableError(path=path, reason=error.strerror or str(error)) from error
    if len(data) > _MAX_BYTES:
        raise ScriptUnreadableError(path=path, reason=f"it is larger than {_MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptUnreadableError(path=path, reason=f"line {line} is not UTF-8") from error
    return parse_script(text, path)


def parse_script(text: str, path: Path = Path("script.yaml")) -> Script:
    """The script in a text; ``path`` is what problems name. Raises ScriptInvalidError. Pure."""
    reading = Reading(path)
    root, faults = read_yaml(text)
    reading.problems += [
        Problem(Origin("file", path, fault.line, fault.column), fault.field, fault.reason) for fault in faults
    ]
    values: dict[str, Any] = {}
    if root is not None:
        try:
            values = read_fields(reading, root, "", SCRIPT)
        except WrongValueError as error:
            reading.problem(root, "", error.reason)
    if reading.problems:
        raise ScriptInvalidError(sorted(reading.problems, key=lambda one: (one.where.line or 0, one.where.column or 0)))
    return Script(**values)


def _read_usage(reading: Reading, node: Node, place: str) -> SaidUsage:
    if isinstance(node, Scalar):
        word = read_choice(("bytes", "missing"))(reading, node, place)
        return SaidUsage(told=word != "missing")
    said = SaidUsage(**read_fields(reading, node, place, USAGE))
    parts = said.cached_input_tokens + said.audio_input_tokens + said.image_input_tokens
    _within(node, "input_tokens", said.input_tokens, parts)
    parts = said.reasoning_tokens + said.audio_output_tokens + said.image_output_tokens
    _within(node, "output_tokens", said.output_tokens, parts)
    return said


def _within(node: Node, name: str, whole: int | None, parts: int) -> None:
    if parts > (whole or 0):
        raise WrongValueError(f"{name} must be said, and be at least the sum of its parts, {parts}", node=node)


def _read_fault(reading: Reading, node: Node, place: str) -> Fault:
    if isinstance(node, Scalar):
        return Fault(read_choice(FAULTS)(reading, node, place))
    if not isinstance(node, MapNode):
        raise WrongValueError("expected the name of a fault, or its name and numbers")
    entries = {key.text: value for key, value in node.entries}
    if "kind" not in entries:
        raise WrongValueError("expected a kind beside the numbers")
    kind = read_choice(FAULTS)(reading, entries["kind"], f"{place}.kind")
    numbers = [
        Field(name, "", "", number.about, read_whole(number.low, number.high))
        for name, number in FAULTS[kind].numbers.items()
    ]
    rest = MapNode(tuple(entry for entry in node.entries if entry[0].text != "kind"), node.line, node.column)
    return Fault(kind, read_fields(reading, rest, place, numbers))


def _read_rate(reading: Reading, node: Node, place: str) -> int:
    """Dollars per million tokens as nano-dollars; exact, so not by way of a float."""
    read_number(0, 1_000_000)(reading, node, place)
    rate = Decimal(node.text if isinstance(node, Scalar) else "0") * _NUSD_PER_USD
    if rate != int(rate):
        raise WrongValueError("expected at most nine digits after the point: prices are whole nano-dollars")
    return int(rate)


def _read_tool_call(reading: Reading, node: Node, place: str) -> ToolCall:
    values = read_fields(reading, node, place, TOOL_CALL)
    if "name" not in _written(node):
        raise WrongValueError("expected the name of a function")
    arguments = values.get("arguments", {})
    text = arguments if isinstance(arguments, str) else _json_text(arguments)
    return ToolCall(values.get("name", ""), text, values.get("id", ""))


def _written(node: Node) -> list[str]:
    """The names of a mapping, with right or wrong values."""
    return [key.text for key, _ in node.entries] if isinstance(node, MapNode) else []


def _read_json_text(_: Reading, node: Node, __: str) -> str:
    return _json_text(as_json(node))


def _json_text(value: object) -> str:
    """As models write it: without spaces, and with whole numbers of any length."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _read_span(reading: Reading, node: Node, place: str) -> Span:
    return Span(*read_pair(reading, node, place))


def _read_share(reading: Reading, node: Node, place: str) -> float:
    return read_number(0, 1)(reading, node, place)  # type: ignore[no-any-return]


def _read_header(reading: Reading, node: Node, place: str) -> str:
    text = read_text(reading, node, place)
    if not text.isprintable() or not text.isascii():
        raise WrongValueError("expected printable ASCII, as headers have it")
    return text


def _read_headers(reading: Reading, node: Node, place: str) -> Mapping[str, str]:
    found: dict[str, str] = read_mapping(_read_header)(reading, node, place)
    for name in found:
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise WrongValueError(f"{name!r} is no name of a header")
    return {name.lower(): text for name, text in found.items()}


def _read_rules(reading: Reading, node: Node, place: str) -> tuple[Rule, ...]:
    made = read_list(read_table(RULE, dict))(reading, node, place)
    rules = [
        Rule(one.get("name") or f"rule {n}", one.get("when", Condition()), one.get("then", Behaviour()))
        for n, one in enumerate(made, 1)
    ]
    names = [rule.name for rule in rules]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise WrongValueError(f"two rules are named {twice!r}")
    return tuple(rules)


def _read_price(reading: Reading, node: Node, place: str) -> Price:
    values = read_fields(reading, node, place, PRICE)
    missing = [name for name in ("input_usd_per_mtok", "output_usd_per_mtok") if name not in _written(node)]
    if missing:
        raise WrongValueError(f"expected {' and '.join(missing)}")
    if "input_usd_per_mtok" not in values or "output_usd_per_mtok" not in values:
        return Price(0, 0)  # what is wrong was noted already, so this is never used
    return Price(**{_PRICES.get(name, name.removesuffix("_usd_per_mtok")): rate for name, rate in values.items()})


_PRICES = {
    "input_usd_per_mchar": "characters",
    "audio_usd_per_hour": "audio_hour",
    "image_usd": "image",
    "search_usd": "search",
}
"""What is paid by something else than tokens, by the names of scripts and ours."""


_COUNT = read_whole(0, _MANY)

USAGE = (
    Field(
        "told",
        "true or false",
        "true",
        "Whether the answer has a usage. What is charged is the same either way.",
        read_flag,
    ),
    Field(
        "unasked",
        "true or false",
        "false",
        "Whether a stream of a chat has it in its last piece, whoever asks for it or not, as Mistral's.",
        read_flag,
    ),
    Field(
        "input_tokens", "a whole number", "by bytes", "Tokens of the request, cached and audio ones included.", _COUNT
    ),
    Field(
        "output_tokens",
        "a whole number",
        "by bytes",
        "Tokens of the answer, reasoning and audio ones included.",
        _COUNT,
    ),
    Field("cached_input_tokens", "a whole number", "0", "Part of the input that was read from a cache.", _COUNT),
    Field("reasoning_tokens", "a whole number", "0", "Part of the output that is not shown.", _COUNT),
    Field("audio_input_tokens", "a whole number", "0", "Part of the input that is audio.", _COUNT),
    Field("audio_output_tokens", "a whole number", "0", "Part of the output that is audio.", _COUNT),
    Field("image_input_tokens", "a whole number", "0", "Part of the input that is pictures.", _COUNT),
    Field("image_output_tokens", "a whole number", "0", "Part of the output that is pictures.", _COUNT),
    Field(
        "seconds",
        "a number",
        "tokens",
        "So long is what is listened to; told and charged in the place of tokens.",
        read_number(0, 1_000_000),
    ),
    Field(
        "searches",
        "a whole number",
        "tokens",
        "Billed where documents are ranked; told in the place of tokens.",
        _COUNT,
    ),
)

TOOL_CALL = (
    Field("name", "a text", "must be said", "The function to call.", read_text),
    Field(
        "arguments",
        "names with values, or a text",
        "{}",
        "A text is sent as it is, so that it may be wrong JSON.",
        read_any,
    ),
    Field("id", "a text", "made from the seed", "The id of the call.", read_text),
)

PRICE = tuple(
    Field(f"{part}_usd_per_mtok", "a number", default, f"Dollars per million tokens of {about}.", _read_rate)
    for part, default, about in (
        ("input", "must be said", "input"),
        ("output", "must be said", "output"),
        ("cached_input", "as input", "input read from a cache"),
        ("audio_input", "as input", "audio in"),
        ("audio_output", "as output", "audio out"),
        ("reasoning", "as output", "reasoning"),
        ("image_input", "as input", "pictures in"),
        ("image_output", "as output", "pictures out"),
    )
) + tuple(
    Field(name, "a number", "0", about, _read_rate)
    for name, about in (
        ("input_usd_per_mchar", "Dollars per million characters of a text that is spoken."),
        ("audio_usd_per_hour", "Dollars for an hour of what is listened to."),
        ("image_usd", "Dollars for a picture."),
        ("search_usd", "Dollars for a search among documents."),
    )
)

WHEN = (
    Field("paths", "patterns", "any", "Paths, such as `/v1/embeddings` or `/v1/*`.", read_list(read_text)),
    Field("models", "patterns", "any", "Models asked for, such as `gpt-*`.", read_list(read_text)),
    Field(
        "contains", "texts", "any", "All of these stand in the body, byte by byte as it was sent.", read_list(read_text)
    ),
    Field("headers", "names with patterns", "any", "Headers of the request.", _read_headers),
    Field("stream", "true or false", "either", "Whether a stream is asked for.", read_flag),
    Field(
        "calls",
        "numbers of calls",
        "all",
        "Which of the requests that meet all the above: `3`, `2-5`, `4-`, or a list of these. The first is 1.",
        read_list(read_calls),
    ),
    Field("every", "a whole number", "1", "Only each Nth of them: the Nth, the 2Nth and so on.", read_whole(1, _MANY)),
    Field("share", "a number from 0 to 1", "1", "Only this share of them, drawn by the seed.", _read_share),
)

THEN = (
    Field("text", "a text", "", "What the model says.", read_text),
    Field(
        "words",
        "a whole number",
        "12",
        "So many words made from the seed and the request are what it says.",
        read_whole(0, 1_000_000),
    ),
    Field("json", "any value", "", "What it says, as JSON.", _read_json_text),
    Field("refusal", "a text", "", "It refuses with these words.", read_text),
    Field("tool_calls", "a list of calls", "none", "Functions that it wants called.", read_list(_read_tool_call)),
    Field(
        "finish_reason",
        "a text",
        "by the content",
        "`stop`, `length`, `tool_calls`, `content_filter` or anything else.",
        read_text,
    ),
    Field("dimensions", "a whole number", "8", "Of embeddings, unless the request says.", read_whole(1, 65_536)),
    Field("flagged", "names of categories", "none", "What a moderation finds.", read_list(read_text)),
    Field(
        "usage",
        "`bytes`, `missing`, or counts",
        "bytes",
        "What is charged and told. `missing`: charged by bytes, not told.",
        _read_usage,
    ),
    Field("latency_ms", "a number or a range", "0", "Before the first byte. `20-80` is drawn by the seed.", _read_span),
    Field(
        "events", "a whole number", "a word each", "Events with content that a stream has.", read_whole(1, 1_000_000)
    ),
    Field("events_per_second", "a number", "at once", "The pace of a stream.", read_number(0.001, 1_000_000)),
    Field(
        "status",
        "a whole number",
        "200",
        "From 400 on the answer is an error, and nothing is charged.",
        read_whole(200, 599),
    ),
    Field("error_message", "a text", "by the status", "The words of the error.", read_text),
    Field("error_type", "a text", "by the status", "The type of the error.", read_text),
    Field("error_code", "a text", "by the status", "The code of the error.", read_text),
    Field("error_param", "a text", "null", "What in the request the error is about.", read_text),
    Field("retry_after", "a text", "none", "The header `Retry-After`: seconds, or a date.", _read_header),
    Field(
        "headers",
        "names with texts",
        "none",
        "Headers added to the answer, or put in the place of its own.",
        _read_headers,
    ),
    Field("gzip", "true or false", "false", "Whether the body is compressed.", read_flag),
    Field(
        "fault",
        "a fault",
        "none",
        "What goes wrong: a name of the table below, or `{kind: NAME, NUMBER: ...}`.",
        _read_fault,
    ),
)


def _behaviour(values: Mapping[str, Any]) -> Behaviour:
    renamed = {"json": "json_text"}
    return Behaviour(**{renamed.get(name, name): value for name, value in values.items()})


RULE = (
    Field("name", "a text", "rule N", "What the truth log calls it.", read_text),
    Field("when", "conditions", "always", "When it applies.", read_table(WHEN, lambda values: Condition(**values))),
    Field("then", "a behaviour", "{}", "What happens.", read_table(THEN, _behaviour)),
)

SCRIPT = (
    Field("seed", "a whole number", "0", "All that is drawn by chance follows from it.", _COUNT),
    Field("models", "texts", "any", "Models that exist; others answer 404.", read_list(read_text)),
    Field("api_keys", "texts", "any", "Keys that are let in; others get 401.", read_list(read_text)),
    Field(
        "prices",
        "models with prices",
        "none",
        "What models cost, so that the truth log tells costs.",
        read_mapping(_read_price),
    ),
    Field("rules", "a list of rules", "none", "The first that applies decides.", _read_rules),
    Field("otherwise", "a behaviour", "{}", "What happens when no rule applies.", read_table(THEN, _behaviour)),
)

_TABLES = (
    ("The script", "", SCRIPT),
    ("A rule", "", RULE),
    (
        "Conditions: `when`",
        "All that is said must hold. In patterns `*` stands for anything, `?` for one character.",
        WHEN,
    ),
    ("Behaviours: `then` and `otherwise`", "", THEN),
    ("Usage", "", USAGE),
    ("A tool call", "", TOOL_CALL),
    ("Prices", "At most nine digits after the point.", PRICE),
)


def script_reference() -> str:
    """The tables of the reference page, as Markdown."""
    return "\n".join(_reference_lines()) + "\n"


def _reference_lines() -> Iterator[str]:
    for title, words, fields in _TABLES:
        yield from (f"## {title}", "", *([words, ""] if words else []))
        yield from ("| word | takes | default | what it does |", "| --- | --- | --- | --- |")
        yield from (f"| `{row.name}` | {row.kind} | {row.default} | {row.about} |" for row in fields)
        yield ""
    yield from ("## Faults", "", "| name | numbers | what happens |", "| --- | --- | --- |")
    for name, kind in FAULTS.items():
        numbers = "; ".join(f"`{word}` ({one.default:,}): {one.about}" for word, one in kind.numbers.items())
        yield f"| `{name}` | {numbers} | {kind.about} |"

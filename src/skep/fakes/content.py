"""What the scripted provider says: words, values that fit a schema, vectors, and how many tokens that is. All pure.

The same seed and the same request give the same words, in whatever order requests arrive.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from fractions import Fraction
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from skep.fakes.models import Price, SaidUsage, Usage

BYTES_PER_TOKEN = 4
"""The rule of thumb of OpenAI's own documentation for English text; here it is exact."""

# fmt: off
_WORDS = (
    "amber", "bark", "cell", "comb", "dawn", "drone", "field", "flower", "forage", "garden", "glow", "guard", "hive",
    "honey", "lattice", "meadow", "nectar", "pollen", "queen", "season", "shade", "signal", "skep", "smoke", "spring",
    "straw", "summer", "swarm", "thyme", "wax", "weave", "wing", "winter", "worker",
)
# fmt: on

_MAX_DEPTH = 12
"""A schema that contains itself stops here."""


def chance_of(seed: int, *parts: object) -> random.Random:
    """A source of chance that depends on nothing but what is given."""
    return random.Random(f"{seed}/{'/'.join(map(str, parts))}")  # noqa: S311 -- repeatable on purpose


def digest_of(body: bytes) -> str:
    """What stands for a body where its chance is drawn."""
    return blake2b(body, digest_size=8).hexdigest()


def made_words(count: int, chance: random.Random) -> str:
    """So many words, as a sentence."""
    text = " ".join(chance.choice(_WORDS) for _ in range(count))
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def pieces_of(text: str, count: int | None) -> list[str]:
    """The text cut for a stream: into so many pieces (fewer when it has fewer characters), or at its words."""
    if not text:
        return []
    if count is None:
        words = text.split(" ")
        return [words[0], *(f" {word}" for word in words[1:])]
    count = max(1, min(count, len(text)))
    borders = [len(text) * index // count for index in range(count + 1)]
    return [text[start:end] for start, end in pairwise(borders)]


def tokens_of(size_bytes: int) -> int:
    """Tokens of so many bytes, rounded up."""
    return -(-size_bytes // BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int) -> str:
    """The beginning of a text that has at most so many tokens; no character is cut in two."""
    return text.encode()[: tokens * BYTES_PER_TOKEN].decode(errors="ignore")


def charged(said: SaidUsage, request_bytes: int, answer_bytes: int) -> Usage:
    """What is charged: what the script says, and the rest by the bytes of the request's body and of the answer's content."""
    return Usage(
        input_tokens=tokens_of(request_bytes) if said.input_tokens is None else said.input_tokens,
        output_tokens=tokens_of(answer_bytes) if said.output_tokens is None else said.output_tokens,
        cached_input_tokens=said.cached_input_tokens,
        reasoning_tokens=said.reasoning_tokens,
        audio_input_tokens=said.audio_input_tokens,
        audio_output_tokens=said.audio_output_tokens,
        image_input_tokens=said.image_input_tokens,
        image_output_tokens=said.image_output_tokens,
    )


def cost_nusd(usage: Usage, price: Price) -> int:
    """The cost in nano-dollars, rounded once, halves up."""
    text_in = usage.input_tokens - usage.cached_input_tokens - usage.audio_input_tokens - usage.image_input_tokens
    text_out = usage.output_tokens - usage.reasoning_tokens - usage.audio_output_tokens - usage.image_output_tokens
    millionths = (
        text_in * price.input
        + usage.cached_input_tokens * _or(price.cached_input, price.input)
        + usage.audio_input_tokens * _or(price.audio_input, price.input)
        + text_out * price.output
        + usage.reasoning_tokens * _or(price.reasoning, price.output)
        + usage.audio_output_tokens * _or(price.audio_output, price.output)
        + usage.image_input_tokens * _or(price.image_input, price.input)
        + usage.image_output_tokens * _or(price.image_output, price.output)
        + usage.characters * price.characters
    )
    exact = Fraction(millionths, 1_000_000) + Fraction(usage.audio_ms * price.audio_hour, 3_600_000)
    return math.floor(exact + Fraction(1, 2)) + usage.images * price.image + usage.searches * price.search


def _or(rate: int | None, other: int) -> int:
    return other if rate is None else rate


def vector_of(text: str, dimensions: int, seed: int) -> list[float]:
    """A vector of length 1, the same for the same text."""
    chance = chance_of(seed, "vector", text)
    values = [chance.gauss(0, 1) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def fitting(schema: object, chance: random.Random) -> object:
    """A value that fits a JSON schema of the kind that OpenAI's structured output takes."""
    root = schema if isinstance(schema, Mapping) else {}
    return _fitting(root, root, chance, 0)


def _fitting(schema: Mapping[str, Any], root: Mapping[str, Any], chance: random.Random, depth: int) -> object:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return chance.choice(list(schema["enum"]))
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        if depth >= _MAX_DEPTH:
            return None
        properties = schema.get("properties") or {}
        return {name: _fitting(one, root, chance, depth + 1) for name, one in properties.items()}
    if kind == "array":
        count = max(int(schema.get("minItems", 0)), 0 if depth >= _MAX_DEPTH else 1)
        return [_fitting(schema.get("items") or {}, root, chance, depth + 1) for _ in range(count)]
    return _simple(kind, schema, chance)


def _simple(kind: object, schema: Mapping[str, Any], chance: random.Random) -> object:
    if kind == "integer":
        low = int(schema.get("minimum", 0))
        return chance.randint(low, max(low, int(schema.get("maximum", low + 99))))
    if kind == "number":
        low_number = float(schema.get("minimum", 0))
        return round(chance.uniform(low_number, float(schema.get("maximum", low_number + 1))), 3)
    if kind == "boolean":
        return chance.random() < 0.5
    return None if kind == "null" else made_words(2, chance)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references inside the schema and take the first way where several are allowed."""
    for _ in range(_MAX_DEPTH):
        ways = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(schema.get("$ref"), str):
            found: Any = root
            for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
                found = found.get(part, {}) if isinstance(found, Mapping) and part else found
            schema = found if isinstance(found, Mapping) else {}
        elif ways and isinstance(ways[0], Mapping):
            schema = ways[0]
        else:
            break
    return schema

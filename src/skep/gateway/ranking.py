"""What is peculiar to calls that have documents ranked: their bounds, and what the answer tells that they used. Pure.

Providers count in two ways: tokens, the query's once for each document (Jina, Voyage, vLLM), or searches of 100 documents (Cohere).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from skep.gateway.large_bodies import Unread
from skep.gateway.usage import AnswerUnreadableError, Billing, billing_of, usage_of
from skep.spend import Usage

_DOCUMENTS_IN_SEARCH = 100
_TOKENS_IN_DOCUMENT = 500
"""A longer document counts as several; the query is part of each (https://docs.cohere.com/docs/how-does-cohere-pricing-work)."""


def ranking_bounds(values: Mapping[str, Any], size: int) -> tuple[int, int]:
    """How many tokens go in at most, and how many searches are billed at most. ``size`` is that of the body in bytes."""
    query, documents = values.get("query"), _count(values.get("documents"), size)
    query_bytes = len(query.encode()) if isinstance(query, str) else size
    # No tokenizer makes more tokens of a text than it has bytes.
    counted = documents + size // max(1, _TOKENS_IN_DOCUMENT - query_bytes)
    return size + query_bytes * documents, max(1, -(-counted // _DOCUMENTS_IN_SEARCH))


def _count(documents: object, size: int) -> int:
    if isinstance(documents, list):
        return len(documents)
    if isinstance(documents, Unread):
        return documents.elements or documents.values or size
    return size


def read_ranking(body: bytes) -> tuple[Usage | None, object, Billing]:
    """The same as `read_answer` for an answer with ranks."""
    try:
        values = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AnswerUnreadableError(str(error)) from error
    if not isinstance(values, dict):
        raise AnswerUnreadableError("it is no object")
    told, meta = values.get("usage"), values.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    usage = usage_of(told) or usage_of(meta.get("tokens"))
    total = told.get("total_tokens") if isinstance(told, dict) else None
    if usage is None and type(total) is int and total >= 0:
        usage = Usage(input_tokens=total, output_tokens=0)
    billing, units = billing_of(values), meta.get("billed_units")
    searches = units.get("search_units") if isinstance(units, dict) else None
    if isinstance(searches, int | float) and not isinstance(searches, bool) and 0 <= searches < 1e9:
        billing = Billing(billing.service_tier, billing.cost_nusd, math.ceil(searches))
    return usage, values.get("error"), billing

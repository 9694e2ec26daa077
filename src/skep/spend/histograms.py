"""Histograms of times, and what they tell. Pure."""

from __future__ import annotations

import itertools
import math
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence

from skep.spend.models import Percentiles

_SHARES = (0.5, 0.95, 0.99)
_BUCKET_ENDS_MS = tuple(round(0.1 * 2 ** (bucket / 4), 2) for bucket in range(128))
"""The longest time in each bucket, as the database's function ``latency_bucket`` makes them."""


def numbers_of(histogram: bytes | None) -> Sequence[float] | None:
    """How many calls each bucket has, as pgvector sends them: two numbers of 16 bits, then 32-bit floats, big-endian."""
    if histogram is None:
        return None
    counts = array("f", histogram[4:])
    if sys.byteorder == "little":
        counts.byteswap()
    return counts


def percentiles(histogram: bytes | None) -> Percentiles | None:
    """What a histogram says, as pgvector sends it. See `percentiles_of`; None when there is none."""
    counts = numbers_of(histogram)
    return None if counts is None else percentiles_of(counts)


def percentiles_of(counts: Sequence[float]) -> Percentiles | None:
    """The upper end of the bucket in which each percentile lies. None when all are empty."""
    below = list(itertools.accumulate(counts))
    total = below[-1]
    if not total:
        return None
    return Percentiles(*[_BUCKET_ENDS_MS[bisect_left(below, math.ceil(total * share))] for share in _SHARES])

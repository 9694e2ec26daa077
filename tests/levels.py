"""How much of a test runs: the short form in `./check`, the whole with ``--full``, soaks with ``--long``."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

LEVELS = ("default", "full", "long")
"""What ``SKEP_TEST_LEVEL`` may say; each level includes those before it."""


def level() -> str:
    """The level of this run. Raises pytest.UsageError for one that there is not."""
    name = os.environ.get("SKEP_TEST_LEVEL", LEVELS[0])
    if name not in LEVELS:
        raise pytest.UsageError(f"SKEP_TEST_LEVEL is {name!r}; it may be {', '.join(LEVELS)}")
    return name


def by_level(default: T, full: T, long: T | None = None) -> T:
    """A size of a test at the level of this run; that of soaks is the full one unless said."""
    return {"default": default, "full": full, "long": full if long is None else long}[level()]


def full(*values: Any) -> Any:
    """A case of a parametrised test that belongs to the full level, beside the cases of every run."""
    return pytest.param(*values, marks=pytest.mark.full)

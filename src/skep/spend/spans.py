"""From when to when a report looks, as people write it. Pure but for the clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_MOST_AGO = timedelta(days=36_500)


def parse_since(text: str, now: datetime | None = None) -> datetime:
    """A moment: ``90m``, ``24h``, ``7d`` or ``2w`` ago, or a date or time (ISO 8601; UTC unless it says otherwise).

    Raises ValueError.
    """
    text = text.strip()
    ago = _AGO.fullmatch(text)
    if ago is not None:
        span = min(int(ago[1]) * _UNITS[ago[2]], _MOST_AGO)
        return (now or datetime.now(UTC)) - span
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a span such as 7d, 24h or 90m nor a date such as 2026-11-20") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)

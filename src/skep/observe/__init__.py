"""What Skep says about its own work: one line of text, or one JSON object, for each event, without secrets."""

from __future__ import annotations

from skep.observe.logs import configure_logging, event, masked, render
from skep.observe.tracing import current_trace_id, new_trace_id, trace_id_of, tracing

__all__ = [
    "configure_logging",
    "current_trace_id",
    "event",
    "masked",
    "new_trace_id",
    "render",
    "trace_id_of",
    "tracing",
]

"""The index as tools for agents, over the Model Context Protocol: one set of tools, two ways to reach it."""

from __future__ import annotations

from skep.mcp.interfaces import StillOpeningError, ToolArgumentsError, ToolFailedError, ToolNotFoundError
from skep.mcp.loading import Authenticated, HttpCarrier, load_http, serve_stdio

__all__ = [
    "Authenticated",
    "HttpCarrier",
    "StillOpeningError",
    "ToolArgumentsError",
    "ToolFailedError",
    "ToolNotFoundError",
    "load_http",
    "serve_stdio",
]

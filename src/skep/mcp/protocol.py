"""The tools in the words of the protocol: the one place that knows its library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp import types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from skep import __version__
from skep.mcp.models import Answer
from skep.mcp.tools import INSTRUCTIONS, TOOLS

CallTool = Callable[[str, Mapping[str, Any] | None, Any], Awaitable[Answer]]
"""Does a call: name, arguments, and the HTTP request that brought it (None on other ways). Must not raise."""

_CACHE_MS = 24 * 3600 * 1000
"""How long clients may keep the list: it changes only with the version of Skep."""


def make_server(call: CallTool) -> Server[Any]:
    """A server of our tools. What it says of itself is fixed here; only calls need anything else."""
    listed = types.ListToolsResult(
        tools=[
            types.Tool(
                name=tool.name,
                description=tool.description,
                input_schema=tool.schema,
                annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
            )
            for tool in TOOLS
        ]
    )

    async def list_tools(
        _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listed

    async def call_tool(context: ServerRequestContext[Any], asked: types.CallToolRequestParams) -> types.CallToolResult:
        answer = await call(asked.name, asked.arguments, context.request)
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=answer.text)], is_error=answer.is_error
        )

    hint = CacheHint(ttl_ms=_CACHE_MS, scope="public")
    return Server(
        "skep",
        version=__version__,
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": hint, "server/discover": hint},
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )

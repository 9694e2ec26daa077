"""What the tools do, whoever carries the calls."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skep.access import Principal
from skep.errors import SkepError
from skep.knowledge import DocumentNotFoundError, Knowledge, SearchRequest, SearchResponse
from skep.mcp.interfaces import ToolArgumentsError, ToolFailedError, ToolNotFoundError
from skep.mcp.models import Answer
from skep.mcp.rendering import document_text, one_line, search_text, status_text
from skep.mcp.tools import (
    TOOLS,
    ReadArguments,
    SearchArguments,
    SimilarArguments,
    StatusArguments,
    parse_arguments,
)

_SAID_CHARS = 1_000
"""Of an error's sentence, and of what to do about it; ours have 300 at most."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and from which folder of this machine; None when that is not known or not this machine."""

    principal: Principal
    folder: Path | None = None


class Tools:
    """Does calls. Whatever goes wrong becomes an answer that says what, why, and how to go on."""

    def __init__(self, knowledge: Knowledge, *, default_top_k: int) -> None:
        self._knowledge = knowledge
        self._default_top_k = default_top_k
        self._work: dict[str, Callable[[Caller, Mapping[str, Any] | None], Awaitable[str]]] = {
            "search": self._search,
            "similar": self._similar,
            "read": self._read,
            "status": self._status,
        }

    async def call(self, caller: Caller, name: str, arguments: Mapping[str, Any] | None) -> Answer:
        """Do one call. Never raises but when it is cancelled."""
        try:
            work = self._work.get(name)
            if work is None:
                raise ToolNotFoundError(what="tool", name=name, known=", ".join(tool.name for tool in TOOLS))
            return Answer(await work(caller, arguments))
        except SkepError as error:
            return error_answer(error)
        except Exception:  # noqa: BLE001 -- an agent must get an answer whatever happens; the cause is logged
            _log.exception("tool failed")
            return error_answer(ToolFailedError(reason="unforeseen", tool=name))

    async def _search(self, caller: Caller, given: Mapping[str, Any] | None) -> str:
        wanted = parse_arguments("search", SearchArguments, given)
        collections, notes = await self._where(caller, wanted.collection)
        request = SearchRequest(
            query=wanted.query,
            top_k=wanted.top_k or self._default_top_k,
            collections=collections,
            languages=() if wanted.language is None else (wanted.language,),
            path_glob=wanted.path,
            kinds=() if wanted.kind is None else (wanted.kind,),
        )
        return search_text(await self._knowledge.search(caller.principal, request), notes, wanted.max_tokens)

    async def _similar(self, caller: Caller, given: Mapping[str, Any] | None) -> str:
        wanted = parse_arguments("similar", SimilarArguments, given)
        collections, notes = await self._where(caller, wanted.collection)
        request = SearchRequest(query="", top_k=wanted.top_k or self._default_top_k, collections=collections)
        return search_text(await self._like(caller, wanted.location, request), notes, wanted.max_tokens)

    async def _like(self, caller: Caller, location: str, request: SearchRequest) -> SearchResponse:
        """Results print document paths, so these come first; agents also write paths of the folder they work in."""
        try:
            return await self._knowledge.similar(caller.principal, location, request)
        except DocumentNotFoundError:
            if caller.folder is None:
                raise
            return await self._knowledge.similar(
                caller.principal, location, replace(request, collections=()), folder=caller.folder
            )

    async def _read(self, caller: Caller, given: Mapping[str, Any] | None) -> str:
        wanted = parse_arguments("read", ReadArguments, given)
        if wanted.end_line is not None and wanted.end_line < wanted.start_line:
            raise ToolArgumentsError(tool="read", reason="end_line is less than start_line")
        collections, _ = await self._where(caller, wanted.collection)
        document = await self._knowledge.read(
            caller.principal, posixpath.normpath(wanted.path), collections=collections, folder=caller.folder
        )
        return document_text(document, wanted.start_line, wanted.end_line, wanted.max_tokens)

    async def _status(self, caller: Caller, given: Mapping[str, Any] | None) -> str:
        wanted = parse_arguments("status", StatusArguments, given)
        here = await self._here(caller)
        return status_text(await self._knowledge.status(caller.principal), here, wanted.max_tokens)

    async def _where(self, caller: Caller, collection: str | None) -> tuple[tuple[str, ...], list[str]]:
        """Which collections are meant (none: all), and what the agent should know about that."""
        if collection is not None:
            return (collection,), []
        here = await self._here(caller)
        if here is not None:
            return (here,), []
        if caller.folder is None:
            return (), []
        folder = one_line(str(caller.folder))
        return (), [f"note: {folder} is not indexed, so every collection is searched; fix: run `skep index` there"]

    async def _here(self, caller: Caller) -> str | None:
        if caller.folder is None:
            return None
        return await self._knowledge.collection_around(caller.principal, caller.folder)


def error_answer(error: SkepError) -> Answer:
    """An error as an agent reads it."""
    said, fix = str(error), f"\nfix: {error.fix_text}" if error.fix_text else ""
    # It may repeat what the agent sent.
    shown = said if len(said) <= _SAID_CHARS else f"{said[:_SAID_CHARS]}…"
    return Answer(f"error: {shown}{fix[:_SAID_CHARS]}", is_error=True)

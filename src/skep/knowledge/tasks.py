"""Indexing and verifying as background jobs, and which folders a job may read.

A person at a command line may index what they can read themselves. A request from elsewhere makes the server read: so
only an administrator may name a new folder; everybody else asks for folders that are known already.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from skep.access import Principal
from skep.jobs import JobContext, JobHandler, JobOrder
from skep.knowledge.interfaces import (
    CollectionNotFoundError,
    FolderNotAbsoluteError,
    FolderUnknownError,
    NoFolderHereError,
)
from skep.knowledge.models import IndexReport
from skep.knowledge.service import Knowledge
from skep.knowledge.sources import check_name
from skep.knowledge.walking import decode_path

INDEX = "index"
VERIFY = "verify"

Confirm = Callable[[Principal], Awaitable[Principal]]
"""Who asked, as their key is now. Raises when it was revoked."""


def knowledge_tasks(knowledge: Knowledge, node: str, confirm: Confirm) -> Mapping[str, JobHandler]:
    """What a worker on the machine ``node`` can do, by kind of job.

    A job may have waited for long: ``confirm`` says what who asked for it may do now.
    """

    async def index(context: JobContext) -> dict[str, list[IndexReport]]:
        """Index a folder, or all that the collection has here; the result is ``{"reports": [IndexReport]}``."""
        principal = await confirm(Principal(**context.requested_by))
        collection, path = context.arguments["collection"], context.arguments["path"]
        # Once more: what was known when the job was asked for may have been purged since.
        folders = await folders_to_index(knowledge, node, principal, collection, path)
        return {
            "reports": [
                await knowledge.index(principal, folder, collection=collection, report=context.report)
                for folder in folders
            ]
        }

    async def verify(context: JobContext) -> dict[str, object]:
        """Verify a collection; the result is what ``skep verify --json`` prints."""
        principal = await confirm(Principal(**context.requested_by))
        reports = await knowledge.verify(principal, context.arguments["collection"], report=context.report)
        return {"equal": all(report.is_equal for report in reports), "collections": reports}

    return {INDEX: index, VERIFY: verify}


def index_order(principal: Principal, collection: str, path: str | None) -> JobOrder:
    """The job that indexes a folder, or the collection's known folders for None."""
    return _order(INDEX, principal, collection, {"collection": collection, "path": path})


def verify_order(principal: Principal, collection: str) -> JobOrder:
    """The job that verifies a collection."""
    return _order(VERIFY, principal, collection, {"collection": collection})


async def folders_to_index(
    knowledge: Knowledge, node: str, principal: Principal, collection: str, path: str | None
) -> tuple[Path, ...]:
    """What an index job may read on the machine ``node``.

    Raises CollectionNameError, CollectionNotFoundError, NoFolderHereError, FolderNotAbsoluteError, FolderUnknownError.
    The last one says nothing about whether the path exists.
    """
    known = await known_folders(knowledge, node, principal, collection)
    if path is None:
        if not known:
            raise NoFolderHereError(what=collection, reason="no folder here", collection=collection)
        return known
    if not os.path.isabs(path) or "\0" in path:
        raise FolderNotAbsoluteError(path=path, reason="path")
    # Links are followed first: what counts is where a path leads.
    folder = Path(await asyncio.to_thread(os.path.realpath, path))
    if not any(folder.is_relative_to(root) for root in known) and not principal.may_act_as("admin"):
        raise FolderUnknownError(reason="folder", path=path, collection=collection)
    return (folder,)


async def known_folders(knowledge: Knowledge, node: str, principal: Principal, collection: str) -> tuple[Path, ...]:
    """The folders on the machine ``node`` that a collection is indexed from.

    Raises CollectionNameError, and CollectionNotFoundError unless the principal could make the collection.
    """
    check_name(collection)
    status = {entry.collection: entry for entry in await knowledge.status(principal)}
    if collection not in status:
        if principal.may_act_as("admin"):
            return ()
        raise CollectionNotFoundError(what="collection", name=collection, known=", ".join(status) or "none")
    return tuple(
        Path(os.fsdecode(decode_path(source.root))) for source in status[collection].sources if source.node == node
    )


def _order(kind: str, principal: Principal, collection: str, arguments: Mapping[str, str | None]) -> JobOrder:
    return JobOrder(kind=kind, subject=f"collection:{collection}", arguments=arguments, requested_by=asdict(principal))

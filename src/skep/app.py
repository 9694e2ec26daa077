"""The composition root: the one place that knows every service and hands each what it needs."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from skep.access import Access, Principal
from skep.errors import UnavailableError
from skep.jobs import Chore, JobHandler, Jobs, queue_of, read_jobs
from skep.knowledge import (
    VECTOR_SESSION_SETTINGS,
    ChangeFeed,
    IndexedFolder,
    Knowledge,
    KnowledgeOptions,
    LazyEmbedder,
    Refresher,
    ReportNotice,
    Watcher,
    WatchOptions,
    WatchTools,
    fetch_folders,
    open_local_embedder,
    read_freshness,
)
from skep.knowledge.tasks import knowledge_tasks
from skep.observe import NO_METRICS, Metrics, Reading
from skep.settings import Settings
from skep.store import Database, ExternalServer, OwnServer, Server, embedded_server, ensure_schema

KEY_FILE = "admin.key"
NODE_FILE = "node.id"


class DataFolderError(UnavailableError):
    """The data folder {path} cannot be used: {reason}"""

    fix = "Give yourself the right to write there, or name another one with --data-dir or SKEP_HOME."


@dataclass(frozen=True, slots=True)
class Skep:
    """An opened Skep: its settings and its services."""

    settings: Settings
    database: Database
    access: Access
    knowledge: Knowledge
    changes: ChangeFeed
    jobs: Jobs
    node: str
    """Names this machine's data folder among those that share a database."""
    embedding_model: str
    """Whose vectors searches use; empty for none."""

    async def local_principal(self) -> Principal:
        """Who the command line is. Raises what `Access.authenticate_local` raises."""
        key = self.settings.key
        return await self.access.authenticate_local(key.reveal() if key is not None else None)

    async def readings(self, principal: Principal | None) -> list[Reading]:
        """The metrics that are read when somebody asks: of the principal's project; of all, without any name, for None."""
        project_id = None if principal is None else principal.project_id
        return await _read(self.database, self.node, self.embedding_model, project_id)


async def _read(database: Database, node: str, model: str, project_id: int | None) -> list[Reading]:
    fresh = await read_freshness(database, node=node, model=model, project_id=project_id)
    return fresh + await read_jobs(database, project_id=project_id)


@dataclass(slots=True)
class Readings:
    """The metrics that are read when somebody asks, for who opens nothing else of Skep. `close` it."""

    settings: Settings
    node: str
    database: Database | None = None

    async def read(self) -> list[Reading]:
        """Of all projects, without any name. Raises the errors of the store."""
        if self.database is None:
            database = make_database(self.settings, name="skep metrics")
            await database.open()
            self.database = database
        embedder = make_embedder(self.settings)
        return await _read(self.database, self.node, "" if embedder is None else embedder.name, None)

    async def close(self) -> None:
        """Let go of the database."""
        if self.database is not None:
            await self.database.close()


@asynccontextmanager
async def open_skep(
    settings: Settings,
    *,
    notice: ReportNotice,
    name: str = "skep",
    niceness: int = 0,
    metrics: Metrics = NO_METRICS,
) -> AsyncIterator[Skep]:
    """Open everything a command or a server needs, and close it in reverse order.

    Makes the data folder, starts the embedded database, brings the schema up to date, and makes the first key, each
    only if needed. ``notice`` takes sentences for the user; ``name`` shows in the database's list of sessions, whose
    server processes step back by ``niceness`` where the database is ours. ``metrics`` takes what is measured.

    Raises DataFolderError, or the errors of the store.
    """
    async with AsyncExitStack() as stack:
        node = prepare_data_folder(settings.data_folder)
        database = make_database(settings, name=name, niceness=niceness)
        stack.push_async_callback(database.close)
        await database.open()
        access = Access(database, key_file=settings.data_folder / KEY_FILE)
        if await ensure_schema(database) or not (settings.key or access.key_file.exists()):
            await access.ensure_first_key()
        embedder = make_embedder(settings, niceness=niceness)
        knowledge = Knowledge(
            database, knowledge_options(settings, node), notice=notice, embedder=embedder, metrics=metrics
        )
        stack.push_async_callback(knowledge.close)
        jobs = Jobs(database, queue=queue_of(node))
        changes = ChangeFeed(database)
        stack.push_async_callback(changes.close)
        yield Skep(
            settings=settings,
            database=database,
            access=access,
            knowledge=knowledge,
            changes=changes,
            jobs=jobs,
            node=node,
            embedding_model=knowledge.embedding_model,
        )


def job_handlers(skep: Skep) -> Mapping[str, JobHandler]:
    """Every kind of background job that a worker can do."""
    return {**knowledge_tasks(skep.knowledge, skep.node, skep.access.confirm)}


def chores(skep: Skep) -> tuple[Chore, ...]:
    """What a worker does now and then, whoever asks for nothing."""
    return (skep.knowledge.tidy,)


def make_watcher(
    skep: Skep,
    *,
    notice: ReportNotice,
    project_id: int | None = None,
    wanted: Callable[[IndexedFolder], bool] | None = None,
) -> Watcher:
    """What keeps the indexed folders of this machine fresh; not begun. Of every project, or of one; all, or those wanted."""
    watch = skep.settings.watch
    tools = WatchTools(
        database=skep.database,
        knowledge=skep.knowledge,
        refresher=Refresher(skep.database, knowledge_options(skep.settings, skep.node), notice),
        options=WatchOptions(
            use_events=watch.method == "events",
            polling_seconds=watch.polling_seconds,
            rescan_minutes=watch.rescan_minutes,
        ),
        notice=notice,
    )
    return Watcher(tools, node=skep.node, project_id=project_id, wanted=wanted)


async def watched_folders(skep: Skep, *, project_id: int) -> list[IndexedFolder]:
    """The folders of this machine that a project has indexed."""
    return await fetch_folders(skep.database, skep.node, project_id)


def make_database(settings: Settings, *, name: str, niceness: int = 0) -> Database:
    """The database that the settings name, not opened. ``name`` and ``niceness`` as in `open_skep`."""
    return Database(
        database_server(settings),
        max_connections=settings.database.pool_max_connections,
        connect_timeout_seconds=settings.database.connect_timeout_seconds,
        statement_timeout_seconds=settings.database.statement_timeout_seconds,
        application_name=name,
        niceness=niceness,
        session_settings=VECTOR_SESSION_SETTINGS,
    )


def make_embedder(settings: Settings, *, niceness: int = 0) -> LazyEmbedder | None:
    """The model that passages and questions are embedded with, not loaded; None when that is switched off.

    Raises EmbeddingModelMissingError, EmbeddingModelDamagedError.
    """
    if not settings.embedding.enabled:
        return None
    threads = settings.embedding.threads or max(1, (os.cpu_count() or 1) // 2)
    return open_local_embedder(threads=threads, niceness=niceness)


def database_server(settings: Settings) -> Server:
    """The server the settings name: the one of ``database.url``, else the embedded one of the data folder."""
    if settings.database.url is not None:
        return ExternalServer(settings.database.url.reveal())
    return OwnServer(embedded_server(settings))


def knowledge_options(settings: Settings, node: str) -> KnowledgeOptions:
    """What the settings say about indexing and searching."""
    return KnowledgeOptions(
        data_folder=settings.data_folder,
        node=node,
        max_file_bytes=settings.index.max_file_bytes,
        include_secrets=settings.index.include_secrets,
        include_generated=settings.index.include_generated,
        ignore=settings.index.ignore,
        jobs=settings.index.jobs,
        retention=timedelta(days=settings.index.retention_days),
        max_top_k=settings.search.max_top_k,
        max_query_bytes=settings.search.max_query_bytes,
        recall_checks_per_thousand=settings.metrics.recall_checks_per_thousand,
    )


def prepare_data_folder(folder: Path) -> str:
    """Make the data folder (mode 0700) if it is not there; the name of this node, made at the first time.

    Raises DataFolderError when that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / NODE_FILE
        if not path.exists():
            draft = folder / f"{NODE_FILE}.{os.getpid()}.new"
            draft.write_text(f"{socket.gethostname()}-{secrets.token_hex(4)}\n")
            # A link fails when another process was first; its name is the one that counts.
            with suppress(FileExistsError):
                path.hardlink_to(draft)
            draft.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise DataFolderError(path=folder, reason=error.strerror or str(error)) from error

"""A folder of files and an opened Skep that indexes it: what tests of the index do to both, and how they look at them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from skep.access import Principal, Role
from skep.app import Skep, knowledge_options, open_skep
from skep.knowledge import Embedder, IndexReport, Knowledge, SearchRequest, SearchResponse, VerifyReport
from skep.observe import NO_METRICS, Metrics
from skep.settings import DatabaseSettings, EmbeddingSettings, IndexSettings, SearchSettings, Secret, Settings

STATE = """
select 'placement', d.path, v.language, v.kind, v.blob_sha256, p.ordinal, c.text, p.start_line, p.end_line, p.heading,
    p.symbol, null::bigint as modified_at
from document d join version v using (version_id) join placement p using (version_id)
join chunk c on c.project_id = p.project_id and c.sha256 = p.chunk_sha256
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s
union all
select 'symbol', d.path, s.kind, s.name, null, s.ordinal, s.qualified_name, s.start_line, s.end_line, '', '', null::bigint
from document d join symbol s using (version_id)
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s
union all
select 'mention', d.path, m.family, m.reach, null, null, m.module || array_to_string(m.subjects || m.imports || m.names, ' '),
    null, null, '', '', null::bigint
from document d join mention m using (version_id)
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s
union all
select 'document', d.path, v.language, v.kind, v.blob_sha256, null, null, d.size_bytes, null, v.chunker, '',
    extract(epoch from v.modified_at)::bigint
from document d join version v using (version_id)
where d.project_id = %(project_id)s and d.collection_id = %(collection_id)s and d.deleted_at is null
order by 1, 2, 6
"""
"""Everything that is findable in a collection, without the numbers it happens to have."""

NEW_PROJECT = "insert into project (name, key_pepper) values (%(name)s, %(pepper)s) returning project_id"

State = list[tuple[object, ...]]


def settings_for(
    url: str | None,
    data_folder: Path,
    *,
    index: IndexSettings | None = None,
    search: SearchSettings | None = None,
    statement_timeout_seconds: int = 60,
    embedding: bool = False,
) -> Settings:
    """Settings as a file would give them: on the database at ``url``, or the data folder's own.

    Without vectors unless asked for: loading the model takes longer than most tests.
    """
    database = DatabaseSettings(
        url=None if url is None else Secret(url),
        pool_max_connections=6,
        statement_timeout_seconds=statement_timeout_seconds,
    )
    return Settings(
        data_folder=data_folder,
        database=database,
        index=index or IndexSettings(jobs=1),
        search=search or SearchSettings(),
        embedding=EmbeddingSettings(enabled=embedding, threads=1),
    )


def quiet(phase: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


@dataclass
class Workspace:
    """A folder, the services, and who acts."""

    skep: Skep
    who: Principal
    folder: Path
    notices: list[str] = field(default_factory=list)
    """What Skep said aloud."""

    def write(self, path: str, text: str | bytes) -> Path:
        """Make a file with all folders above it."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    async def index(
        self, part: str = "", *, collection: str | None = None, who: Principal | None = None, jobs: int | None = None
    ) -> IndexReport:
        """Index the folder or a part of it."""
        return await self.skep.knowledge.index(
            who or self.who, self.folder / part, collection=collection, jobs=jobs, report=quiet
        )

    async def search(self, query: str, *, who: Principal | None = None, top_k: int = 50) -> SearchResponse:
        """Search everything of the project."""
        return await self.skep.knowledge.search(who or self.who, SearchRequest(query=query, top_k=top_k))

    async def paths(self, query: str, *, who: Principal | None = None) -> set[str]:
        """Where a query is found."""
        return {result.path for result in (await self.search(query, who=who)).results}

    async def verify(self, *, who: Principal | None = None, collection: str | None = None) -> tuple[VerifyReport, ...]:
        """What verify says of every collection, or of one."""
        return await self.skep.knowledge.verify(who or self.who, collection, report=quiet)

    async def differences(self, *, who: Principal | None = None) -> list[str]:
        """Everything that verify finds wrong; empty when all is well."""
        return [difference for report in await self.verify(who=who) for difference in report.differences]

    async def state(self, collection: str | None = None, *, who: Principal | None = None) -> State:
        """What is stored of a collection (the folder's own, unless named), in a form that two collections can share."""
        who = who or self.who
        number = await self.collection_id(collection or self.folder.name, who=who)
        return await self.rows(STATE, project_id=who.project_id, collection_id=number)

    async def collection_id(self, name: str, *, who: Principal | None = None) -> int:
        """A collection's number in the database."""
        found = await self.rows(
            "select collection_id from collection where project_id = %(project_id)s and name = %(name)s",
            project_id=(who or self.who).project_id,
            name=name,
        )
        (number,) = found[0]
        assert isinstance(number, int)
        return number

    async def rows(self, statement: str, **parameters: object) -> State:
        """Look into the database."""
        return await self.skep.database.fetch_tuples(statement.encode(), parameters)

    async def execute(self, statement: str, **parameters: object) -> int:
        """Change something in the database behind Skep's back."""
        return await self.skep.database.execute(statement.encode(), parameters)

    async def new_principal(self, role: Role = "admin") -> Principal:
        """Somebody in a project of their own."""
        name = f"project-{secrets.token_hex(6)}"
        ((project_id,),) = await self.rows(NEW_PROJECT, name=name, pepper=secrets.token_bytes(32))
        assert isinstance(project_id, int)
        return Principal(project_id, name, "no-key", "test", role)

    async def clean_state(self) -> State:
        """What a build from scratch gives: the same folder, indexed in a project that has nothing yet."""
        stranger = await self.new_principal()
        await self.index(who=stranger)
        return await self.state(who=stranger)

    async def assert_true(self) -> None:
        """The index equals one built from scratch, and verify agrees."""
        assert await self.differences() == []
        assert await self.state() == await self.clean_state()

    def lexical_folder(self, uid: str) -> Path:
        """Where this node keeps a collection's lexical index."""
        return self.skep.settings.data_folder / "lexical" / uid

    async def uid(self, collection: str | None = None) -> str:
        """What names a collection's folders."""
        ((uid,),) = await self.rows(
            "select uid::text from collection where project_id = %(project_id)s and name = %(name)s",
            project_id=self.who.project_id,
            name=collection or self.folder.name,
        )
        return str(uid)


@asynccontextmanager
async def with_embedder(
    workspace: Workspace, embedder: Embedder, *, metrics: Metrics = NO_METRICS, recall_checks_per_thousand: int = 0
) -> AsyncIterator[Workspace]:
    """The workspace with a model."""
    options = replace(
        knowledge_options(workspace.skep.settings, workspace.skep.node),
        recall_checks_per_thousand=recall_checks_per_thousand,
    )
    knowledge = Knowledge(
        workspace.skep.database, options, notice=workspace.notices.append, embedder=embedder, metrics=metrics
    )
    try:
        skep = replace(workspace.skep, knowledge=knowledge, embedding_model=knowledge.embedding_model)
        yield replace(workspace, skep=skep)
    finally:
        await knowledge.close()


@asynccontextmanager
async def open_workspace(url: str | None, home: Path, settings: Settings | None = None) -> AsyncIterator[Workspace]:
    """Open Skep below ``home``: data in ``home/data``, and an empty folder ``home/project`` to index."""
    notices: list[str] = []

    def note(text: str) -> None:
        notices.append(text)

    folder = home / "project"
    folder.mkdir(exist_ok=True)
    async with open_skep(settings or settings_for(url, home / "data"), notice=note, name="test") as skep:
        yield Workspace(skep, await skep.local_principal(), folder, notices)

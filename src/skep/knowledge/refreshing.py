"""Keeping what is indexed of a folder true, part by part: the same run as `Knowledge.index`, without what a long one needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from skep.access import Principal
from skep.knowledge.chunking import CHUNKER_VERSION
from skep.knowledge.following import LexicalFollower
from skep.knowledge.indexing import IndexTask, PartsReport, run_parts
from skep.knowledge.interfaces import ReportNotice
from skep.knowledge.parsing import KeptWorker
from skep.knowledge.service import KnowledgeOptions, walk_options
from skep.knowledge.storing import Target
from skep.knowledge.walking import WalkReport, decode_path, walk
from skep.store import Database

MOST_FILES = 200
"""More files to read are a matter for an ordinary index run, which cuts them in several processes."""


@dataclass(frozen=True, slots=True)
class IndexedFolder:
    """A folder of this machine that is indexed."""

    project_id: int
    project: str
    collection_id: int
    collection: str
    source_id: int
    root: str
    """Absolute, written as document paths are."""

    @property
    def principal(self) -> Principal:
        """Who keeps it fresh: nobody with a key, and nobody who may do more than that."""
        return Principal(self.project_id, self.project, "", "watch", "member")


class Refresher:
    """Looks at parts of folders, in one process and warm: the next look starts where this one ended."""

    def __init__(self, database: Database, options: KnowledgeOptions, notice: ReportNotice) -> None:
        self._database = database
        self._options = walk_options(options)
        self._follower = LexicalFollower(database, options.data_folder / "lexical", options.node, notice)

    async def refresh(self, folder: IndexedFolder, parts: tuple[str, ...], spare: KeptWorker) -> PartsReport:
        """Make what is stored of these parts equal to the disk, and searchable; one empty part is the whole folder.

        Nothing is done when more than `MOST_FILES` are to be read. Raises walking's errors when the root cannot be walked,
        CollectionGoneError, and the errors of the store.
        """
        target = Target(folder.project_id, folder.collection_id, folder.source_id, CHUNKER_VERSION)
        task = IndexTask(
            collection=folder.collection,
            target=target,
            root=decode_path(folder.root),
            root_text=folder.root,
            subpath="",
            options=self._options,
            workers=1,
            parts=parts,
        )
        open_follow = partial(self._follower.following, folder.project_id, folder.collection_id, timeout_seconds=0)
        return await run_parts(self._database, task, open_follow, spare, most_files=MOST_FILES)

    def folders(self, folder: IndexedFolder) -> list[bytes]:
        """Every folder that an index run would list, relative to the root. Blocks; raises walking's errors."""
        report = WalkReport()
        for _ in walk(decode_path(folder.root), self._options, report=report):
            pass
        return report.entered

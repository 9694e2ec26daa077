"""The engines whose answers are compared: ours without a database, and semble in its own environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from skep.knowledge.chunking import parse_file
from skep.knowledge.lexical import LexicalDocument, LexicalIndex, LexicalWriter
from skep.knowledge.models import ParsedFile
from skep.knowledge.ranking import Passage, PassageKey, analyze, rank

Answer = list[tuple[str, int, int]]
"""Path, first and last line of each passage, best first."""

_MAX_FILE_BYTES = 1 << 20
_SKIPPED_FOLDERS = frozenset({".git", "node_modules", "__pycache__", "dist"})


def defines_of(parsed: ParsedFile) -> list[tuple[str, ...]]:
    """For each chunk the qualified names of the symbols that start in it."""
    starts: list[list[str]] = [[] for _ in parsed.chunks]
    for symbol in parsed.symbols:
        for number, chunk in enumerate(parsed.chunks):
            if chunk.start_line <= symbol.start_line <= chunk.end_line:
                starts[number].append(symbol.qualified_name)
                break
    return [tuple(names) for names in starts]


class LexicalEngine:
    """Chunking, lexical index and ranking as the product has them, in a temporary folder."""

    def __init__(self, root: Path, *, kinds: frozenset[str] = frozenset({"code"})) -> None:
        self._root = root
        self._kinds = kinds
        self._exit = ExitStack()
        self._index = LexicalIndex(Path())
        self._passages: dict[PassageKey, Passage] = {}
        self._lines: dict[PassageKey, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        folder = Path(self._exit.enter_context(TemporaryDirectory(prefix="skep-bench-")))
        with LexicalWriter(folder) as writer:
            for version_id, path in enumerate(self._files()):
                writer.add(self._documents(version_id, path))
            writer.commit(seq=1)
        self._index = LexicalIndex(folder)
        self._index.open()
        self._exit.callback(self._index.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    @property
    def chunks(self) -> int:
        """How many passages are indexed."""
        return len(self._passages)

    def search(self, text: str, top_k: int) -> Answer:
        """The whole of a search, but for reading the passages' text."""
        question = analyze(text)
        hits = self._index.search(question.lexical_query(top_k))
        ranked = rank(question, hits, self._passages, top_k)
        keys = [(one.version_id, one.ordinal) for one in ranked]
        return [(self._passages[key].path, *self._lines[key]) for key in keys]

    def _files(self) -> list[Path]:
        return sorted(
            path
            for path in self._root.rglob("*")
            if path.is_file()
            and path.stat().st_size <= _MAX_FILE_BYTES
            and not _SKIPPED_FOLDERS & set(path.relative_to(self._root).parts)
        )

    def _documents(self, version_id: int, path: Path) -> list[LexicalDocument]:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return []
        name = path.relative_to(self._root).as_posix()
        parsed = parse_file(name, text)
        if parsed.kind not in self._kinds:
            return []
        documents = []
        for ordinal, (chunk, defines) in enumerate(zip(parsed.chunks, defines_of(parsed), strict=True)):
            self._passages[version_id, ordinal] = Passage(name, parsed.language, parsed.kind, chunk.symbol, defines)
            self._lines[version_id, ordinal] = (chunk.start_line, chunk.end_line)
            documents.append(
                LexicalDocument(
                    version_id=version_id,
                    ordinal=ordinal,
                    path=name,
                    language=parsed.language,
                    kind=parsed.kind,
                    modified_at=0,
                    text=chunk.text,
                    heading=chunk.heading,
                    defines=defines,
                    symbol=chunk.symbol,
                )
            )
        return documents


def semble_answers(peer_python: Path, root: Path, questions: Sequence[str], top_k: int) -> list[Answer]:
    """What semble answers to the same questions over the same folder."""
    script = Path(__file__).parent.parent / "semble_peer.py"
    task = json.dumps({"root": str(root), "questions": list(questions), "top_k": top_k})
    done = subprocess.run([peer_python, script], input=task, capture_output=True, text=True, check=True, timeout=300)
    answers: list[Answer] = [
        [(path, start, end) for path, start, end in answer] for answer in json.loads(done.stdout)["answers"]
    ]
    return answers

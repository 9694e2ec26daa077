"""The engines whose answers are compared: ours without a database, and semble in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from bench.processes import REPOSITORY
from skep.knowledge.chunking import parse_file
from skep.knowledge.embedding import Embedder
from skep.knowledge.embedding_passages import PassageEmbedder
from skep.knowledge.lexical import LexicalDocument, LexicalIndex, LexicalWriter
from skep.knowledge.meaning import CANDIDATES
from skep.knowledge.models import ChunkDraft, ParsedFile
from skep.knowledge.ranking import Passage, PassageKey, analyze, rank

Answer = list[tuple[str, int, int]]
"""Path, first and last line of each passage, best first."""

_MAX_FILE_BYTES = 1 << 20
_SKIPPED_FOLDERS = frozenset({".git", "node_modules", "__pycache__", "dist"})


def files_below(root: Path) -> Iterable[tuple[str, str]]:
    """Path and text of every file that could be indexed."""
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and path.stat().st_size <= _MAX_FILE_BYTES and not _SKIPPED_FOLDERS & set(inside.parts):
            try:
                yield inside.as_posix(), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def defines_of(parsed: ParsedFile) -> list[tuple[str, ...]]:
    """For each chunk the qualified names of the symbols that start in it."""
    starts: list[list[str]] = [[] for _ in parsed.chunks]
    for symbol in parsed.symbols:
        for number, chunk in enumerate(parsed.chunks):
            if chunk.start_line <= symbol.start_line <= chunk.end_line:
                starts[number].append(symbol.qualified_name)
                break
    return [tuple(names) for names in starts]


class Engine:
    """Chunking, lexical index, vectors and ranking as the product has them, in a temporary folder.

    Without an ``embedder`` words alone. Vectors are compared one by one: what the index in the database may miss is measured
    elsewhere (bench/vectors.py).
    """

    def __init__(
        self,
        files: Iterable[tuple[str, str]],
        *,
        kinds: frozenset[str] = frozenset({"code"}),
        embedder: Embedder | None = None,
    ) -> None:
        self._files = files
        self._kinds = kinds
        self._embedder = embedder
        self._exit = ExitStack()
        self._index = LexicalIndex(Path())
        self._passages: dict[PassageKey, Passage] = {}
        self._lines: dict[PassageKey, tuple[int, int]] = {}
        self._keys: list[PassageKey] = []
        self._chunks: list[ChunkDraft] = []
        self._vectors: Any = None
        self._questions: dict[str, Any] = {}

    def __enter__(self) -> Self:
        folder = Path(self._exit.enter_context(TemporaryDirectory(prefix="skep-bench-")))
        with LexicalWriter(folder) as writer:
            for version_id, (path, text) in enumerate(self._files):
                writer.add(self._documents(version_id, path, text))
            writer.commit(seq=1)
        self._index = LexicalIndex(folder)
        self._index.open()
        self._exit.callback(self._index.close)
        if self._embedder is not None:
            self._vectors = PassageEmbedder(self._embedder).embed_passages(self._chunks)
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
        return [(self._passages[key].path, *self._lines[key]) for key in self._ranked(text, top_k)]

    def paths(self, text: str, top_k: int, *, by_words: bool = True) -> list[str]:
        """The files of the best passages, each once, best first."""
        if not by_words:
            near = self._near(text)
            ranked: list[PassageKey] = sorted(near, key=near.__getitem__, reverse=True)
        else:
            ranked = self._ranked(text, top_k)
        return list(dict.fromkeys(self._passages[key].path for key in ranked))[:top_k]

    def within(self, text: str, characters: int, overhead: int) -> list[str]:
        """The files of the best passages that fit together, each with so much around it."""
        paths, left = [], characters
        for key in self._ranked(text, 100):
            left -= len(self._chunks[self._keys.index(key)].text) + overhead
            if left < 0:
                break
            paths.append(self._passages[key].path)
        return paths

    def _ranked(self, text: str, top_k: int) -> list[PassageKey]:
        question = analyze(text)
        hits = self._index.search(question.lexical_query(top_k))
        ranked = rank(question, hits, self._passages, top_k, self._near(text))
        return [(one.version_id, one.ordinal) for one in ranked]

    def _near(self, text: str) -> dict[PassageKey, float]:
        if self._embedder is None:
            return {}
        numpy: Any = import_module("numpy")
        if text not in self._questions:
            self._questions[text] = self._embedder.embed([text])[0]
        cosines = self._vectors @ self._questions[text]
        count = min(CANDIDATES, len(cosines))
        nearest = numpy.argpartition(-cosines, count - 1)[:count]
        return {self._keys[place]: float(cosines[place]) for place in nearest}

    def _documents(self, version_id: int, path: str, text: str) -> list[LexicalDocument]:
        parsed = parse_file(path, text)
        if parsed.kind not in self._kinds:
            return []
        documents = []
        for ordinal, (chunk, defines) in enumerate(zip(parsed.chunks, defines_of(parsed), strict=True)):
            key = (version_id, ordinal)
            self._passages[key] = Passage(path, parsed.language, parsed.kind, chunk.symbol, defines)
            self._lines[key] = (chunk.start_line, chunk.end_line)
            self._keys.append(key)
            self._chunks.append(chunk)
            documents.append(
                LexicalDocument(
                    version_id=version_id,
                    ordinal=ordinal,
                    path=path,
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


def semble_answers(
    peer_python: Path, root: Path, questions: Sequence[str], top_k: int, *, vectors: bool = False
) -> list[Answer]:
    """What semble answers to the same questions over the same folder; with ``vectors`` by our model in the place of its own."""
    script = Path(__file__).parent.parent / "semble_peer.py"
    model = [sys.executable, "-m", "bench.embedding_pipe"] if vectors else []
    task = json.dumps({"root": str(root), "questions": list(questions), "top_k": top_k, "model": model})
    done = subprocess.run(
        [peer_python, script], input=task, capture_output=True, text=True, check=True, timeout=900, cwd=REPOSITORY
    )
    answers: list[Answer] = [
        [(path, start, end) for path, start, end in answer] for answer in json.loads(done.stdout)["answers"]
    ]
    return answers

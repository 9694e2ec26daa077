"""Questions nobody tuned anything to: what a doc comment says of a definition, asked of its file without that comment.

The files are those of ``bench/corpus.toml``, in other languages and of other projects than the judged sets. Which of them
are taken is decided by the SHA-256 of their paths, so it is the same choice everywhere, and no one's.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bench.retrieval.sets import JudgedSet
from skep.knowledge.chunking import parse_file
from skep.knowledge.models import Symbol

FILES_PER_ENDING = 30
ENDINGS = frozenset({".py", ".js", ".ts", ".go", ".rs", ".cc", ".java", ".kt"})

_MAX_FILE_BYTES = 1 << 16
_WORDS = range(5, 31)
"""How long a description may be: a shorter one says nothing, a longer one is no question."""

_COMMENT_LINE = re.compile(r"\s*(?://|/\*|\*)")
_DOCSTRING = re.compile(r'[ \t]*[rR]?("""|\'\'\')(.*?)\1[ \t]*\n', re.DOTALL)
_SIGNATURE_END = re.compile(r":[ \t]*(?:#[^\n]*)?\n")
_SENTENCE = re.compile(r"(.+?)(?:[.:;](?:\s|$)|\n\s*\n|\n\s*@|$)", re.DOTALL)


def load_described(corpus: Path) -> JudgedSet:
    """One question for each file taken of a corpus that `bench.corpus` made."""
    files: dict[str, list[tuple[str, str]]] = defaultdict(list)
    questions = []
    for path in sorted(_sources(corpus), key=lambda path: hashlib.sha256(path.encode()).digest()):
        taken = files[PurePosixPath(path).suffix]
        if len(taken) == FILES_PER_ENDING:
            continue
        text = (corpus / path).read_text(encoding="utf-8", errors="replace")
        parsed = parse_file(path, text)
        found = next((one for symbol in parsed.symbols if (one := described(text, symbol, parsed.language))), None)
        if found is not None:
            taken.append((path, found[1]))
            questions.append((found[0], frozenset({path})))
    return JudgedSet("described", tuple(file for taken in files.values() for file in taken), tuple(questions))


def described(text: str, symbol: Symbol, language: str) -> tuple[str, str] | None:
    """The first sentence about a definition and the text without all that is said there; None when it says too little."""
    lines = text.splitlines(keepends=True)
    found = (_docstring if language == "python" else _comment_above)(lines, symbol.start_line - 1)
    if found is None:
        return None
    comment, rest = found
    # Its name, with which Go's comments begin, would make the question one by name.
    words = _first_sentence(comment).replace("`", "").split()
    words = [word for word in words if word.strip("(),") != symbol.name]
    return (" ".join(words), rest) if len(words) in _WORDS else None


def _sources(corpus: Path) -> Iterator[str]:
    for path in corpus.rglob("*"):
        if path.suffix in ENDINGS and path.is_file() and path.stat().st_size <= _MAX_FILE_BYTES:
            yield path.relative_to(corpus).as_posix()


def _comment_above(lines: list[str], at: int) -> tuple[str, str] | None:
    start = at
    while start and _COMMENT_LINE.match(lines[start - 1]):
        start -= 1
    if start == at:
        return None
    plain = "\n".join(line.strip().lstrip("/*!").removesuffix("*/").strip() for line in lines[start:at])
    return plain.strip(), "".join(lines[:start] + lines[at:])


def _docstring(lines: list[str], at: int) -> tuple[str, str] | None:
    rest = "".join(lines[at:])
    signature = _SIGNATURE_END.search(rest)
    found = _DOCSTRING.match(rest, signature.end()) if signature else None
    if found is None:
        return None
    return found[2].strip(), "".join(lines[:at]) + rest[: found.start()] + rest[found.end() :]


def _first_sentence(comment: str) -> str:
    found = _SENTENCE.match(comment)
    return " ".join(found[1].split()) if found else ""

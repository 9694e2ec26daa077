"""Judged questions besides those about repositories: functions of CoSQA, and Anthropic's passages of code and of documentation.

Each given text is a file of its own to us, which we may cut; an answer counts at the file, at the first of its passages.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

Search = Callable[[str, int], Sequence[str]]
"""Question and number -> files, each once, best first."""

_DEPTH = 100
"""How far a right answer is looked for; further down it would add less than 0.01 to a mean reciprocal rank."""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """Texts to index and questions with the files that answer them."""

    name: str
    files: tuple[tuple[str, str], ...]
    questions: tuple[tuple[str, frozenset[str]], ...]


def load_cosqa(folder: Path) -> JudgedSet:
    """6,267 Python functions, 500 questions people typed into a web search, one function each."""
    code = json.loads((folder / "code_idx_map.txt").read_text())
    questions = json.loads((folder / "cosqa-retrieval-dev-500.json").read_text())
    return JudgedSet(
        "cosqa",
        tuple((f"{number}.py", text) for text, number in code.items()),
        tuple((one["doc"], frozenset({f"{one['retrieval_idx']}.py"})) for one in questions),
    )


def load_code_chunks(folder: Path) -> JudgedSet:
    """737 passages of code without path or language, 248 questions with one or more right passages."""
    files = [
        (_chunk_path(source["original_uuid"], chunk["original_index"]), chunk["content"])
        for source in json.loads((folder / "codebase_chunks.json").read_text())
        for chunk in source["chunks"]
    ]
    questions = []
    for line in (folder / "evaluation_set.jsonl").read_text().splitlines():
        one = json.loads(line)
        questions.append((one["query"], frozenset(_chunk_path(*golden) for golden in one["golden_chunk_uuids"])))
    return JudgedSet("code chunks", tuple(files), tuple(questions))


def load_docs(folder: Path) -> JudgedSet:
    """232 sections of documentation with their headings, 100 questions with one or more right sections."""
    sections = json.loads((folder / "anthropic_docs.json").read_text())
    numbers = {section["chunk_link"]: number for number, section in enumerate(sections)}
    questions = []
    for one in json.loads((folder / "docs_evaluation_dataset.json").read_text()):
        links = one["correct_chunks"]
        links = ast.literal_eval(links) if isinstance(links, str) else links
        questions.append((one["question"], frozenset(f"{numbers[link]}.md" for link in links if link in numbers)))
    return JudgedSet(
        "docs",
        tuple((f"{number}.md", f"# {one['chunk_heading']}\n\n{one['text']}") for number, one in enumerate(sections)),
        tuple(questions),
    )


def _chunk_path(document: str, index: int) -> str:
    # Most of the set is Rust; the ending only chooses the parser that looks for definitions.
    return f"{document}_{index}/file.rs"


def reciprocal_rank(judged: JudgedSet, search: Search) -> float:
    """Mean over the questions of 1 by the place of the first right file."""
    ranks = []
    for question, golden in judged.questions:
        found = search(question, _DEPTH)
        ranks.append(next((1 / place for place, path in enumerate(found, 1) if path in golden), 0.0))
    return mean(ranks)


def recall_at(judged: JudgedSet, search: Search, k: int) -> float:
    """Mean over the questions of the share of right files among the first k."""
    shares = [len(golden & set(search(question, k))) / len(golden) for question, golden in judged.questions]
    return mean(shares)

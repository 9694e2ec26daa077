"""The counter-weight to file-level measures: how often the one right passage is among the first k, on given passages.

A rule that spreads results over files can raise NDCG counted at files and lose the right passage; here that shows.
The passages come without path or language, so rules about those do not act.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from skep.knowledge.chunking import parse_file
from skep.knowledge.lexical import LexicalDocument, LexicalIndex, LexicalWriter
from skep.knowledge.ranking import Passage, PassageKey, analyze, rank

PASS_AT = (5, 10, 20)
_FILE_NAME = "file.rs"
"""Most of the set is Rust; the name only chooses the parser that looks for definitions."""


@dataclass(frozen=True, slots=True)
class PassageSet:
    """Passages and the questions that each have one or more right ones."""

    documents: tuple[LexicalDocument, ...]
    questions: tuple[tuple[str, frozenset[PassageKey]], ...]


def load_passages(folder: Path) -> PassageSet:
    """Reads ``codebase_chunks.json`` and ``evaluation_set.jsonl``."""
    documents: list[LexicalDocument] = []
    keys: dict[tuple[str, int], PassageKey] = {}
    for version_id, source in enumerate(json.loads((folder / "codebase_chunks.json").read_text())):
        for ordinal, chunk in enumerate(source["chunks"]):
            keys[source["original_uuid"], chunk["original_index"]] = (version_id, ordinal)
            documents.append(
                LexicalDocument(
                    version_id=version_id,
                    ordinal=ordinal,
                    path=f"{version_id}/{_FILE_NAME}",
                    language="",
                    kind="code",
                    modified_at=0,
                    text=chunk["content"],
                    heading="",
                    defines=tuple(one.qualified_name for one in parse_file(_FILE_NAME, chunk["content"]).symbols),
                )
            )
    questions = []
    for line in (folder / "evaluation_set.jsonl").read_text().splitlines():
        question = json.loads(line)
        golden = frozenset(keys[uuid, index] for uuid, index in question["golden_chunk_uuids"])
        questions.append((question["query"], golden))
    return PassageSet(tuple(documents), tuple(questions))


def report_passages(passages: PassageSet) -> dict[str, dict[str, float]]:
    """Print and return pass@k in percent, for BM25 alone and with the ranking rules."""
    described: dict[PassageKey, Passage] = {
        (one.version_id, one.ordinal): Passage(one.path, one.language, one.kind, "", one.defines)
        for one in passages.documents
    }
    totals = {"bm25": dict.fromkeys(PASS_AT, 0.0), "ranked": dict.fromkeys(PASS_AT, 0.0)}
    with TemporaryDirectory(prefix="skep-bench-") as folder:
        with LexicalWriter(Path(folder)) as writer:
            writer.add(passages.documents)
            writer.commit(seq=1)
        index = LexicalIndex(Path(folder))
        index.open()
        for text, golden in passages.questions:
            question = analyze(text)
            for k in PASS_AT:
                hits = index.search(question.lexical_query(k))
                found = {
                    "bm25": {(hit.version_id, hit.ordinal) for hit in hits.passages[:k]},
                    "ranked": {(one.version_id, one.ordinal) for one in rank(question, hits, described, k)},
                }
                for name, keys in found.items():
                    totals[name][k] += 100 * len(golden & keys) / len(golden) / len(passages.questions)
        index.close()
    for name, values in totals.items():
        print(f"passages, {name}: " + "  ".join(f"pass@{k} {value:.1f}" for k, value in values.items()))
    return {name: {f"pass_at_{k}": value for k, value in values.items()} for name, values in totals.items()}

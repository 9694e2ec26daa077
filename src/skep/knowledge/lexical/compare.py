"""Is the index what it should be? Compares it with one built anew from the documents it should contain."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from skep.knowledge.lexical.index import LexicalIndex
from skep.knowledge.lexical.models import Difference, LexicalDocument
from skep.knowledge.lexical.schema import TERM_FIELDS, fingerprint
from skep.knowledge.lexical.tokens import join_terms_of
from skep.knowledge.lexical.writer import LexicalWriter

_PRINTABLE_ASCII = frozenset(map(chr, range(33, 127)))
_DIFFERENCES_REPORTED = 100

_Key = tuple[int, int]


class _Expectation:
    """Passes the expected documents on to the scratch index and notes on the way what the index has otherwise."""

    def __init__(self, found: dict[_Key, int]) -> None:
        self.found = found
        """What no expected document has claimed yet."""
        self.differences: list[Difference] = []
        self.starts = set(_PRINTABLE_ASCII)
        """Every character that a term of an expected document may start with."""

    def watch(self, documents: Iterable[LexicalDocument]) -> Iterator[LexicalDocument]:
        for document in documents:
            self._check(document)
            yield document

    def _check(self, document: LexicalDocument) -> None:
        key = (document.version_id, document.ordinal)
        wanted, has = fingerprint(document), self.found.pop(key, None)
        if has is None:
            self.differences.append(Difference("missing", _name(key), expected="a passage", found="nothing"))
        elif has != wanted:
            self.differences.append(
                Difference("different", _name(key), expected=f"content {wanted:x}", found=f"content {has:x}")
            )
        texts = (document.text, document.heading, document.path, document.symbol, *document.defines)
        if not all(map(str.isascii, texts)):
            self.starts.update(join_terms_of(texts), *(name.casefold() for name in document.defines))


def compare(
    index: LexicalIndex, expected: Iterable[LexicalDocument], scratch: Path, *, limit: int = _DIFFERENCES_REPORTED
) -> list[Difference]:
    """The differences between an open index and the documents it should have, the first ``limit``; empty when equal.

    Every passage is compared by its fingerprint, then every term of every field by the number of passages that have it,
    against an index built from ``expected`` in the empty folder ``scratch``. The documents are read once, each version's
    together, and not kept. Memory: some 200 bytes for each passage, and for each term that starts with the same letter.
    """
    expectation = _Expectation({(one.version_id, one.ordinal): one.fingerprint for one in index.passages()})
    with LexicalWriter(scratch) as writer:
        writer.add(expectation.watch(expected))
        writer.commit(seq=index.applied_seq)
    differences = expectation.differences[:limit]
    for key in sorted(expectation.found)[: limit - len(differences)]:
        differences.append(Difference("extra", _name(key), expected="nothing", found="a passage"))
    rebuilt = LexicalIndex(scratch)
    rebuilt.open()
    for difference in _term_differences(index, rebuilt, expectation.starts):
        if len(differences) >= limit:
            break
        differences.append(difference)
    rebuilt.close()
    return differences


def _name(key: _Key) -> str:
    version_id, ordinal = key
    return f"version {version_id} passage {ordinal}"


def _term_differences(index: LexicalIndex, rebuilt: LexicalIndex, starts: set[str]) -> Iterator[Difference]:
    for field, start in itertools.product(TERM_FIELDS, sorted(starts)):
        found, wanted = index.term_counts(field, start), rebuilt.term_counts(field, start)
        counts = ((term, wanted.get(term, 0), found.get(term, 0)) for term in sorted(found.keys() | wanted.keys()))
        for term, should, has in counts if found != wanted else ():
            if should != has:
                yield Difference("term", f"{field}:{term}", f"{should} passages", f"{has} passages")

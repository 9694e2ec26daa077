"""Reading a lexical index: searching it, and looking at all that is in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import tantivy

from skep.knowledge.lexical.filters import filter_clauses
from skep.knowledge.lexical.folder import (
    commit_stamp,
    committed_state,
    damage_border,
    open_generation,
    pointer_stamp,
    read_pointer,
)
from skep.knowledge.lexical.interfaces import LexicalDamagedError
from skep.knowledge.lexical.models import Hit, LexicalHits, LexicalQuery
from skep.knowledge.lexical.schema import (
    BODY,
    DEFINES,
    FINGERPRINT,
    MARKER,
    NAMES,
    ORDINAL,
    PATH_WORDS,
    STATE_MARK,
    VERSION,
    CommittedState,
    definition_term,
    schema,
)

FIELD_WEIGHTS = {BODY: 1.5, NAMES: 1.0, PATH_WORDS: 1.0}
"""How much a term in each field counts. A plateau on the development questions: the text at 1.0 or 2.0, or the names at
0.75, changed NDCG@10 by less than 0.005; the text at 0.5 or the path at 2.0 cost 0.01."""

MAX_TERMS = 48
"""Of more terms only the rarest are searched: the common ones cost time and change nothing in a long question."""

_MAX_TERMS_CONSIDERED = 1_000
_DEFINITIONS_PER_NAME = 50
_PAGE = 10_000
_REOPEN_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """One generation as of one commit; searching it never sees a later change."""

    path: Path
    index: tantivy.Index
    searcher: tantivy.Searcher
    state: CommittedState
    pointer_stamp: tuple[int, int]
    commit_stamp: tuple[int, int]


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """A passage as the index has it."""

    version_id: int
    ordinal: int
    fingerprint: int


class LexicalIndex:
    """A reader of one index folder. Any number of readers and threads may read while one process writes.

    :meth:`open` first; :meth:`refresh` before an answer that must know the latest commit.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._refreshing = threading.Lock()
        self._snapshot: _Snapshot | None = None

    def open(self) -> None:
        """Raises :class:`LexicalMissingError`, :class:`LexicalOutdatedError` or :class:`LexicalDamagedError`."""
        self.refresh()

    def refresh(self) -> int:
        """See the latest commit, also when the index was rebuilt meanwhile. Costs two ``stat`` when nothing changed.

        Returns the applied seq. Raises like :meth:`open`; what was seen before stays searchable then.
        """
        with self._refreshing:
            seen = self._snapshot
            if seen is None or seen.pointer_stamp != pointer_stamp(self._folder):
                seen = self._snapshot = self._open_current()
            elif seen.commit_stamp != commit_stamp(seen.path):
                seen = self._snapshot = self._reload(seen)
            return seen.state.seq

    def close(self) -> None:
        """Let go of the files. The index may be opened again."""
        self._snapshot = None

    @property
    def is_open(self) -> bool:
        """Whether there is something to search."""
        return self._snapshot is not None

    @property
    def applied_seq(self) -> int:
        """The last change of the log that this reader sees."""
        return self._opened().state.seq

    @property
    def document_count(self) -> int:
        """Passages that can be found."""
        searcher: tantivy.Searcher = self._opened().searcher
        return int(searcher.num_docs) - 1

    @property
    def deleted_share(self) -> float:
        """Of the passages ever added since the last rebuild, how many are gone: 0.0 to 1.0.

        Deleted passages stay in the statistics that scores are made of until their segment is merged.
        """
        added = self._opened().state.added
        return 1.0 - self.document_count / added if added else 0.0

    def search(self, query: LexicalQuery) -> LexicalHits:
        """The passages for the terms, best first, and those that define the names; only such as pass the filters.

        Raises :class:`PathGlobError` and :class:`LexicalDamagedError`.
        """
        snapshot = self._opened()
        clauses = filter_clauses(query.filters)
        with damage_border(self._folder):
            terms = _rarest(snapshot.searcher, dict(query.terms))
            wanted = tantivy.Query.boolean_query(
                [
                    (tantivy.Occur.Should, _weighed(field, term, weight * field_weight))
                    for term, weight in terms.items()
                    for field, field_weight in FIELD_WEIGHTS.items()
                ]
            )
            passages = _hits(snapshot.searcher, wanted, clauses, query.limit) if terms else ()
            definitions: list[Hit] = []
            for name in query.names:
                term = tantivy.Query.term_query(schema(), DEFINES, definition_term(name), "freq")
                definitions += _hits(snapshot.searcher, term, clauses, _DEFINITIONS_PER_NAME, scored=False)
        return LexicalHits(passages=passages, definitions=tuple(dict.fromkeys(definitions)))

    def passages(self) -> Iterator[IndexedPassage]:
        """Everything that can be found, in no particular order, in pages."""
        snapshot = self._opened()
        with damage_border(self._folder):
            marker = tantivy.Query.term_query(schema(), MARKER, STATE_MARK, "basic")
            everything = tantivy.Query.boolean_query(
                [(tantivy.Occur.Must, tantivy.Query.all_query()), (tantivy.Occur.MustNot, marker)]
            )
            for offset in range(0, int(snapshot.searcher.num_docs), _PAGE):
                hits = snapshot.searcher.search(everything, _PAGE, count=False, offset=offset).hits
                addresses = [address for _, address in hits]
                columns = [
                    cast("list[int]", snapshot.searcher.fast_field_values(name, addresses))
                    for name in (VERSION, ORDINAL, FINGERPRINT)
                ]
                for version_id, ordinal, fingerprint in zip(*columns, strict=True):
                    yield IndexedPassage(version_id, ordinal, fingerprint)

    def term_counts(self, field: str, prefix: str) -> dict[str, int]:
        """Terms of a field that start with ``prefix`` -> how many findable passages have them."""
        searcher = self._opened().searcher
        with damage_border(self._folder):
            # Without a filter the passages that were deleted but not merged away would count.
            return dict(searcher.terms_with_prefix(field, prefix, filter_query=tantivy.Query.all_query()))

    def _opened(self) -> _Snapshot:
        if self._snapshot is None:
            raise RuntimeError("LexicalIndex is used before open()")
        return self._snapshot

    def _open_current(self) -> _Snapshot:
        for attempt in range(_REOPEN_ATTEMPTS):
            stamp = pointer_stamp(self._folder)
            pointer = read_pointer(self._folder)
            path = self._folder / pointer.generation
            try:
                commit = commit_stamp(path)
                index = open_generation(self._folder, pointer.generation)
                with damage_border(self._folder):
                    searcher = index.searcher()
                state = committed_state(self._folder, searcher)
            except LexicalDamagedError:
                # A rebuild may have removed this generation between our reading the pointer and opening the files.
                if attempt + 1 < _REOPEN_ATTEMPTS and stamp != pointer_stamp(self._folder):
                    continue
                raise
            return _Snapshot(path, index, searcher, state, stamp, commit)
        raise LexicalDamagedError(folder=self._folder, reason="it is replaced faster than it can be opened")

    def _reload(self, seen: _Snapshot) -> _Snapshot:
        # The stamp is taken first: a commit in between makes us reload once more, never miss one.
        commit = commit_stamp(seen.path)
        try:
            with damage_border(self._folder):
                seen.index.reload()
                searcher = seen.index.searcher()
            state = committed_state(self._folder, searcher)
        except LexicalDamagedError:
            if seen.pointer_stamp != pointer_stamp(self._folder):
                return self._open_current()
            raise
        return _Snapshot(seen.path, seen.index, searcher, state, seen.pointer_stamp, commit)


def _weighed(field: str, term: str, weight: float) -> tantivy.Query:
    query = tantivy.Query.term_query(schema(), field, term, "freq")
    return query if weight == 1.0 else tantivy.Query.boost_query(query, weight)


def _rarest(searcher: tantivy.Searcher, terms: dict[str, float]) -> dict[str, float]:
    if len(terms) <= MAX_TERMS:
        return terms
    considered = list(terms)[:_MAX_TERMS_CONSIDERED]
    frequencies = {term: int(searcher.doc_freq(BODY, term)) for term in considered}
    # A term that no text has finds nothing; it must not take the place of one that does.
    known = [term for term in considered if frequencies[term]]
    return {term: terms[term] for term in sorted(known, key=frequencies.__getitem__)[:MAX_TERMS]}


def _hits(
    searcher: tantivy.Searcher,
    wanted: tantivy.Query,
    clauses: list[tuple[tantivy.Occur, tantivy.Query]],
    limit: int,
    *,
    scored: bool = True,
) -> tuple[Hit, ...]:
    query = tantivy.Query.boolean_query([(tantivy.Occur.Must, wanted), *clauses]) if clauses else wanted
    found = searcher.search(query, limit, count=False).hits
    addresses = [address for _, address in found]
    versions = cast("list[int]", searcher.fast_field_values(VERSION, addresses))
    ordinals = cast("list[int]", searcher.fast_field_values(ORDINAL, addresses))
    scores = [score for score, _ in found] if scored else [0.0] * len(found)
    return tuple(map(Hit._make, zip(versions, ordinals, scores, strict=True)))

"""The layout of the index: its fields, and how a passage becomes an index document."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import PurePosixPath

import tantivy

from skep.knowledge.lexical.models import LexicalDocument
from skep.knowledge.lexical.tokens import TOKENS_VERSION, join_terms, join_terms_of

LAYOUT_VERSION = 1
"""Raise it whenever a field, or what is put into one, changes."""

BODY = "body"
"""The text of the passage."""
NAMES = "names"
"""What the passage is called: the symbols that start in it, else the one around it; the headings above it. Naming the
middle of a long function after it raised NDCG@10 of architecture questions from 0.832 to 0.854."""
PATH_WORDS = "path_words"
"""The file's name twice and its last three folders, as in semble 0.7.0."""
DEFINES = "defines"
"""Symbols that start here, in lower case: ``session.get`` as itself and as ``get``."""
TERM_FIELDS = (BODY, NAMES, PATH_WORDS, DEFINES)
"""Fields of terms, which ``compare`` checks."""

PATH, LANGUAGE, KIND, MODIFIED_AT = "path", "language", "kind", "modified_at"
VERSION, ORDINAL, FINGERPRINT = "version_id", "ordinal", "fingerprint"
MARKER, STATE = "marker", "state"
STATE_MARK = "state"

_FOLDERS_INDEXED = 3
_NAMES_REMEMBERED = 16_384
_TOKENIZER = "spaces"


@cache
def format_name() -> str:
    """What this code reads and writes. Another name on disk means: build it anew."""
    # Not from importlib.metadata, whose import costs every command 10 ms; the type stubs leave the name out.
    library = vars(tantivy)["__version__"]
    return f"layout {LAYOUT_VERSION}, tokens {TOKENS_VERSION}, {library}"


@dataclass(frozen=True, slots=True)
class CommittedState:
    """Kept in one document of its own, committed with the postings it speaks of."""

    seq: int = 0
    """The last change of the log that the index contains."""
    added: int = 0
    """Passages ever added to this generation; what of them is no longer alive was deleted."""

    def to_json(self) -> str:
        """What :meth:`from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CommittedState:
        """Raises ``ValueError``, ``KeyError`` or ``TypeError`` when the text is not what :meth:`to_json` wrote."""
        values = json.loads(text)
        return cls(seq=int(values["seq"]), added=int(values["added"]))


@cache
def schema() -> tantivy.Schema:
    """The fields of every index this code makes."""
    builder = tantivy.SchemaBuilder()
    for name in TERM_FIELDS:
        builder.add_text_field(name, tokenizer_name=_TOKENIZER, index_option="freq")
    for name in (PATH, LANGUAGE, KIND, MARKER):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    # Signed on purpose: the binding turns a Python int into a signed term, which in an unsigned field matches nothing,
    # so that deletions by term would silently do nothing.
    builder.add_integer_field(VERSION, indexed=True, fast=True)
    builder.add_integer_field(ORDINAL, fast=True)
    builder.add_integer_field(FINGERPRINT, fast=True)
    builder.add_integer_field(MODIFIED_AT, indexed=True, fast=True)
    builder.add_text_field(STATE, stored=True, tokenizer_name="raw", index_option="basic")
    return builder.build()


def prepare(index: tantivy.Index) -> tantivy.Index:
    """Teach a freshly opened index our tokenizer, and to reload only when told (the default polls from a thread)."""
    index.register_tokenizer(_TOKENIZER, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
    index.config_reader("manual", 0)
    return index


def safe_path(path: str) -> str:
    """A path the index can hold: bytes that are not UTF-8 (lone surrogates in Python) become visible escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


@lru_cache(maxsize=1_024)
def _path_words(path: str) -> str:
    pure = PurePosixPath(path)
    return join_terms_of((pure.stem, pure.stem, *pure.parts[:-1][-_FOLDERS_INDEXED:]))


def last_name(qualified_name: str) -> str:
    """``get`` of ``Session.get``."""
    return qualified_name.rpartition(".")[2]


@lru_cache(maxsize=_NAMES_REMEMBERED)
@lru_cache(maxsize=50_000)
def definition_term(name: str) -> str:
    """The term under which a symbol's definition is found: any case, any of the usual separators."""
    for separator in ("::", "->", "\\", "#"):
        name = name.replace(separator, ".")
    return "".join(name.split()).casefold().strip(".")


def _definition_terms(qualified_name: str) -> list[str]:
    """``a.Session.get`` is found as ``get``, ``session.get`` and ``a.session.get``."""
    parts = definition_term(qualified_name).split(".")
    return [".".join(parts[at:]) for at in range(len(parts))]


def fingerprint(document: LexicalDocument) -> int:
    """A signed 64-bit hash of everything in the document but its key, to tell whether the index has exactly this."""
    fields = (
        document.path,
        document.language,
        document.kind,
        document.modified_at,
        document.text,
        document.heading,
        document.defines,
        document.symbol,
    )
    content = repr(fields).encode("utf-8", "backslashreplace")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)


def index_document(document: LexicalDocument) -> tantivy.Document:
    """The passage as the index takes it."""
    made = tantivy.Document()
    made.add_text(BODY, join_terms(document.text))
    called = tuple(map(last_name, document.defines)) or (document.symbol,)
    names = join_terms_of((document.heading, *called))
    if names:
        made.add_text(NAMES, names)
    made.add_text(PATH_WORDS, _path_words(document.path))
    if document.defines:
        made.add_text(DEFINES, " ".join(term for name in document.defines for term in _definition_terms(name)))
    made.add_text(PATH, safe_path(document.path))
    made.add_text(LANGUAGE, document.language)
    made.add_text(KIND, document.kind)
    made.add_integer(MODIFIED_AT, document.modified_at)
    made.add_integer(VERSION, document.version_id)
    made.add_integer(ORDINAL, document.ordinal)
    made.add_integer(FINGERPRINT, fingerprint(document))
    return made


def state_document(state: CommittedState) -> tantivy.Document:
    """The state as the index takes it, found by its marker."""
    made = tantivy.Document()
    made.add_text(MARKER, STATE_MARK)
    made.add_text(STATE, state.to_json())
    return made

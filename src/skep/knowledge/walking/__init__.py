"""Walking a folder and reading its files: what is worth indexing, safely, and a report of the rest."""

from __future__ import annotations

from skep.knowledge.walking.defaults import MARKERS
from skep.knowledge.walking.interfaces import (
    DocumentPathError,
    PathOutsideRootError,
    RootIsFileError,
    RootMissingError,
    RootUnreadableError,
)
from skep.knowledge.walking.models import (
    DEFAULT_MAX_FILE_BYTES,
    FileStat,
    ReadFile,
    Skipped,
    SkipReason,
    WalkEntry,
    WalkOptions,
    WalkReport,
)
from skep.knowledge.walking.paths import decode_path, encode_path
from skep.knowledge.walking.reading import read_file
from skep.knowledge.walking.texts import Decoded, decode, decode_text
from skep.knowledge.walking.walker import walk

__all__ = [
    "DEFAULT_MAX_FILE_BYTES",
    "MARKERS",
    "Decoded",
    "DocumentPathError",
    "FileStat",
    "PathOutsideRootError",
    "ReadFile",
    "RootIsFileError",
    "RootMissingError",
    "RootUnreadableError",
    "SkipReason",
    "Skipped",
    "WalkEntry",
    "WalkOptions",
    "WalkReport",
    "decode",
    "decode_path",
    "decode_text",
    "encode_path",
    "read_file",
    "walk",
]

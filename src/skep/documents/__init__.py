"""Documents: what files say, whatever their format, read where strangers' files can do no harm."""

from __future__ import annotations

from skep.documents.formats import FORMATS, Format
from skep.documents.interfaces import (
    DocumentError,
    DocumentFileError,
    FileDamagedError,
    FileEmptyError,
    FileLockedError,
    FileTooHungryError,
    FileTooLargeError,
    FileTooSlowError,
    FileUnfoldsError,
    FormatOldError,
    FormatUnknownError,
    ReaderCrashedError,
    ReaderStartError,
    SandboxMissingError,
)
from skep.documents.models import Attachment, Block, Document, Limits
from skep.documents.service import Documents, SandboxState

__all__ = [
    "FORMATS",
    "Attachment",
    "Block",
    "Document",
    "DocumentError",
    "DocumentFileError",
    "Documents",
    "FileDamagedError",
    "FileEmptyError",
    "FileLockedError",
    "FileTooHungryError",
    "FileTooLargeError",
    "FileTooSlowError",
    "FileUnfoldsError",
    "Format",
    "FormatOldError",
    "FormatUnknownError",
    "Limits",
    "ReaderCrashedError",
    "ReaderStartError",
    "SandboxMissingError",
    "SandboxState",
]

"""What can be wrong with a file, and with what reads it.

    SkepError
    └── DocumentError                    the file cannot be read
        ├── FileEmptyError
        ├── FileTooLargeError
        ├── FormatUnknownError
        ├── FormatOldError
        ├── FileLockedError              a password, or rights management
        ├── FileDamagedError             malformed, or cut off
        ├── FileUnfoldsError             a bomb, or honest and still too much
        ├── FileTooSlowError
        ├── FileTooHungryError
        └── ReaderCrashedError
    RefusedError
    └── SandboxMissingError
    UsageError
    └── DocumentFileError
    UnavailableError
    └── ReaderStartError

Files are read in other processes; an error travels from there as the name of its class and its fields (`error_named`).
"""

from __future__ import annotations

from skep.errors import RefusedError, SkepError, UnavailableError, UsageError


class DocumentError(SkepError):
    """The file cannot be read: {reason}."""

    http_status = 422


class FileEmptyError(DocumentError):
    """The file is empty."""

    fix = "Look at the file where it came from; it may not have been written or sent whole."


class FileTooLargeError(DocumentError):
    """The file has {size_bytes} bytes; files of up to {limit_bytes} are read."""

    fix = "Split it, or raise documents.max_file_bytes."
    http_status = 413


class FormatUnknownError(DocumentError):
    """The file is in no format that can be read: {reason}."""

    fix = "Save it as PDF, DOCX, PPTX, XLSX, HTML, EPUB, Markdown or text."


class FormatOldError(DocumentError):
    """The file is in an old format: {reason}."""

    fix = "Open it in the program that made it, and save it as DOCX, PPTX, XLSX or PDF."


class FileLockedError(DocumentError):
    """The file is locked: {reason}."""

    fix = "Save a copy without the lock in the program that opens it, and give that one."


class FileDamagedError(DocumentError):
    """The file is damaged: {reason}."""

    fix = "Fetch it anew from where it came from, or open it in the program that made it and save it again."


class FileUnfoldsError(DocumentError):
    """The file unfolds to more than is read: {reason}."""

    fix = "If it is honest, split it into smaller files; if you do not know where it comes from, do not open it."


class FileTooSlowError(DocumentError):
    """Reading the file took longer than {limit_seconds} s."""

    fix = "Split it, or raise documents.file_seconds."


class FileTooHungryError(DocumentError):
    """Reading the file takes more than {limit_bytes} bytes of memory."""

    fix = "Split it, or raise documents.file_memory_bytes."


class ReaderCrashedError(DocumentError):
    """The process that read the file ended with {cause}."""

    fix = "The file is most likely malformed: open it in the program that made it and save it again."


class SandboxMissingError(RefusedError):
    """This file is {format}, which is read in a sandbox only, and there is none: {reason}."""

    fix = (
        "Install bubblewrap (`apt-get install bubblewrap`) and try `skep doctor`; or, if every file comes from people you trust, set "
        "documents.allow_unsandboxed to true. Without it text, Markdown, RST, CSV, JSON and notebooks are read."
    )


class DocumentFileError(UsageError):
    """The file {path} cannot be opened: {reason}."""

    fix = "Name a file that exists and that this user may read."


class ReaderStartError(UnavailableError):
    """The process that reads files did not start: {reason}."""

    fix = "Try `skep doctor`; the machine may be out of memory or of processes."


_TRAVELLING: dict[str, type[SkepError]] = {
    cls.__name__: cls for cls in (*DocumentError.__subclasses__(), SandboxMissingError)
}


def error_named(name: str, fields: dict[str, str | int]) -> SkepError:
    """The error that another process met. A name that none of ours has is a crash."""
    cls = _TRAVELLING.get(name)
    return cls(**fields) if cls is not None else ReaderCrashedError(cause="an error without a name")

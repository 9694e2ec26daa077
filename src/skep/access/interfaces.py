"""Errors of access.

UnavailableError
├── KeyFileUnreadableError   the file with the key is there but cannot be read
└── KeyFileUnwritableError   the first key cannot be written down
RefusedError
├── KeyMissingError       no key was sent (401)
├── KeyInvalidError       the key is malformed, unknown or revoked (401)
├── RoleTooLowError       the key may not do this
└── KeyFileUnsafeError    the file with the key can be read by others
"""

from __future__ import annotations

from skep.errors import RefusedError, UnavailableError


class KeyMissingError(RefusedError):
    """This needs a key, and none was sent."""

    http_status = 401
    fix = "Send it as `Authorization: Bearer <key>`; the first one stands in {path}."


class KeyInvalidError(RefusedError):
    """The key is not valid here: {reason}"""

    http_status = 401
    fix = "Set SKEP_KEY to a key of this database, or copy its admin.key into the data folder."


class RoleTooLowError(RefusedError):
    """The key {key_name} has the role {role}; this needs {needed}."""

    fix = "Use a key with the role {needed}."


class KeyFileUnsafeError(RefusedError):
    """The key file {path} can be read by other accounts (mode {mode})."""

    fix = "Run: chmod 600 {path}"


class KeyFileUnreadableError(UnavailableError):
    """The key file {path} cannot be read: {reason}"""

    fix = "Give yourself the right to read it, or set SKEP_KEY to a key of this database."


class KeyFileUnwritableError(UnavailableError):
    """The first key cannot be written to {path}: {reason}"""

    fix = "Free space or mend the rights of that folder, then run it again; no key was made."

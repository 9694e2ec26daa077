"""Who may do what: projects, keys, roles."""

from __future__ import annotations

from skep.access.interfaces import (
    KeyFileUnreadableError,
    KeyFileUnsafeError,
    KeyFileUnwritableError,
    KeyInvalidError,
    KeyMissingError,
    RoleTooLowError,
)
from skep.access.models import Principal, Role
from skep.access.service import DEFAULT_PROJECT, STALE_SECONDS, Access, read_key_file, require_role

__all__ = [
    "DEFAULT_PROJECT",
    "STALE_SECONDS",
    "Access",
    "KeyFileUnreadableError",
    "KeyFileUnsafeError",
    "KeyFileUnwritableError",
    "KeyInvalidError",
    "KeyMissingError",
    "Principal",
    "Role",
    "RoleTooLowError",
    "read_key_file",
    "require_role",
]

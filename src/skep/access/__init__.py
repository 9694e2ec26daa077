"""Who may do what: projects, keys, roles."""

from __future__ import annotations

from skep.access.allowing import allows_model, may_call
from skep.access.interfaces import (
    AddressNotAllowedError,
    FaceNotAllowedError,
    KeyExistsError,
    KeyFileUnreadableError,
    KeyFileUnsafeError,
    KeyFileUnwritableError,
    KeyInvalidError,
    KeyMissingError,
    KeyNotFoundError,
    KeyUnusableError,
    KeyWishInvalidError,
    LastAdminKeyError,
    ModelNotAllowedError,
    OverlapInvalidError,
    ProjectExistsError,
    ProjectNameError,
    ProjectNotFoundError,
    ProjectsForeignError,
    RoleTooLowError,
)
from skep.access.issuing import DEFAULT_OVERLAP_HOURS, Keys, Projects
from skep.access.models import Key, KeyWish, NewKey, Principal, Project, Role
from skep.access.service import DEFAULT_PROJECT, STALE_SECONDS, Access, read_key_file, require_role

__all__ = [
    "DEFAULT_OVERLAP_HOURS",
    "DEFAULT_PROJECT",
    "STALE_SECONDS",
    "Access",
    "AddressNotAllowedError",
    "FaceNotAllowedError",
    "Key",
    "KeyExistsError",
    "KeyFileUnreadableError",
    "KeyFileUnsafeError",
    "KeyFileUnwritableError",
    "KeyInvalidError",
    "KeyMissingError",
    "KeyNotFoundError",
    "KeyUnusableError",
    "KeyWish",
    "KeyWishInvalidError",
    "Keys",
    "LastAdminKeyError",
    "ModelNotAllowedError",
    "NewKey",
    "OverlapInvalidError",
    "Principal",
    "Project",
    "ProjectExistsError",
    "ProjectNameError",
    "ProjectNotFoundError",
    "Projects",
    "ProjectsForeignError",
    "Role",
    "RoleTooLowError",
    "allows_model",
    "may_call",
    "read_key_file",
    "require_role",
]

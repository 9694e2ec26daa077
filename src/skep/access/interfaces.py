"""Errors of access.

UsageError
├── KeyWishInvalidError      what was said about a new key does not fit
├── OverlapInvalidError      both secrets of a key cannot be good for so long
└── ProjectNameError         not a name
NotFoundError
├── KeyNotFoundError         no such key in this project
└── ProjectNotFoundError     no such project
ConflictError
├── KeyExistsError           the project has a key of this name
├── KeyUnusableError         it was revoked or has expired: it cannot be rotated
├── LastAdminKeyError        without it nobody could administer the project
└── ProjectExistsError       there is a project of this name
UnavailableError
├── KeyFileUnreadableError   the file with the key is there but cannot be read
└── KeyFileUnwritableError   the key cannot be written down in the file for it
RefusedError
├── KeyMissingError          no key was sent (401)
├── KeyInvalidError          the key is malformed, unknown, revoked or expired (401)
├── RoleTooLowError          the key may not do this
├── ModelNotAllowedError     the key is for other models
├── FaceNotAllowedError      the key is for other faces
├── AddressNotAllowedError   the key is for other addresses
├── ProjectsForeignError     only the first project's administrators make and change projects
└── KeyFileUnsafeError       the file with the key can be read by others
"""

from __future__ import annotations

from skep.errors import ConflictError, NotFoundError, RefusedError, UnavailableError, UsageError


class KeyMissingError(RefusedError):
    """This needs a key, and none was sent."""

    http_status = 401
    fix = (
        "Send it as `Authorization: Bearer <key>`; the first one stands in {path}, of the machine that made the tables."
    )


class KeyInvalidError(RefusedError):
    """The key is not valid here: {reason}"""

    http_status = 401
    fix = (
        "Use a key of this database, which `skep key create` makes: over HTTP as `Authorization: Bearer <key>`, `x-api-key: <key>`"
        " or, from Google's clients, `x-goog-api-key: <key>`; for commands in SKEP_KEY or as admin.key in the data folder."
    )


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
    """The key cannot be written to {path}: {reason}"""

    fix = "Free space or mend the rights of that folder, then run it again; nothing was changed."


class KeyWishInvalidError(UsageError):
    """This key cannot be made: {reason}"""

    fix = "See `skep key create --help`."


class OverlapInvalidError(UsageError):
    """The old and the new secret can both be good for 0 to {most_hours} hours, not for {hours}."""

    fix = "Name a shorter time; 0 ends the old secret at once."


class ProjectNameError(UsageError):
    """A project cannot be called {name}: it needs {rule}."""

    fix = "Choose such a name."


class KeyNotFoundError(NotFoundError):
    """This project has no key {name}."""

    fix = "See `skep key list`; with --all it shows revoked ones too."


class ProjectNotFoundError(NotFoundError):
    """There is no project {name}."""

    fix = "See `skep project list`."


class KeyExistsError(ConflictError):
    """This project has a key named {name} already."""

    fix = "Choose another name, revoke that key first, or give it a new secret: skep key rotate {name}"


class KeyUnusableError(ConflictError):
    """The key {name} is {state}, so it gets no new secret."""

    fix = "Make another: skep key create --name NAME"


class LastAdminKeyError(ConflictError):
    """The key {name} is the last one with which this project can be administered."""

    fix = "Make another first, with: skep key create --name NAME --role admin"


class ProjectExistsError(ConflictError):
    """There is a project named {name} already."""

    fix = "Choose another name."


class ModelNotAllowedError(RefusedError):
    """The key {key_name} may not ask for the model {model}; its list of models has: {allowed}."""

    fix = "Ask for one of them, or let an administrator make a key with --models {model}."


class FaceNotAllowedError(RefusedError):
    """The key {key_name} may not use {face}; its list of faces has: {allowed}."""

    fix = "Use one of them, or let an administrator make a key with --faces {face}."


class AddressNotAllowedError(RefusedError):
    """The key {key_name} may not be used from {address}, which is not in its list of addresses."""

    fix = "Use it from where it belongs, or let an administrator make a key with --addresses {address}."


class ProjectsForeignError(RefusedError):
    """Projects are made and changed with an administrator's key of the project {home}; this one is of {project_name}."""

    fix = "Set SKEP_KEY to an administrator's key of the project {home}."

"""What can be wrong with the list of languages.

ConflictError
└── DuplicateLanguageError      two rows of the registry claim the same thing
"""

from __future__ import annotations

from skep.errors import ConflictError


class DuplicateLanguageError(ConflictError):
    """The languages {first} and {second} both claim the {what} {claim}."""

    fix = "Leave the {what} {claim} to one of them in skep/knowledge/chunking/languages."

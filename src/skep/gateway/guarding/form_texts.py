"""Changes the texts of a form, and leaves every other byte as it came. Pure."""

from __future__ import annotations

from skep.gateway.forms import Form, with_values
from skep.gateway.guarding.json_texts import Change, Place

_NOT_TEXTS = frozenset(
    {"model", "size", "quality", "response_format", "output_format", "voice", "stream", "n", "language"}
)
"""What the format itself chooses the words of."""


def changed_form(body: bytes, form: Form, change: Change) -> bytes:
    """The form with its texts changed; the same bytes where nothing changes. What ``change`` raises passes."""
    changes = {}
    for part in form.parts:
        text = None if part.name in _NOT_TEXTS else form.text(body, part)
        if text:
            new = change(text, Place(part.name, part.name))
            if new != text:
                changes[part.span] = new.encode()
    return with_values(body, changes) if changes else body

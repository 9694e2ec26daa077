"""E-mail: who wrote what to whom; attachments are named."""

from __future__ import annotations

import email
import email.errors
import email.policy
from email.message import EmailMessage
from typing import cast

from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError
from skep.documents.models import Attachment, Document
from skep.documents.readers import html
from skep.documents.readers.text import paragraphs
from skep.documents.texts import clean, one_line

_HEADERS = {"From": "from", "To": "to", "Cc": "cc", "Date": "date", "Reply-To": "reply_to"}
_MAX_PARTS = 1000


def read(source: Source) -> Document:
    """Raises FileDamagedError when it is cut off."""
    message = email.message_from_bytes(source.data, policy=email.policy.default)
    draft = Draft("email")
    draft.title = _header(message, "Subject")
    for header, name in _HEADERS.items():
        draft.describe(name, _header(message, header))
    parts = [part for _, part in zip(range(_MAX_PARTS), message.walk(), strict=False)]
    for part in parts:
        if any(isinstance(defect, email.errors.CloseBoundaryNotFoundDefect) for defect in part.defects):
            raise FileDamagedError(reason="it is cut off: its last part has no end")
        if any(isinstance(defect, email.errors.StartBoundaryNotFoundDefect) for defect in part.defects):
            raise FileDamagedError(reason="it is cut off: its parts are missing")
    body = message.get_body(preferencelist=("plain", "html"))
    if body is not None:
        _add_body(draft, cast(EmailMessage, body))
    for part in parts:
        if part is not body and (part.get_filename() or part.get_content_disposition() == "attachment"):
            name = one_line(part.get_filename() or "unnamed")
            content = part.get_payload(decode=True)
            size = len(content) if isinstance(content, bytes) else 0
            draft.attachments.append(Attachment(name, part.get_content_type(), size))
    return draft.finished()


def _header(message: EmailMessage, name: str) -> str:
    """Its text; empty when there is none, and where the standard library stumbles over one that is no header."""
    try:
        return str(message.get(name, ""))
    except (ValueError, ArithmeticError, AttributeError, LookupError, TypeError, RecursionError):
        return ""


def _add_body(draft: Draft, body: EmailMessage) -> None:
    try:
        text = str(body.get_content(errors="replace"))
    except LookupError:  # an encoding that does not exist
        text = cast(bytes, body.get_payload(decode=True) or b"").decode("utf-8", "replace")
    if body.get_content_subtype() == "html":
        html.read_into(draft, text)
        return
    for _, lines in paragraphs(clean(text).split("\n")):
        draft.add("\n".join(lines))

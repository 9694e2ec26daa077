"""Forms as clients send them (multipart/form-data), read by Python's own reader of mail: another one than the gateway's. Pure."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any


def form_object(content_type: str, body: bytes) -> dict[str, Any] | None:
    """The fields of a form as JSON would say them; of files only ``{filename, bytes}``. None when it is no form."""
    if not content_type.lower().startswith("multipart/form-data"):
        return None
    head = f"content-type: {content_type}\r\n\r\n".encode("latin-1")
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        return None
    found: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(content, bytes):
            return None
        filename = part.get_filename()
        if filename is not None:
            found[name.removesuffix("[]")] = {"filename": filename, "bytes": len(content)}
        else:
            found[name] = _value(name, content.decode("utf-8", "replace"))
    return found


def _value(name: str, text: str) -> object:
    if name == "stream":
        return text.lower() == "true"
    return int(text) if name in ("n", "partial_images") and text.isdigit() else text

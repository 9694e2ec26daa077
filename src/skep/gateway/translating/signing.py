"""What Gemini's models thought before they called a function, sealed, in the id of the call. Pure.

Gemini 3 refuses a conversation in which a call has come back without its ``thoughtSignature``
(https://ai.google.dev/gemini-api/docs/thought-signatures). Other formats have no field for it, and clients keep none that they do not know; the
id of a call they all give back as it came.
"""

from __future__ import annotations

import re

_MARK = "_thoughtSignature_"
_SEALED = re.compile(rb"_thoughtSignature_[A-Za-z0-9_-]+(?=\")")
_PADDING = 4

UNSIGNED = "skip_thought_signature_validator"
"""What Google names for calls that another model has made, or of which the signature is lost."""


def signed_id(call_id: str, signature: str) -> str:
    """An id that has a signature (base64) in it, of the characters that every format allows in ids."""
    if not signature:
        return call_id
    return call_id + _MARK + signature.replace("+", "-").replace("/", "_").rstrip("=")


def parted_id(call_id: str) -> tuple[str, str]:
    """The id as Gemini knows it, and the signature in it; empty: there is none."""
    plain, _, sealed = call_id.partition(_MARK)
    signature = sealed.replace("-", "+").replace("_", "/")
    return plain, signature + "=" * (-len(signature) % _PADDING)


def unsigned(body: bytes) -> bytes:
    """A request without the signatures in its ids: other providers have no use for them, and some bound the length of ids."""
    return _SEALED.sub(b"", body) if _MARK.encode() in body else body

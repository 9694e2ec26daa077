"""Bytes to text, and what the text turns out to be: binary, a key, generated, minified. Pure functions."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from skep.knowledge.walking.models import SkipReason, WalkOptions

_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its first two bytes are the same
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_CONTROLS = bytes({*range(0x09), *range(0x0E, 0x1A), *range(0x1C, 0x20), 0x7F} - {0x08})
"""What text does not contain. Tab, line ends, form feed, backspace, escape (coloured logs) and the
end mark of DOS (0x1A) do occur in it."""
_CONTROL_SHARE = 0.02
"""Text with more control characters than this is binary. Compressed data has 10 %, text at most a stray one."""
_UTF16_ZERO_SHARE = 0.4
"""In UTF-16 without a byte order mark, so many of one byte of each pair are zero when the text is mostly Latin."""
_LEGACY_HIGH_SHARE = 0.3
"""An eight-bit file with more bytes over 0x7F than this is no Western text, and we could only guess what it is."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_HIGH = re.compile(rb"[\x80-\xff]")
_HIGH_IN_WORD = re.compile(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]")
_CP1252_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_UTF8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and what had to be assumed or replaced to get it (empty: nothing)."""

    text: str
    note: str = ""


def decode_text(data: bytes) -> str | SkipReason:
    """The text in ``data`` without byte order mark or NUL, line ends as they are; `SkipReason.BINARY` for no text."""
    decoded = decode(data)
    return decoded.text if isinstance(decoded, Decoded) else decoded


def decode(data: bytes) -> Decoded | SkipReason:
    """Like `decode_text`, with the note.

    In this order: byte order mark; UTF-8; UTF-16 guessed from zero bytes; without NUL, UTF-8 with replaced bytes or
    Windows-1252, whichever fits better, provided it looks like text at all.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _clean(_lenient(data[len(mark) :], encoding))
    if b"\0" in data:
        return _guess_utf16(data)
    if _has_controls(data):
        return SkipReason.BINARY
    try:
        return Decoded(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _guess_eight_bit(data)


def _lenient(data: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), "" if encoding == "utf-8" else f"read as {encoding}")
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
        return Decoded(text, f"read as {encoding}, {text.count(REPLACEMENT)} invalid places replaced")


def _clean(decoded: Decoded) -> Decoded | SkipReason:
    """The same, unless there is a NUL in it or too many control characters."""
    # ASCII controls are single bytes in UTF-8 too, and counting bytes is far faster than counting characters.
    text = decoded.text
    return SkipReason.BINARY if "\0" in text or _has_controls(text.encode("utf-8")) else decoded


def _has_controls(data: bytes) -> bool:
    return len(data) - len(data.translate(None, _CONTROLS)) > len(data) * _CONTROL_SHARE


def _guess_utf16(data: bytes) -> Decoded | SkipReason:
    """UTF-16 without a byte order mark: zeros nearly only on one side of each pair of bytes."""
    pairs = len(data) // 2
    even, odd = data[0::2].count(0), data[1::2].count(0)
    if len(data) % 2 or not pairs or max(even, odd) < pairs * _UTF16_ZERO_SHARE or min(even, odd) > pairs * 0.01:
        return SkipReason.BINARY
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return SkipReason.BINARY
    return _clean(Decoded(text, f"taken for {encoding}"))


def _guess_eight_bit(data: bytes) -> Decoded | SkipReason:
    """Neither UTF-8 nor NUL: damaged UTF-8, or text from an older Windows."""
    high = len(_HIGH.findall(data))
    text = data.decode("utf-8", "replace")
    damaged = Decoded(text, f"not valid UTF-8, {text.count(REPLACEMENT)} places replaced")
    if len(_UTF8_SEQUENCE.findall(data)) > text.count(REPLACEMENT):
        return damaged
    if high > len(data) * _LEGACY_HIGH_SHARE:
        return SkipReason.BINARY
    in_words = len(_HIGH_IN_WORD.findall(data))
    if in_words * 2 >= high and _CP1252_UNDEFINED.search(data) is None:
        return Decoded(data.decode("cp1252"), "taken for Windows-1252")
    return damaged


_HEAD_CHARS = 4_096
"""Generators write their notice first; licence texts before it are seldom longer."""
_GENERATED = re.compile(
    r"^[ \t]*(?:#|//|/\*|\*|--|;|%|<!--|'|REM\b|\"\"\").*"
    r"(?:@generated\b|\bcode generated\b.*\bdo not edit\b|<auto-generated\b"
    r"|\b(?:auto-?|automatically )generated\b.*\bdo not (?:edit|modify)\b"
    r"|\bgenerated by\b.*\bdo not (?:edit|modify)\b)",
    re.IGNORECASE | re.MULTILINE,
)
"""Only in a comment line, so that a program that looks for these words is not taken for generated itself."""

_MINIFIABLE = frozenset({"js", "mjs", "cjs", "css", "json", "html", "htm", "xml"})
_MINIFIED_MIN_CHARS = 2_000
_MINIFIED_LINE_CHARS = 500
"""Mean length of a line from which a file is minified. Hand-written code and pretty-printed JSON stay below 80."""

_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_PEM_BEGIN = "-----BEGIN "
_PEM_NOISE = re.compile(
    r"#|Bag Attributes|Key Attributes|friendlyName|localKeyID|subject=|issuer=|[A-Za-z0-9+/]{16,}=*\Z"
)
"""Lines between blocks that tools write, and lines of base64 of a block whose end is missing."""
_AGE_FILE_CHARS = 1_000
_KEY_SURROUNDINGS_CHARS = 200
"""A file with more than this around the key is documentation or a test, which is indexed."""
_SERVICE_ACCOUNT = re.compile(r'"type"\s*:\s*"(?:service_account|authorized_user)"')
_SERVICE_ACCOUNT_KEY = re.compile(r'"(?:private_key|refresh_token)"\s*:\s*"')
_NPM_TOKEN = re.compile(r"^[^#;\n]*(?:_authToken|_auth|_password)\s*=\s*(?!\s|\$\{)\S", re.MULTILINE)
_DOCKER_AUTH = re.compile(r'"auths"\s*:\s*\{[^{}]*\{[^{}]*"(?:auth|identitytoken)"\s*:')


def content_reason(name: bytes, text: str, options: WalkOptions) -> SkipReason | None:
    """Why a file of this name is not indexed, judged by what is in it; None when nothing speaks against it."""
    if not options.include_secrets and is_secret_text(name, text):
        return SkipReason.SECRET
    if not options.include_generated and is_generated(text):
        return SkipReason.GENERATED
    if not options.include_minified and is_minified(name, text):
        return SkipReason.MINIFIED
    return None


def is_secret_text(name: bytes, text: str) -> bool:
    """Whether the file is a private key and little else, or holds credentials in a form only machines write."""
    lower = name.lower()
    if lower in (b".npmrc", b".yarnrc", b".yarnrc.yml"):
        return _NPM_TOKEN.search(text) is not None
    if lower.endswith(b".json") and (
        _DOCKER_AUTH.search(text) or (_SERVICE_ACCOUNT.search(text) and _SERVICE_ACCOUNT_KEY.search(text))
    ):
        return True
    if lower.endswith(b".txt") and "AGE-SECRET-KEY-1" in text and len(text) < _AGE_FILE_CHARS:
        return True
    if text.startswith("PuTTY-User-Key-File-"):
        return True
    # The plain search first: it is fifty times faster than the expression, and nearly no file passes it.
    if "PRIVATE KEY" not in text or _PRIVATE_KEY.search(text) is None:
        return False
    return _chars_around_pem(text) <= _KEY_SURROUNDINGS_CHARS


def _chars_around_pem(text: str) -> int:
    """How much there is besides PEM blocks (whole or cut) and their usual comments, white space not counted."""
    outside: list[str] = []
    position = 0
    while (begin := text.find(_PEM_BEGIN, position)) >= 0:
        outside.append(text[position:begin])
        end = text.find("-----END ", begin)
        close = text.find("-----", end + 9) if end >= 0 else -1
        position = close + 5 if close >= 0 else begin + len(_PEM_BEGIN)
        if close < 0:  # no later block has an end either
            break
    outside.append(text[position:])
    lines = (line.strip() for line in "".join(outside).splitlines())
    return sum(len("".join(line.split())) for line in lines if not _PEM_NOISE.match(line))


def is_generated(text: str) -> bool:
    """Whether a comment in the first lines says that a program wrote the file."""
    head = text[:_HEAD_CHARS]
    return "generated" in head.lower() and _GENERATED.search(head) is not None


def is_minified(name: bytes, text: str) -> bool:
    """Whether a script, style sheet or data file has lines no person would write."""
    extension = name.rpartition(b".")[2].lower().decode("ascii", "replace")
    if extension not in _MINIFIABLE or len(text) < _MINIFIED_MIN_CHARS:
        return False
    return len(text) / (text.count("\n") + text.count("\r") + 1) > _MINIFIED_LINE_CHARS

"""Bytes become text or are binary; texts turn out to be keys, generated or minified."""

from __future__ import annotations

import os
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.knowledge.walking import Decoded, SkipReason, WalkOptions, decode, decode_text
from skep.knowledge.walking.texts import content_reason

SAMPLE = "Grüße, мир, 日本\r\nsecond line\rthird\n"
ASCII = "def main():\n    return 1\n" * 5

DECODED: list[tuple[str, bytes, str, str]] = [
    # what, bytes, text, a word of the note
    ("empty", b"", "", ""),
    ("utf-8", SAMPLE.encode(), SAMPLE, ""),
    ("utf-8 mark", b"\xef\xbb\xbf" + SAMPLE.encode(), SAMPLE, ""),
    ("utf-16 le", SAMPLE.encode("utf-16"), SAMPLE, "utf-16-le"),
    ("utf-16 be", b"\xfe\xff" + SAMPLE.encode("utf-16-be"), SAMPLE, "utf-16-be"),
    ("utf-32 le", SAMPLE.encode("utf-32"), SAMPLE, "utf-32-le"),
    ("utf-32 be", b"\x00\x00\xfe\xff" + SAMPLE.encode("utf-32-be"), SAMPLE, "utf-32-be"),
    ("utf-16 le without mark", ASCII.encode("utf-16-le"), ASCII, "utf-16-le"),
    ("utf-16 be without mark", ("é" + ASCII).encode("utf-16-be"), "é" + ASCII, "utf-16-be"),
    ("cp1252", "Größe: 5 €, naïve café\n".encode("cp1252"), "Größe: 5 €, naïve café\n", "1252"),
    ("one wild byte", b"x = 1 # \xff \n" * 3, "x = 1 # \ufffd \n" * 3, "3 places"),
    ("cut character", SAMPLE.encode() + b"\xe6\x97", SAMPLE + "\ufffd", "1 places"),
    ("damaged after mark", b"\xef\xbb\xbfa\xffb", "a\ufffdb", "1 invalid"),
    ("half a pair after mark", b"\xff\xfea\0b", "a\ufffd", "utf-16-le, 1 invalid"),
    ("coloured log", b"\x1b[31mred\x1b[0m\n\x0c", "\x1b[31mred\x1b[0m\n\x0c", ""),
    ("end mark of DOS", b"DIR\r\n\x1a", "DIR\r\n\x1a", ""),
]

BINARY: list[tuple[str, bytes]] = [
    ("nul", b"abc\0def"),
    ("nul after mark", b"\xef\xbb\xbfabc\0def"),
    ("utf-16 with nul character", "ab\0c".encode("utf-16")),
    ("zeros", bytes(4096)),
    ("png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    ("elf", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0>\0"),
    ("deflate", zlib.compress(os.urandom(4096))),
    ("random without nul", random.Random(1).randbytes(8192).replace(b"\0", b"\x01")),
    ("controls", b"\x01\x02\x03\x04text"),
    ("odd utf-16", b"a\0b\0c"),
]


@pytest.mark.parametrize(("data", "text", "note"), [row[1:] for row in DECODED], ids=[row[0] for row in DECODED])
def test_text_is_decoded_with_its_line_ends(data: bytes, text: str, note: str) -> None:
    decoded = decode(data)
    assert isinstance(decoded, Decoded)
    assert decoded.text == text
    assert note in decoded.note
    assert bool(note) is bool(decoded.note)
    assert decode_text(data) == text


@pytest.mark.parametrize("data", [row[1] for row in BINARY], ids=[row[0] for row in BINARY])
def test_binary_is_recognised(data: bytes) -> None:
    assert decode_text(data) is SkipReason.BINARY


@given(st.binary())
def test_any_bytes_give_storable_text_or_a_reason(data: bytes) -> None:
    text = decode_text(data)
    if not isinstance(text, SkipReason):
        assert "\0" not in text
        text.encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_valid_utf8_is_unchanged(text: str) -> None:
    assert decode_text(text.encode()) == text.removeprefix("\ufeff")


PEM = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIE\n-----END RSA PRIVATE KEY-----\n"
OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n"
CERT = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
BAG = (
    f"Bag Attributes\n    friendlyName: me and a rather long name that goes on\nKey Attributes: <No Attributes>\n{PEM}"
)
PROSE = "How to make a key, what it looks like, and why it never belongs into a repository. " * 4
ACCOUNT = '{"type": "service_account", "project_id": "p", "private_key": "-----BEGIN PRIVATE KEY-----\\n"}'

CONTENT: list[tuple[str, str, SkipReason | None]] = [
    ("tls.key", PEM, SkipReason.SECRET),
    ("anything", OPENSSH, SkipReason.SECRET),
    ("cut.pem", PEM[:60], SkipReason.SECRET),
    ("both.pem", CERT + PEM, SkipReason.SECRET),
    ("bag.pem", BAG, SkipReason.SECRET),
    ("pgp.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----\nx\n-----END PGP PRIVATE KEY BLOCK-----", SkipReason.SECRET),
    ("k.txt", "PuTTY-User-Key-File-2: ssh-rsa\n", SkipReason.SECRET),
    ("age.txt", "# created\nAGE-SECRET-KEY-1QQ\n", SkipReason.SECRET),
    ("credentials.json", ACCOUNT, SkipReason.SECRET),
    ("config.json", '{"auths": {"r.io": {"auth": "dTpw"}}}', SkipReason.SECRET),
    (".npmrc", "//registry.npmjs.org/:_authToken=abc\n", SkipReason.SECRET),
    (".npmrc", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\nsave-exact=true\n", None),
    ("cert.pem", CERT, None),
    ("howto.md", PROSE + PEM, None),
    ("scan.py", 'MARK = "-----BEGIN RSA PRIVATE KEY-----"\n' + "print(MARK)  # searched for in each file\n" * 9, None),
    ("x.go", "// Code generated by protoc-gen-go. DO NOT EDIT.\npackage x\n", SkipReason.GENERATED),
    ("x.js", "/**\n * @generated SignedSource<<0>>\n */\n", SkipReason.GENERATED),
    ("x.cs", "// <auto-generated />\n", SkipReason.GENERATED),
    ("x.py", "# Automatically generated by tool, do not modify\n", SkipReason.GENERATED),
    ("x.py", 'MARKER = "@generated"\nCODE = "Code generated by x. DO NOT EDIT."\n', None),
    ("x.py", "# pages are generated from templates\n", None),
    ("x.py", "x = 1\n" * 2000 + "# @generated\n", None),
    ("a.js", "var a=1;" * 1000, SkipReason.MINIFIED),
    ("a.json", "[" + "1," * 5000 + "1]", SkipReason.MINIFIED),
    ("a.js", "var a = 1;\n" * 1000, None),
    ("a.js", "var a=1;" * 10, None),
    ("prose.md", "one long paragraph " * 500, None),
]


@pytest.mark.parametrize(("name", "text", "reason"), CONTENT)
def test_content_is_judged(name: str, text: str, reason: SkipReason | None) -> None:
    assert content_reason(name.encode(), text, WalkOptions()) is reason
    everything = WalkOptions(include_secrets=True, include_generated=True, include_minified=True)
    assert content_reason(name.encode(), text, everything) is None


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----" * 33_000,
        "# generated by " * 70_000,
        '{"auths": {' * 90_000,
        " " * 1_000_000,
        "\n" * 1_000_000,
        '"type": ' * 120_000,
    ],
)
def test_no_content_makes_judging_slow(text: str) -> None:
    for name in (b"a.json", b".npmrc", b"a.pem", b"a.js"):
        content_reason(name, text, WalkOptions())

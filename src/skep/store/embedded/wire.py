"""As much of PostgreSQL's protocol (version 3.0, chapter 54 of its manual) as supervision needs, on the standard library.

The probe is the first half of a login: it asks for a session and looks at the first byte of the reply. ``R`` (prove who
you are) means that the postmaster accepts, forks and lets sessions in; a socket that merely connects would prove none
of that, because the kernel accepts on behalf of a stopped postmaster. The server forgets such a visitor silently.

Imported by the supervisor, which is to stay small: nothing here imports anything but the standard library.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import socket
import struct
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

PORT = 5432
SOCKET_NAME = f".s.PGSQL.{PORT}"
_PROTOCOL_3_0 = 196608
_CANNOT_CONNECT_NOW = "57P03"  # starting up, shutting down or recovering (appendix A of the manual)
_LARGEST_REPLY_BYTES = 1 << 20  # replies here have a few hundred bytes; more is not PostgreSQL


class Probe(Enum):
    """What a client meets at the socket."""

    READY = "ready"
    STARTING = "starting"
    STOPPING = "stopping"
    SILENT = "silent"  # connected, but nobody spoke in time
    DOWN = "down"  # nobody listens


class WireError(Exception):
    """The server said no, or what it said was not the protocol. ``code`` is its SQLSTATE, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Wire:
    """One connection to a socket path. Every wait is bounded by the timeout given (seconds, per read)."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def open(cls, path: str, timeout_seconds: float) -> Wire:
        """Connect. Raises OSError when nobody listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout_seconds)
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def peer_pid(self) -> int | None:
        """The process that listens at the other end: the kernel's word, safe against a re-used pid. None: unknown."""
        if hasattr(socket, "SO_PEERCRED"):
            credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return int(struct.unpack("3i", credentials)[0])
        try:
            return self._socket.getsockopt(0, 2)  # SOL_LOCAL, LOCAL_PEERPID of macOS <sys/un.h>
        except OSError:
            return None

    def ask_for_session(self, user: str, database: str) -> None:
        """Send the start-up message."""
        words = ("user", user, "database", database, "application_name", "skep supervisor")
        body = struct.pack("!i", _PROTOCOL_3_0) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self._socket.sendall(struct.pack("!i", len(body) + 4) + body)

    def send(self, kind: bytes, body: bytes) -> None:
        """Send one message."""
        self._socket.sendall(kind + struct.pack("!i", len(body) + 4) + body)

    def receive(self) -> tuple[bytes, bytes]:
        """The next message: its kind and its body. Raises WireError for an error message, TimeoutError, OSError."""
        kind, length = struct.unpack("!ci", self._read(5))
        if not 4 <= length <= _LARGEST_REPLY_BYTES:
            raise WireError(f"not a PostgreSQL message: kind {kind!r}, {length} bytes")
        body = self._read(length - 4)
        if kind == b"E":
            fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
            raise WireError(fields.get(b"M", ""), fields.get(b"C", ""))
        return kind, body

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the server closed the connection")
            data += more
        return data

    def log_in(self, user: str, password: str, database: str) -> None:
        """Open a session with SCRAM-SHA-256 (RFC 5802, RFC 7677) and wait until it takes queries."""
        self.ask_for_session(user, database)
        self._expect_authentication(10)
        nonce = binascii.b2a_base64(os.urandom(18), newline=False).decode()
        first = f"n=,r={nonce}"
        message = f"n,,{first}".encode()
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(message)) + message)
        server_first = self._expect_authentication(11).decode()
        answer, server_signature = scram_answer(password, first, server_first, nonce)
        self.send(b"p", answer.encode())
        server_final = self._expect_authentication(12).decode()
        if not hmac.compare_digest(server_final.partition("v=")[2], server_signature):
            raise WireError("the server does not know the password it asks for")
        self._expect_authentication(0)
        while self.receive()[0] != b"Z":
            pass

    def _expect_authentication(self, step: int) -> bytes:
        kind, body = self.receive()
        found = struct.unpack("!i", body[:4])[0] if kind == b"R" and len(body) >= 4 else None
        if found != step:
            raise WireError(f"the server asks for authentication step {found} instead of {step}")
        return body[4:]

    def query(self, statement: str) -> list[tuple[str | None, ...]]:
        """The rows of one statement without parameters, as text."""
        self.send(b"Q", statement.encode() + b"\0")
        rows: list[tuple[str | None, ...]] = []
        while True:
            kind, body = self.receive()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"Z":
                return rows


def scram_answer(password: str, client_first: str, server_first: str, nonce: str) -> tuple[str, str]:
    """The client's final message and the signature the server must show (RFC 5802, section 3).

    Passwords here are ASCII of our own making, so their preparation (SASLprep) is the identity.
    """
    values = dict(part.split("=", 1) for part in server_first.split(",") if "=" in part)
    if not values.get("r", "").startswith(nonce):
        raise WireError("the server answered another client's question")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), binascii.a2b_base64(values["s"]), int(values["i"]))
    final = f"c=biws,r={values['r']}"
    signed = f"{client_first},{server_first},{final}".encode()
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
    encode = binascii.b2a_base64
    return f"{final},p={encode(proof, newline=False).decode()}", encode(server, newline=False).decode()


def _row(body: bytes) -> tuple[str | None, ...]:
    count = struct.unpack("!h", body[:2])[0]
    values: list[str | None] = []
    at = 2
    for _ in range(count):
        size = struct.unpack("!i", body[at : at + 4])[0]
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)


def probe(path: str, user: str, database: str, timeout_seconds: float) -> Probe:
    """Whether a session could be opened now. Never raises for a server in any state; costs about 2 ms."""
    try:
        with Wire.open(path, timeout_seconds) as wire:
            wire.ask_for_session(user, database)
            wire.receive()
    except WireError as error:
        if error.code != _CANNOT_CONNECT_NOW:
            return Probe.READY  # it lets sessions in; why it refuses this one is for the caller's connection to say
        # The text is not translated: the server runs with lc_messages = C.
        return Probe.STOPPING if "shutting down" in str(error) else Probe.STARTING
    except TimeoutError:
        return Probe.SILENT
    except (FileNotFoundError, ConnectionRefusedError):
        return Probe.DOWN
    except BlockingIOError:
        return Probe.SILENT  # the queue of the socket is full: somebody listens, nobody accepts
    except ConnectionError:
        return Probe.STOPPING  # it closed instead of answering, as a server does that is killed or ends
    return Probe.READY

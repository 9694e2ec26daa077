"""Keys and who holds them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from skep.access.interfaces import (
    KeyFileUnreadableError,
    KeyFileUnsafeError,
    KeyFileUnwritableError,
    KeyInvalidError,
    KeyMissingError,
    RoleTooLowError,
)
from skep.access.keys import ParsedKey, key_hmac, new_key, parse_key
from skep.access.models import Principal, Role
from skep.store import Database, Queries

DEFAULT_PROJECT = "default"

CACHE_SECONDS = 1.0
"""How long a verified key is believed without asking again: a revoked key works at most this much longer."""

STALE_SECONDS = 30.0
"""The same while the database cannot be asked."""

_CACHE_SIZE = 10_000
"""Bound of the cache of verified keys, in entries."""

_queries = Queries("skep.access")


@dataclass(frozen=True, slots=True)
class _KeyRow:
    project_id: int
    project_name: str
    key_id: str
    key_name: str
    role: Role
    secret_hmac: bytes
    key_pepper: bytes


class Access:
    """Turns keys into principals, and makes the first key of an installation.

    ``key_file`` is where the first administrator's key is written and read from by the command line.
    """

    def __init__(self, database: Database, *, key_file: Path) -> None:
        self._database = database
        self._key_file = key_file
        # Keyed by the whole key's text, hashed: never by a part of it (CVE-2026-35030 was a truncated cache key).
        self._verified: dict[bytes, tuple[float, Principal]] = {}
        self._asking: dict[bytes, tuple[float, asyncio.Task[Principal]]] = {}
        """Since when, and what is asked."""
        self._cache_secret = secrets.token_bytes(32)

    @property
    def key_file(self) -> Path:
        """Where the first administrator's key stands."""
        return self._key_file

    def recall(self, text: str, *, within_seconds: float = CACHE_SECONDS) -> Principal | None:
        """The principal of a key that was verified so short a time ago; None when it was not. Asks nobody."""
        cached = self._verified.get(self._entry(text))
        if cached is None or time.monotonic() - cached[0] > within_seconds:
            return None
        return cached[1]

    async def authenticate(self, text: str | None) -> Principal:
        """The principal of a key.

        Raises KeyMissingError for None or an empty text, KeyInvalidError for anything that is not a living key.
        """
        if not text:
            raise KeyMissingError(path=self._key_file)
        key = parse_key(text)
        if key is None:
            raise KeyInvalidError(reason="it is not written like a Skep key, or a character of it is wrong")
        known = self.recall(key.text)
        if known is not None:
            return known
        entry = self._entry(key.text)
        asked_at, asking = self._asking.get(entry, (0.0, None))
        if asking is None or time.monotonic() - asked_at > CACHE_SECONDS:
            # One question for all who come with the key meanwhile: under load that is everybody, once a second. One that
            # hangs is left to itself, and asked anew.
            asked_at = time.monotonic()
            asking = asyncio.create_task(self._ask(key, entry, asked_at), name="skep-key")
            asking.add_done_callback(_heed)
            self._asking[entry] = asked_at, asking
        return await asyncio.shield(asking)

    async def confirm(self, principal: Principal) -> Principal:
        """A principal who proved who they are some time ago, with the role that their key has now.

        Raises KeyInvalidError when it was revoked meanwhile.
        """
        row = await self._database.fetch_one(_KeyRow, _queries["fetch_key"], {"key_id": principal.key_id})
        if row is None or row.project_id != principal.project_id:
            raise KeyInvalidError(reason=f"the key {principal.key_name} was revoked since this was asked for")
        return Principal(row.project_id, row.project_name, row.key_id, row.key_name, row.role)

    async def authenticate_local(self, key: str | None) -> Principal:
        """The principal of the command line: ``key`` when it is set, else the one in the key file.

        Raises what `authenticate` raises, and KeyFileUnsafeError when others can read the file.
        """
        return await self.authenticate(key or read_key_file(self._key_file))

    async def ensure_first_key(self) -> bool:
        """Make the default project and its first administrator's key; True if a key was made.

        The key is written to the key file (mode 0600) before it counts, so that it cannot be lost between the two.
        """
        await self._database.execute(
            _queries["insert_default_project"], {"name": DEFAULT_PROJECT, "pepper": secrets.token_bytes(32)}
        )
        async with self._database.transaction() as connection:
            cursor = await connection.execute(_queries["lock_project"], {"name": DEFAULT_PROJECT})
            project_id, pepper = (await cursor.fetchone()) or (0, b"")
            cursor = await connection.execute(_queries["count_admin_keys"], {"project_id": project_id})
            row = await cursor.fetchone()
            if row is not None and row[0] > 0:
                return False
            # A data folder that has served another database keeps its key: overwriting it would lose that one.
            key = parse_key(read_key_file(self._key_file) or "") or new_key()
            write_key_file(self._key_file, key.text)
            inserted = await connection.execute(
                _queries["insert_key"],
                {
                    "key_id": key.key_id,
                    "project_id": project_id,
                    "name": "admin",
                    "role": "admin",
                    "secret_hmac": key_hmac(key, pepper),
                },
            )
        return inserted.rowcount == 1

    async def _ask(self, key: ParsedKey, entry: bytes, asked_at: float) -> Principal:
        try:
            principal = await self._verify(key)
        except KeyInvalidError:
            self._verified.pop(entry, None)
            raise
        finally:
            if self._asking.get(entry, (0.0, None))[0] == asked_at:
                del self._asking[entry]
        if len(self._verified) >= _CACHE_SIZE:
            self._verified.clear()
        # It counts from before the question: an answer on its way is as old as that.
        self._verified[entry] = (asked_at, principal)
        return principal

    def _entry(self, text: str) -> bytes:
        """What the whole of a key is remembered by. Keyed BLAKE2b, which is a tenth of the work of an HMAC."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._cache_secret, digest_size=32).digest()

    async def _verify(self, key: ParsedKey) -> Principal:
        row = await self._database.fetch_one(_KeyRow, _queries["fetch_key"], {"key_id": key.key_id})
        # The HMAC is computed for unknown ids too, so that the time taken does not tell whether an id exists.
        pepper, stored = (row.key_pepper, row.secret_hmac) if row else (self._cache_secret, b"")
        if not hmac.compare_digest(key_hmac(key, pepper), stored) or row is None:
            raise KeyInvalidError(reason="this database does not know it, or it was revoked")
        return Principal(row.project_id, row.project_name, row.key_id, row.key_name, row.role)


def _heed(asking: asyncio.Task[Principal]) -> None:
    """Who asked may have gone away before the answer was an error; then it is nobody's."""
    if not asking.cancelled():
        asking.exception()


def require_role(principal: Principal, needed: Role) -> None:
    """Raise RoleTooLowError unless the principal's role includes ``needed``."""
    if not principal.may_act_as(needed):
        raise RoleTooLowError(key_name=principal.key_name, role=principal.role, needed=needed)


def read_key_file(path: Path) -> str | None:
    """The key in a file, or None when there is no such file.

    Raises KeyFileUnsafeError when others can read it, KeyFileUnreadableError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise KeyFileUnsafeError(path=path, mode=f"{mode:o}")
            return file.read(1024).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileUnreadableError(path=path, reason=error.strerror or str(error)) from error


def write_key_file(path: Path, text: str) -> None:
    """Write a key so that it is there whole or not at all, readable by its owner only, also after power loss.

    Raises KeyFileUnwritableError.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise KeyFileUnwritableError(path=path, reason=error.strerror or str(error)) from error

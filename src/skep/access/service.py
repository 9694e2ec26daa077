"""Keys and who holds them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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
from skep.access.remembering import CACHE_SECONDS, Remembered
from skep.access.rows import KeyRow
from skep.errors import UnavailableError
from skep.store import Database, Queries, hear

DEFAULT_PROJECT = "default"

PROOF_SECONDS = 0.4
"""How often the connection that tells of changed keys shows that it still does."""

STALE_SECONDS = 30.0
"""How long a verified key is believed while the database cannot be asked."""

MOST_READ_AHEAD = 5_000
"""Keys that are read before somebody sends them: the newest. The others are asked for one by one, when they are first sent."""

_READ_AT_ONCE = 200
"""So few that the loop is held up for some milliseconds only."""

queries = Queries("skep.access")

_log = logging.getLogger(__name__)


class Access:
    """Turns keys into principals, and makes the first key of an installation.

    ``key_file`` is where the first administrator's key is written and read from by the command line.
    """

    def __init__(self, database: Database, *, key_file: Path) -> None:
        self._database = database
        self._key_file = key_file
        self._remembered = Remembered()
        self._asking: dict[bytes, tuple[float, asyncio.Task[Principal]]] = {}
        """Since when, and what is asked."""
        self._reading: asyncio.Task[None] | None = None

    @property
    def key_file(self) -> Path:
        """Where the first administrator's key stands."""
        return self._key_file

    def recall(self, text: str, *, within_seconds: float | None = None) -> Principal | None:
        """The principal of a key that was verified so short a time ago; None when it was not. Asks nobody.

        Without a time it is as long as may be while the database can be asked: for ever, as long as every change is heard.
        """
        return self._remembered.recall(text, within_seconds)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of every key that changes, in whichever process, until the end of the block.

        Meanwhile a verified key is believed for longer, one that was revoked is forgotten at once, and the newest keys are
        read ahead.
        """
        task = asyncio.create_task(self._listen(), name="skep-access-listen")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

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
        entry = self._remembered.entry(key.text)
        asked_at, asking = self._asking.get(entry, (0.0, None))
        is_old = time.monotonic() - asked_at > CACHE_SECONDS or self._remembered.has_changed(key.key_id, asked_at)
        if asking is None or is_old:
            # One question for all who come with the key meanwhile: under load that is everybody, once a second. One that
            # hangs is left to itself, and asked anew.
            asked_at = time.monotonic()
            asking = asyncio.create_task(self._ask(key, entry, asked_at), name="skep-key")
            asking.add_done_callback(_drop_error)
            self._asking[entry] = asked_at, asking
        return await asyncio.shield(asking)

    async def confirm(self, principal: Principal) -> Principal:
        """A principal who proved who they are some time ago, with the role that their key has now.

        Raises KeyInvalidError when it was revoked meanwhile.
        """
        row = await self._database.fetch_one(KeyRow, queries["fetch_key"], {"key_id": principal.key_id})
        if row is None or row.project_id != principal.project_id or row.has_expired:
            raise KeyInvalidError(
                reason=f"the key {principal.key_name} was revoked or expired since this was asked for"
            )
        return row.principal

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
            queries["insert_default_project"], {"name": DEFAULT_PROJECT, "pepper": secrets.token_bytes(32)}
        )
        async with self._database.transaction() as connection:
            cursor = await connection.execute(queries["lock_project"], {"name": DEFAULT_PROJECT})
            project_id, pepper = (await cursor.fetchone()) or (0, b"")
            cursor = await connection.execute(queries["count_admin_keys"], {"project_id": project_id})
            row = await cursor.fetchone()
            if row is not None and row[0] > 0:
                return False
            # A data folder that has served another database keeps its key: overwriting it would lose that one.
            key = parse_key(read_key_file(self._key_file) or "") or new_key()
            write_key_file(self._key_file, key.text)
            inserted = await connection.execute(
                queries["insert_key"],
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
            principal, seconds = await self._verify(key)
        except KeyInvalidError:
            self._remembered.forget_entry(entry)
            raise
        finally:
            if self._asking.get(entry, (0.0, None))[0] == asked_at:
                del self._asking[entry]
        # It counts from before the question: an answer on its way is as old as that.
        self._remembered.keep(entry, asked_at, asked_at + seconds, principal)
        return principal

    async def _verify(self, key: ParsedKey) -> tuple[Principal, float]:
        """The principal, and how many seconds the key is good at most."""
        row = await self._database.fetch_one(KeyRow, queries["fetch_key"], {"key_id": key.key_id})
        sent = self._remembered.hmac_for_nobody(key) if row is None else key_hmac(key, row.key_pepper)
        seconds = None if row is None else row.seconds_of(sent)
        if row is None or seconds is None:
            raise KeyInvalidError(reason="this database does not know it, or it was revoked")
        if seconds <= 0:
            reason = "it has expired" if row.has_expired else "it was given another secret, and this one's time is over"
            raise KeyInvalidError(reason=reason)
        return row.principal, seconds

    async def _listen(self) -> None:
        try:
            await hear(
                self._database,
                queries["listen_access"],
                self._heed,
                self._remembered.note_deafness,
                prove=self._remembered.note_proof,
                alive_seconds=PROOF_SECONDS,
            )
        except Exception:  # noqa: BLE001 -- the cause is logged, and the server goes on
            # Keys are asked for every second then, as before.
            _log.exception("hearing of changed keys has ended")
        finally:
            self._remembered.note_deafness()
            if self._reading is not None:
                self._reading.cancel()

    def _heed(self, key_id: str) -> None:
        """A key has changed, or (empty) it is heard from now on."""
        if key_id:
            self._remembered.note_change(key_id)
            return
        self._remembered.note_hearing()
        if self._reading is not None:
            self._reading.cancel()
        self._reading = asyncio.create_task(self._read_ahead(), name="skep-keys-ahead")

    async def _read_ahead(self) -> None:
        """Read the newest keys before somebody sends them, so that the first call of each need not wait for that."""
        try:
            found = await self._database.fetch_tuples(queries["fetch_newest_keys"], {"limit": MOST_READ_AHEAD})
            newest = [key_id for (key_id,) in found]
            for first in range(0, len(newest), _READ_AT_ONCE):
                asked_at, some = time.monotonic(), newest[first : first + _READ_AT_ONCE]
                rows = await self._database.fetch_all(KeyRow, queries["fetch_living_keys"], {"key_ids": some})
                self._remembered.keep_rows(asked_at, rows)
        except UnavailableError as error:
            # They are read when the database is back: it is heard anew then.
            _log.warning("keys are not read ahead: %s", error)
        except Exception:  # noqa: BLE001 -- the cause is logged; keys are asked for when they are sent
            _log.exception("reading keys ahead has ended")


def _drop_error(asking: asyncio.Task[Principal]) -> None:
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

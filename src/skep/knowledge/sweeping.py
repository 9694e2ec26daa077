"""What nobody needs any more in this machine's folder of lexical indexes: those of purged collections, and what a killed
`verify` left there.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skep.knowledge.lexical import LexicalLockedError, LexicalWriteError, LexicalWriter
from skep.knowledge.storing import queries
from skep.store import Database

_SCRATCH = "verify-"
_SCRATCH_AGE_SECONDS = 60.0
"""A scratch folder that is younger may not be held yet by the process that has just made it."""

_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def sweep(database: Database, folder: Path) -> None:
    """Remove the indexes of purged collections below ``folder``, and what killed processes left there.

    Only what this database says was purged: other databases may keep their indexes in the same folder. What somebody is
    writing at this moment stays until the next time. Raises LexicalWriteError when something cannot be removed, after all
    that can be.
    """
    failures: list[LexicalWriteError] = []
    names = await asyncio.to_thread(_names, folder)
    for name in names:
        if name.startswith(_SCRATCH):
            try:
                await asyncio.to_thread(_remove_scratch, folder / name)
            except LexicalWriteError as error:
                failures.append(error)
    uids = [name for name in names if _UID.fullmatch(name)]
    purged = await database.fetch_tuples(queries["fetch_purged"], {"uids": uids}) if uids else []
    for (uid,) in purged:
        try:
            await asyncio.to_thread(remove_index, folder / uid)
        except LexicalLockedError:
            continue  # its writer will hear that the collection is gone, and then let go
        except LexicalWriteError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def remove_index(folder: Path, *, timeout_seconds: float = 0.0) -> None:
    """Remove the lexical index of a purged collection; nothing happens when there is none.

    Raises LexicalLockedError when somebody writes it for longer than ``timeout_seconds``, LexicalWriteError.
    """
    if not folder.is_dir():
        return
    writer = LexicalWriter(folder, timeout_seconds=timeout_seconds)
    writer.acquire()
    try:
        _remove(folder)
    finally:
        writer.close()


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder below ``parent``, for as long as it is needed; `sweep` removes it should this process be killed.

    Not in the system's temporary folder, where what is erased here could lie for ever. Raises LexicalWriteError.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
        held = _hold(made)
    except OSError as error:
        raise LexicalWriteError(folder=parent, reason=str(error)) from error
    try:
        yield made
    finally:
        _remove(made)
        if held is not None:
            os.close(held)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LexicalWriteError(folder=folder, reason=str(error)) from error


def _hold(folder: Path) -> int | None:
    """A descriptor that says, as long as it is open, that the folder is in use; None when another process says so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_scratch(folder: Path) -> None:
    try:
        if time.time() - folder.stat().st_mtime < _SCRATCH_AGE_SECONDS:
            return
        held = _hold(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LexicalWriteError(folder=folder, reason=str(error)) from error
    if held is not None:
        try:
            _remove(folder)
        finally:
            os.close(held)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LexicalWriteError(folder=folder, reason=str(error)) from error

"""The folder of one lexical index: generations, the pointer to the current one, and the writer's lock.

    current        which generation readers use, and in which format it is; replaced atomically
    lock           held (flock) by the one process that writes
    generation-N/  the files of Tantivy

A rebuild happens in a new generation aside; readers see it when the pointer changes.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tantivy

from skep.knowledge.lexical.interfaces import (
    LexicalDamagedError,
    LexicalMissingError,
    LexicalOutdatedError,
    LexicalWriteError,
)
from skep.knowledge.lexical.schema import MARKER, STATE, STATE_MARK, CommittedState, format_name, prepare, schema

_POINTER = "current"
_LOCK = "lock"
_PREFIX = "generation-"


@contextmanager
def damage_border(folder: Path) -> Iterator[None]:
    """Everything Tantivy says while reading comes out as :class:`LexicalDamagedError`, its panics included."""
    try:
        yield
    except (ValueError, OSError) as exc:
        raise LexicalDamagedError(folder=folder, reason=str(exc)) from exc
    except BaseException as exc:
        # A Rust panic is not an Exception, and its class cannot be imported.
        if type(exc).__name__ != "PanicException":
            raise
        raise LexicalDamagedError(folder=folder, reason=str(exc)) from exc


@contextmanager
def write_border(folder: Path) -> Iterator[None]:
    """Everything Tantivy and the disk say while writing comes out as :class:`LexicalWriteError`."""
    try:
        yield
    except (ValueError, OSError) as exc:
        raise LexicalWriteError(folder=folder, reason=str(exc)) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise
        raise LexicalWriteError(folder=folder, reason=str(exc)) from exc


@dataclass(frozen=True, slots=True)
class Pointer:
    """What the pointer file says."""

    generation: str
    format: str


def read_pointer(folder: Path) -> Pointer:
    """Raises :class:`LexicalMissingError`, :class:`LexicalOutdatedError` or :class:`LexicalDamagedError`."""
    try:
        values = json.loads((folder / _POINTER).read_text())
        pointer = Pointer(generation=str(values["generation"]), format=str(values["format"]))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise LexicalMissingError(folder=folder) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise LexicalDamagedError(folder=folder, reason=f"its pointer file cannot be read ({exc})") from exc
    if pointer.format != format_name():
        raise LexicalOutdatedError(folder=folder, reason=f"it has {pointer.format}, this one needs {format_name()}")
    # A damaged pointer must not lead out of the folder.
    if not pointer.generation.startswith(_PREFIX) or "/" in pointer.generation:
        raise LexicalDamagedError(folder=folder, reason=f"its pointer names {pointer.generation!r}")
    return pointer


def write_pointer(folder: Path, generation: str) -> None:
    """Make ``generation`` the current one, in one step, also across a power loss."""
    draft = folder / f"{_POINTER}.new"
    with draft.open("w") as file:
        json.dump({"generation": generation, "format": format_name()}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _POINTER)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def pointer_stamp(folder: Path) -> tuple[int, int]:
    """Changes whenever the pointer is replaced; zeros when there is none."""
    try:
        status = (folder / _POINTER).stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def commit_stamp(path: Path) -> tuple[int, int]:
    """Changes with every commit to the generation at ``path``; zeros when it is gone."""
    try:
        status = (path / "meta.json").stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def generations(folder: Path) -> list[str]:
    """The names of all generations in the folder, current or not."""
    return [entry.name for entry in folder.iterdir() if entry.name.startswith(_PREFIX)]


def new_generation(folder: Path) -> str:
    """The name of a generation that is not there yet."""
    used = [int(name.removeprefix(_PREFIX)) for name in generations(folder) if name.removeprefix(_PREFIX).isdigit()]
    return f"{_PREFIX}{max(used, default=0) + 1:06}"


def remove_generation(folder: Path, name: str) -> None:
    """Only for the holder of the lock. Readers that still have its files open keep them."""
    shutil.rmtree(folder / name, ignore_errors=True)


def remove_generations_but(folder: Path, kept: str) -> None:
    """Only for the holder of the lock: removes what earlier rebuilds left, finished or not."""
    for name in generations(folder):
        if name != kept:
            remove_generation(folder, name)


def open_generation(folder: Path, generation: str) -> tantivy.Index:
    """Raises :class:`LexicalDamagedError` when its files are missing, cut off or not those of this code."""
    path = folder / generation
    with damage_border(folder):
        if not tantivy.Index.exists(str(path)):
            raise LexicalDamagedError(folder=folder, reason=f"{generation} is not there")
        return prepare(tantivy.Index.open(str(path)))


def create_generation(folder: Path) -> tuple[str, tantivy.Index]:
    """An empty generation, not yet pointed to."""
    with write_border(folder):
        name = new_generation(folder)
        (folder / name).mkdir()
        return name, prepare(tantivy.Index(schema(), path=str(folder / name)))


def committed_state(folder: Path, searcher: tantivy.Searcher) -> CommittedState:
    """Raises :class:`LexicalDamagedError` when the state document is not there or not readable."""
    with damage_border(folder):
        query = tantivy.Query.term_query(schema(), MARKER, STATE_MARK, "basic")
        hits = searcher.search(query, 2, count=False).hits
        if len(hits) != 1:
            raise LexicalDamagedError(folder=folder, reason=f"it has {len(hits)} state documents instead of one")
        try:
            return CommittedState.from_json(str(searcher.doc(hits[0][1]).get_first(STATE)))
        except (KeyError, TypeError) as exc:
            raise LexicalDamagedError(folder=folder, reason="its state document cannot be read") from exc


def is_locked(folder: Path) -> bool:
    """Whether a process is writing this index at this moment. Costs three system calls; False when that cannot be told."""
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # A shared lock: two that only ask never take each other for a writer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def take_lock(folder: Path) -> int | None:
    """Become the one writer of the folder, which is made when missing; None while another is.

    Returns the descriptor that holds the lock, which goes with the process, however it ends. Raises
    :class:`LexicalWriteError` when the folder cannot be written.
    """
    with write_border(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as exc:
        os.close(descriptor)
        raise LexicalWriteError(folder=folder, reason=str(exc)) from exc
    return descriptor

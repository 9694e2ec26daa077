"""Makes the cluster, and the command line that runs it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skep.store.embedded.binaries import MAJOR_VERSION, Account, run_program
from skep.store.embedded.interfaces import (
    DatabaseFolderError,
    DataVersionError,
    DiskFullError,
    ServerStartError,
    ServerStartTimeoutError,
)
from skep.store.embedded.layout import Layout
from skep.store.embedded.wire import PORT
from skep.store.queries import Queries

_SMALL_SHARED_MEMORY_BYTES = 512 * 1024 * 1024
_SYNC_AT_ONCE = ("--sync-method=syncfs",) if sys.platform == "linux" else ()
"""One call for the whole cluster instead of one per file. Measured here with another process writing to the same disk:
a start after a crash took 0.24 s instead of 1.5 to 4.4 s. Linux has it; errors are reported since its version 5.8."""

_LEAST_BUFFERS_MB, _MOST_BUFFERS_MB = 128, 1024
_BUFFERS_SHARE = 16
"""Of the machine's memory: others live there, too, and the system's own cache holds what is read seldom."""

_DISK_FULL = "No space left on device"

SETTINGS: dict[str, str] = {
    # Reached by the socket only; the path is relative to the data, so its length does not matter (sun_path).
    "listen_addresses": "",
    "unix_socket_directories": "../socket",
    "unix_socket_permissions": "0700",
    # Each of several server processes has a pool of ten and a few that listen; beside them are the worker, the watcher, the
    # embedder and whoever types a command. A place that nobody takes costs some 30 KB.
    "max_connections": "200",
    # Memory for a laptop; `_buffers_mb` says more where more is stored.
    "shared_buffers": f"{_LEAST_BUFFERS_MB}MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "huge_pages": "try",
    "io_workers": "2",
    "jit": "off",
    "random_page_cost": "1.1",
    # Bulk loading: few, spread checkpoints; this build has no lz4. Nothing is traded for durability.
    "max_wal_size": "2GB",
    "min_wal_size": "128MB",
    "checkpoint_timeout": "15min",
    "wal_compression": "pglz",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    # A session that forgot its transaction must not hold back vacuum for ever.
    "idle_in_transaction_session_timeout": "10min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # What happens to the server, not what its clients get wrong: their errors can contain what they store.
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
"""Given on the command line, so that a new Skep's values hold for old data too."""


def server_command(postgres: Path, data: str, marker: str, stored_bytes: int) -> list[str]:
    """The command line of the postmaster. ``marker`` names its processes (in ``ps`` too).

    ``stored_bytes`` is how large the tables are.
    """
    buffers = _buffers_mb(stored_bytes, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    settings = SETTINGS | {"cluster_name": marker, "shared_buffers": f"{buffers}MB"}
    if _shared_memory_is_small():
        # Parallel index builds put maintenance_work_mem there; containers have 64 MB by default.
        settings["dynamic_shared_memory_type"] = "mmap"
    if sys.platform == "linux":
        settings["recovery_init_sync_method"] = "syncfs"
    command = [str(postgres), "-D", data, "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def stored_bytes(layout: Layout) -> int:
    """How large the tables of a cluster are, about: others may write meanwhile."""
    found = 0
    with suppress(OSError):
        for database in os.scandir(layout.data / "base"):
            found += sum(file.stat().st_size for file in os.scandir(database) if file.is_file())
    return found


def _buffers_mb(stored: int, memory: int) -> int:
    """The database's own cache, for a cluster of so many bytes on a machine with so many.

    A search among vectors looks at pages all over their index. Each that is not there is copied, which took a quarter of its
    time (135,000 vectors, 128 instead of 512 MB). A cluster that is only filled needs little.
    """
    wanted = min(stored, memory // _BUFFERS_SHARE, _MOST_BUFFERS_MB << 20)
    return max(_LEAST_BUFFERS_MB, wanted >> 20)


def _shared_memory_is_small() -> bool:
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108  (asked for its size only)
    except OSError:
        return sys.platform == "linux"
    return found.f_blocks * found.f_frsize < _SMALL_SHARED_MEMORY_BYTES


def path_for(account: Account | None, folder: int, name: str) -> str:
    """How a program that works in the database's folder names something there.

    Run for another account by root it goes through the open descriptor: that needs no right on the folders above, which
    may be closed (0700 /root) and stay so. Elsewhere than on Linux there is no such path.
    """
    return f"/proc/self/fd/{folder}/{name}" if account and sys.platform == "linux" else name


def check_version(layout: Layout) -> None:
    """Raises DataVersionError when the data was written by another major version."""
    path = layout.data / "PG_VERSION"
    try:
        found = path.read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise DatabaseFolderError(folder=layout.data, reason="it holds something, but no PostgreSQL data") from error
    if found != MAJOR_VERSION:
        raise DataVersionError(folder=layout.data, found=found, expected=MAJOR_VERSION)


def create(layout: Layout, root: Path, account: Account | None, folder: int) -> None:
    """Make the cluster with its roles and its database, aside, and move it to its place when it is complete.

    ``folder`` is a descriptor of the layout's folder. Raises ServerStartError, DiskFullError.
    """
    passwords = {path: secrets.token_urlsafe(32) for path in (layout.password, layout.superuser_password)}
    for path, password in passwords.items():
        layout.write_secret(path, password)
    aside = layout.folder / f"data.new-{secrets.token_hex(4)}"
    aside.mkdir(mode=0o700)
    give_to(account, aside)
    data = path_for(account, folder, aside.name)

    def run(arguments: list[str], text: str = "") -> None:
        result = run_program(
            [str(root / "bin" / arguments[0]), *arguments[1:]],
            account,
            cwd="/" if account else layout.folder,
            handles=(folder,) if account else (),
            text=text,
        )
        if result.returncode != 0:
            raise start_failure(layout, result.stdout.strip()[-2000:])

    try:
        with _password_file(layout, account, aside.name, passwords[layout.superuser_password]) as name:
            run(_initdb_arguments(data, path_for(account, folder, name)))
        bootstrap = Queries(__package__)["create_application_database"].decode()
        # PostgreSQL without a server: nobody can connect before the roles and passwords are there.
        single = ["postgres", "--single", "-D", data, "-j", "-c", "exit_on_error=on", "-c", "log_min_messages=log"]
        run([*single, "template1"], bootstrap.replace("{password}", passwords[layout.password]) + ";\n\n")
        run(["initdb", "--sync-only", *_SYNC_AT_ONCE, "-D", data])
        aside.rename(layout.data)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync_folder(layout.folder)


def _initdb_arguments(data: str, password_file: str) -> list[str]:
    """``C.UTF-8`` of PostgreSQL's own provider: the same order on every system, and no locale to be installed."""
    return [
        *("initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password_file}"),
        *("-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        *("--no-instructions", "--no-sync"),  # synced once, at the end
    ]


@contextmanager
def _password_file(layout: Layout, account: Account | None, stem: str, password: str) -> Iterator[str]:
    """A password file the account can read while ``initdb`` runs; yields its name in the folder."""
    path = layout.folder / f"{stem}.password"
    layout.write_secret(path, password)
    try:
        give_to(account, path)
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def give_to(account: Account | None, path: Path) -> None:
    """Let the account own it (no effect for None)."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def remove_leftovers(layout: Layout) -> None:
    """What an interrupted ``create`` left. A program of it may still be writing there; then the next run tries again."""
    for pattern in ("data.new-*", "*.new"):
        for path in layout.folder.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def start_failure(layout: Layout, said: str) -> DiskFullError | ServerStartError:
    """The error for what PostgreSQL said before it ended."""
    if _DISK_FULL in said:
        return DiskFullError(folder=layout.folder)
    return ServerStartError(log=layout.log, tail=said or "(it said nothing)")


@contextmanager
def folder_errors(layout: Layout) -> Iterator[None]:
    """The border where the system's errors become ours.

    Raises DiskFullError, DatabaseFolderError, ServerStartTimeoutError (a program that does not end).
    """
    try:
        yield
    except subprocess.TimeoutExpired as error:
        reason = f"{error.cmd[0]} does not end"
        raise ServerStartTimeoutError(seconds=f"{error.timeout:g}", reason=reason, log=layout.log) from error
    except OSError as error:
        if _DISK_FULL in str(error) or "quota" in str(error).lower():
            raise DiskFullError(folder=layout.folder) from error
        where = error.filename or layout.folder
        raise DatabaseFolderError(folder=layout.folder, reason=f"{error.strerror or error}: {where}") from error

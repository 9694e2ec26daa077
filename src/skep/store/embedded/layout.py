"""Where the embedded database keeps its files, and the locks that decide who may touch them.

    <home>/postgres/            0700, or root:<account's group> 0710 when root runs it for an account
        data/                   the cluster, 0700, of the account that runs PostgreSQL
        socket/                 the listening socket, 0700, of the same account
        password                of the role skep, 0600
        superuser.password      of the role postgres, 0600
        server.log(.1)          what the server says, 0600
        lock                    held while somebody starts the server
        supervisor.lock         held as long as a supervisor lives; its text is that process's id

Locks are flock(2): the kernel drops them with their holder, so nothing here can be stale. That is why no decision rests
on a process id.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from skep.store.embedded.interfaces import DatabaseFolderError, PasswordMissingError, ServerLockError
from skep.store.embedded.wire import SOCKET_NAME

LONGEST_SOCKET_PATH_BYTES = 103
"""``sun_path`` has 104 bytes on macOS and 108 on Linux, with the closing NUL (sys/un.h)."""

LOG_LIMIT_BYTES = 10 * 1024 * 1024
_LOCK_POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one data folder. Nothing is read or written by making one."""

    home: Path

    @property
    def folder(self) -> Path:
        """Everything of the embedded database."""
        return self.home / "postgres"

    @property
    def data(self) -> Path:
        """The cluster: complete or absent, never half-made."""
        return self.folder / "data"

    @property
    def socket_folder(self) -> Path:
        """Where the server listens."""
        return self.folder / "socket"

    @property
    def password(self) -> Path:
        """The password file of the role ``skep``."""
        return self.folder / "password"

    @property
    def superuser_password(self) -> Path:
        """The password file of the role ``postgres``."""
        return self.folder / "superuser.password"

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "server.log"

    @property
    def start_lock(self) -> Path:
        """Held by the one who starts the server."""
        return self.folder / "lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the living supervisor."""
        return self.folder / "supervisor.lock"

    @property
    def marker(self) -> str:
        """A name that tells this folder's processes from those of any other; it stands on their command lines."""
        return "skep-" + hashlib.sha256(os.fsencode(self.folder.resolve())).hexdigest()[:12]

    def postmaster_pid(self) -> int | None:
        """The process id the last postmaster wrote down, which may be long gone. None: there is none."""
        try:
            return int((self.data / "postmaster.pid").read_text(encoding="ascii").split("\n", 1)[0])
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def make_folder(self) -> None:
        """Create the folder for this account alone. Folders above that exist are left exactly as they are."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def open_private(self, path: Path, flags: int) -> int:
        """Open a file of ours, made with mode 0600 if need be. A link in its place is refused."""
        handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            # What root makes in somebody's folder must stay usable for that somebody.
            owner = self.folder.stat()
            if owner.st_uid != 0:
                os.fchown(handle, owner.st_uid, owner.st_gid)
        return handle

    def open_log(self) -> int:
        """The log, for appending; one that has grown too large moves to ``server.log.1`` first."""
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_name("server.log.1"))
        return self.open_private(self.log, os.O_RDWR | os.O_APPEND)

    def write_secret(self, path: Path, text: str) -> None:
        """Write a secret so that it is there whole or not at all, readable by the owner only."""
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
        handle = self.open_private(temporary, os.O_WRONLY | os.O_EXCL)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def read_secret(self, path: Path) -> str:
        """Read a secret. Raises PasswordMissingError when there is none, or an empty one."""
        try:
            text = path.read_text(encoding="ascii").strip()
        except FileNotFoundError as error:
            raise PasswordMissingError(path=path, data=self.data) from error
        if not text:
            raise PasswordMissingError(path=path, data=self.data)
        return text

    def log_since(self, offset: int, lines: int = 15) -> str:
        """The last lines the server wrote after ``offset`` (bytes), or an empty text."""
        with suppress(FileNotFoundError), self.log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(offset if offset <= end else 0, end - 8192))
            return "\n".join(file.read().decode(errors="replace").strip().splitlines()[-lines:])
        return ""


def try_lock(handle: int, *, shared: bool = False) -> bool:
    """Take the lock if nobody is in the way, without waiting."""
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def hold_start_lock(layout: Layout, timeout_seconds: float) -> Iterator[None]:
    """Be the only one who starts this server. Raises ServerLockError after ``timeout_seconds``."""
    deadline = time.monotonic() + timeout_seconds
    handle = layout.open_private(layout.start_lock, os.O_RDWR)
    try:
        while not try_lock(handle):
            if time.monotonic() >= deadline:
                raise ServerLockError(seconds=f"{timeout_seconds:g}", path=layout.start_lock)
            time.sleep(_LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock. False also when the file does not exist."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not try_lock(handle, shared=True)
    finally:
        os.close(handle)


def reachable_socket_folder(layout: Layout) -> Path:
    """The folder to give to clients: the real one, or, where its path is too long for a socket, a short link to it.

    The link is valid in every process of this account, unlike a path through an open descriptor, and works on every
    system. It stands in a folder only this account can write to; the server itself binds by a relative path and does
    not need it. Raises DatabaseFolderError when there is no safe place for the link.
    """
    real = layout.socket_folder
    if len(os.fsencode(real / SOCKET_NAME)) <= LONGEST_SOCKET_PATH_BYTES:
        return real
    link = _private_short_folder(layout) / layout.marker
    target = str(real.absolute())
    try:
        if link.is_symlink() and str(link.readlink()) == target:
            return link
        temporary = link.with_name(f"{link.name}.{secrets.token_hex(4)}")
        temporary.symlink_to(target)
        temporary.replace(link)
        for old in link.parent.iterdir():
            if old.is_symlink() and not old.exists():  # of a data folder that was deleted
                old.unlink(missing_ok=True)
    except OSError as error:
        raise DatabaseFolderError(folder=layout.folder, reason=f"no link to it in {link.parent}: {error}") from error
    return link


def _private_short_folder(layout: Layout) -> Path:
    user = os.geteuid()
    # /run belongs to root alone; /run/user/N is made by the login manager for user N.
    places = [Path("/run") if user == 0 else Path(f"/run/user/{user}"), Path("/tmp")]  # noqa: S108  (checked below)
    for place in places:
        folder = place / f"skep-{user}"
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
                return folder
    raise DatabaseFolderError(
        folder=layout.folder,
        reason=f"its path is too long for a socket, and neither {places[0]} nor {places[1]} lets this account keep a link",
    )

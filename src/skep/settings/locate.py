"""Where settings come from: the environment of this process, the settings file, the folders to use by default."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from skep.settings.interfaces import (
    NoCurrentFolderError,
    NoHomeFolderError,
    Origin,
    Problem,
    SettingsFileMissingError,
    SettingsFileUnreadableError,
)

FILE_NAME = "skep.yaml"
CONFIG_VARIABLE = "SKEP_CONFIG"
MAX_FILE_BYTES = 262_144
"""A settings file is a few kilobytes; this bounds what a mistaken path (a log, a device) can cost."""

ROOT_DATA_FOLDER = Path("/var/lib/skep")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the process was started in; read once."""

    environ: Mapping[str, str]
    folder: Path
    """The current folder, absolute."""
    home: Path | None
    """None when this user has no home folder."""
    is_root: bool


def look_around(environ: Mapping[str, str] | None, folder: Path | None) -> Surroundings:
    """The surroundings of this process; what is given replaces what the process has. Raises NoCurrentFolderError."""
    environ = dict(os.environ if environ is None else environ)
    try:
        folder = Path.cwd() if folder is None else folder.absolute()
    except FileNotFoundError as exc:
        raise NoCurrentFolderError from exc
    return Surroundings(environ, folder, _home(environ), os.geteuid() == 0)


def default_data_folder(around: Surroundings) -> Path:
    """``$XDG_DATA_HOME/skep``, else ``~/.local/share/skep``; for root ``/var/lib/skep``. Raises NoHomeFolderError.

    Root's own folders are closed to the unprivileged user that runs the embedded database, so XDG does not count there.
    """
    if around.is_root:
        return ROOT_DATA_FOLDER
    base = _xdg(around, "XDG_DATA_HOME", ".local/share")
    if base is None:
        raise NoHomeFolderError
    return base / "skep"


def find_file(config: Path | None, around: Surroundings) -> tuple[Path | None, list[Problem]]:
    """The settings file: the one named by ``--config``, else by ``SKEP_CONFIG``, else the first that is there. And warnings.

    None when nothing is named and nothing is there. A named file need not be there: reading it tells. A named folder stands
    for the ``skep.yaml`` in it.
    """
    if config is None and around.environ.get(CONFIG_VARIABLE):
        config = Path(around.environ[CONFIG_VARIABLE])
    if config is not None:
        path = around.folder / config
        return in_folder(path), []
    warnings: list[Problem] = []
    for path in candidates(around):
        if not _is_file(path):
            continue
        if not _planted(path):
            return path, warnings
        reason = "passed over: it belongs to another user and everyone may write to its folder; name it with --config"
        warnings.append(Problem(Origin("file", path), "", reason))
    return None, warnings


def candidates(around: Surroundings) -> Iterator[Path]:
    """Where a settings file is looked for when none is named, in order."""
    for folder in (around.folder, *around.folder.parents):
        yield folder / FILE_NAME
    base = _xdg(around, "XDG_CONFIG_HOME", ".config")
    if base is not None:
        yield base / "skep" / FILE_NAME


def in_folder(path: Path) -> Path:
    """The settings file that a path names: a folder stands for the ``skep.yaml`` in it."""
    try:
        return path / FILE_NAME if path.is_dir() else path
    except OSError:
        # Not allowed to look; who opens the path says so.
        return path


def read_text(path: Path) -> str:
    """The file's text. Raises SettingsFileMissingError, SettingsFileUnreadableError (no permission, too large, not UTF-8)."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise SettingsFileMissingError(path=path) from exc
    except OSError as exc:
        raise SettingsFileUnreadableError(path=path, reason=exc.strerror or str(exc)) from exc
    if len(data) > MAX_FILE_BYTES:
        raise SettingsFileUnreadableError(path=path, reason=f"it is larger than {MAX_FILE_BYTES} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise SettingsFileUnreadableError(path=path, reason=f"line {line} is not UTF-8") from exc


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # A folder that this user may not look into holds no settings for this user.
        return False


def _planted(path: Path) -> bool:
    """Whether somebody else may have put the file there for us to find, as anyone can in /tmp.

    A settings file decides which database gets our documents, so one found by chance must not come from a stranger.
    """
    try:
        file, folder = path.stat(), path.parent.stat()
    except OSError:
        return True
    return bool(folder.st_mode & stat.S_IWOTH) and file.st_uid not in (0, os.geteuid())


def _home(environ: Mapping[str, str]) -> Path | None:
    if environ.get("HOME", "").startswith("/"):
        return Path(environ["HOME"])
    try:
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return None


def _xdg(around: Surroundings, variable: str, below_home: str) -> Path | None:
    """A base folder of the XDG Base Directory Specification 0.8, which says that relative paths are to be ignored."""
    value = around.environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    return None if around.home is None else around.home / below_home

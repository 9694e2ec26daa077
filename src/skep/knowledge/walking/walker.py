"""Walking a folder: every file worth reading, in order, with its stat, and a report of what was left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from skep.knowledge.walking.defaults import NEVER, skip_by_content, skip_by_name
from skep.knowledge.walking.filetypes import name_judge
from skep.knowledge.walking.ignoring import Rules, extra_rules
from skep.knowledge.walking.models import Skipped, SkipReason, WalkEntry, WalkOptions, WalkReport
from skep.knowledge.walking.paths import (
    FILE_FLAGS,
    FOLDER_FLAGS,
    encode_path,
    enter,
    open_folder,
    open_root,
    split_path,
)
from skep.knowledge.walking.reading import file_stat, read_at_most, reason_of, too_large

MAX_OPEN_FOLDERS = 64
"""Folders kept open on the way down. Deeper trees close the upper ones and come back through ``..``."""
MAX_RULES_BYTES = 1_048_576
"""A larger ignore file is reported and not applied."""

_DEFAULT_OPTIONS = WalkOptions()


def walk(
    root: Path | bytes,
    options: WalkOptions = _DEFAULT_OPTIONS,
    *,
    subpath: str = "",
    report: WalkReport | None = None,
) -> Iterator[WalkEntry]:
    """The files below ``root`` that are worth reading, ordered by the bytes of their paths.

    ``subpath`` (a document path) restricts the walk to one file or folder; what lies above still decides whether it
    is ignored, and nothing comes when it is, or when it does not exist. Symbolic links are never followed: what they
    name inside the root has its own path already. Only ignore files at or below the root count, not those above it
    nor the user's global one, so that the result depends on the tree alone. ``.gitignore`` files bind in folders of
    nested repositories too; a ``.git`` of any kind is never entered, but ``.git/info/exclude`` is honoured.

    ``report`` fills up while the walk runs. Raises, at once: `RootMissingError`, `RootIsFileError`,
    `RootUnreadableError`, and for ``subpath`` `DocumentPathError` or `PathOutsideRootError`. Whatever else goes wrong
    is in the report.
    """
    only = split_path(subpath)
    with open_root(root):
        pass  # so that a wrong root is an error here and not at the first file
    return _Walk(os.fsencode(root), options, only, WalkReport() if report is None else report).run()


def _identity(folder: Path | int | None) -> tuple[int, int] | None:
    """What tells a folder from every other one, however its path is spelled; None when there is none."""
    if folder is None:
        return None
    with suppress(FileNotFoundError, NotADirectoryError):
        status = os.stat(folder)
        return status.st_dev, status.st_ino
    return None


@dataclass(frozen=True, slots=True)
class _Folder:
    name: bytes
    wanted: bool
    """Re-included by name: our own reasons to skip a folder for its content do not count."""


@dataclass(slots=True)
class _Frame:
    """A folder under way."""

    descriptor: int
    """-1: closed to save descriptors."""
    identity: tuple[int, int]
    name: bytes
    raw_length: int
    text_length: int
    rules: Rules
    items: Iterator[WalkEntry | _Folder]


_Listing = list[tuple[bytes, bytes, os.DirEntry[str]]]
"""(key to order by, name, entry); the key of a folder ends in ``/``."""


class _Walk:
    """One walk. Iterative, with paths kept once and not per level, so that depth costs little."""

    def __init__(self, root: bytes, options: WalkOptions, only: list[bytes], report: WalkReport) -> None:
        self._root = root
        self._options = options
        self._only = only
        self._report = report
        self._data_folder: tuple[int, int] | None = None
        self._judge = name_judge(options).judge
        self._stack: list[_Frame] = []
        self._raw = b""
        self._text = ""

    def run(self) -> Iterator[WalkEntry]:
        self._data_folder = _identity(self._options.data_folder)
        with open_root(self._root) as top:
            try:
                self._open(os.dup(top), _Folder(b"", wanted=True), extra_rules(self._options.extra_patterns))
                yield from self._entries(top)
            finally:
                for frame in self._stack:
                    _close(frame)

    def _entries(self, top: int) -> Iterator[WalkEntry]:
        while self._stack:
            for item in self._stack[-1].items:
                if isinstance(item, _Folder):
                    self._descend(item)
                    break
                self._report.files += 1
                yield item
            else:
                self._leave(top)

    def _descend(self, folder: _Folder) -> None:
        frame = self._stack[-1]
        self._raw = self._raw[: frame.raw_length] + folder.name + b"/"
        self._text = self._text[: frame.text_length] + encode_path(folder.name) + "/"
        try:
            descriptor = enter(frame.descriptor, folder.name)
        except OSError as error:
            self._skip_folder(error)
            return
        self._open(descriptor, folder, frame.rules.below(folder.name))

    def _open(self, descriptor: int, folder: _Folder, rules: Rules) -> None:
        """List a folder and put it on the stack; takes over the descriptor."""
        frame: _Frame | None = None
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == self._data_folder:
                self._report.default_folders[encode_path(folder.name)] += 1
                return
            listing, names = self._listed(descriptor)
            if not folder.wanted and skip_by_content(folder.name, names) is not None:
                self._report.default_folders[encode_path(folder.name)] += 1
                return
            self._report.folders += 1
            self._report.entered.append(self._raw.removesuffix(b"/"))
            rules = self._with_rules(descriptor, names, rules)
            items = self._items(listing, names, folder.name, rules)
            identity = status.st_dev, status.st_ino
            frame = _Frame(descriptor, identity, folder.name, len(self._raw), len(self._text), rules, iter(items))
        except OSError as error:
            self._skip_folder(error)
        finally:
            if frame is None:
                os.close(descriptor)
        if frame is not None:
            self._stack.append(frame)
            if len(self._stack) > MAX_OPEN_FOLDERS:
                _close(self._stack[-1 - MAX_OPEN_FOLDERS])

    def _leave(self, top: int) -> None:
        """Take the finished folder off the stack and make sure the one above is open."""
        finished = self._stack.pop()
        try:
            while self._stack and self._stack[-1].descriptor < 0 and not self._reopened(top, finished):
                frame = self._stack.pop()
                path = self._text[: frame.text_length].removesuffix("/")
                detail = "it was moved away while it was being walked."
                self._report.skipped.append(Skipped(path, SkipReason.CHANGING, detail, folder=True))
        finally:
            _close(finished)

    def _reopened(self, top: int, child: _Frame) -> bool:
        """Open the last frame's folder again; only if it is the very folder it was."""
        frame = self._stack[-1]
        with suppress(OSError):
            if self._adopted(frame, os.open(b"..", FOLDER_FLAGS, dir_fd=child.descriptor)):
                return True
        with suppress(OSError), open_folder(top, [each.name for each in self._stack[1:]]) as again:
            return self._adopted(frame, os.dup(again))
        return False

    @staticmethod
    def _adopted(frame: _Frame, descriptor: int) -> bool:
        if _identity(descriptor) == frame.identity:
            frame.descriptor = descriptor
            return True
        os.close(descriptor)
        return False

    def _listed(self, descriptor: int) -> tuple[_Listing, frozenset[bytes]]:
        """The folder's entries in order, restricted to what was asked for, and the names of all of them."""
        listing: _Listing = []
        names: list[bytes] = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                names.append(name)
                listing.append((name + b"/" if entry.is_dir(follow_symlinks=False) else name, name, entry))
        depth = len(self._stack)
        if depth < len(self._only):
            wanted, last = self._only[depth], depth + 1 == len(self._only)
            listing = [item for item in listing if item[1] == wanted and (last or item[0] != wanted)]
        listing.sort()
        return listing, frozenset(names)

    def _items(
        self, listing: _Listing, names: frozenset[bytes], folder: bytes, rules: Rules
    ) -> list[WalkEntry | _Folder]:
        items: list[WalkEntry | _Folder] = []
        has_own = rules.has_own
        for key, name, entry in listing:
            if key is not name or name in NEVER:  # in a worktree .git is a file
                item: WalkEntry | _Folder | None = self._folder(name, names, rules)
            else:
                wanted = rules.wanted(name, folder=False) if has_own else None
                if wanted is False or (wanted is None and rules.ignored_by_git(name, folder=False)):
                    self._report.ignored_files += 1
                    continue
                item = self._file(name, folder, entry)
            if item is not None:
                items.append(item)
        return items

    def _folder(self, name: bytes, siblings: frozenset[bytes], rules: Rules) -> _Folder | None:
        wanted = rules.wanted(name, folder=True)
        if name in NEVER:
            self._report.default_folders[encode_path(name)] += 1
        elif wanted is False or (wanted is None and rules.ignored_by_git(name, folder=True)):
            self._report.ignored_folders += 1
        elif wanted is None and skip_by_name(name, siblings) is not None:
            self._report.default_folders[encode_path(name)] += 1
        else:
            return _Folder(name, wanted=bool(wanted))
        return None

    def _file(self, name: bytes, folder: bytes, entry: os.DirEntry[str]) -> WalkEntry | None:
        plain = entry.name.isascii() and "\\" not in entry.name
        path = self._text + (entry.name if plain else encode_path(name))
        try:
            if not entry.is_file(follow_symlinks=False):
                self._odd(path, name, entry)
                return None
            reason = self._judge(name, folder)
            if reason is not None:
                self._report.skipped.append(Skipped(path, reason))
                return None
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None  # deleted since the folder was listed: as if it had not been there
        except OSError as error:
            self._report.skipped.append(Skipped(path, reason_of(error), f"{error.strerror}."))
            return None
        if status.st_size > self._options.max_file_bytes:
            self._report.skipped.append(too_large(path, status.st_size, self._options.max_file_bytes))
            return None
        known = file_stat(status)
        return WalkEntry(path, self._raw + name, known)

    def _odd(self, path: str, name: bytes, entry: os.DirEntry[str]) -> None:
        """Report what is neither file nor folder."""
        if not entry.is_symlink():
            self._report.skipped.append(Skipped(path, SkipReason.SPECIAL))
            return
        self._report.links += 1
        top = os.path.realpath(self._root)
        try:
            target = os.path.realpath(os.path.join(top, self._raw + name), strict=True)
        except OSError as error:
            self._report.skipped.append(Skipped(path, SkipReason.SYMLINK_BROKEN, f"{error.strerror}."))
            return
        if target != top and not target.startswith(top.removesuffix(b"/") + b"/"):
            self._report.skipped.append(Skipped(path, SkipReason.SYMLINK_OUTSIDE))

    def _with_rules(self, descriptor: int, names: frozenset[bytes], rules: Rules) -> Rules:
        """The rules of a folder with those of its own ignore files."""
        skepignore = self._rule_file(descriptor, b".skepignore") if b".skepignore" in names else None
        gitignore = self._rule_file(descriptor, b".gitignore") if b".gitignore" in names else None
        exclude = None
        if b".git" in names:
            with suppress(OSError), open_folder(descriptor, [b".git", b"info"]) as info:
                exclude = self._rule_file(info, b"exclude", b".git/info/exclude")
        return rules.with_files(skepignore=skepignore, gitignore=gitignore, exclude=exclude)

    def _rule_file(self, folder: int, name: bytes, shown: bytes = b"") -> bytes | None:
        """The lines of an ignore file; one that is no readable regular file is reported and has none (as in git)."""
        problem: Skipped | None = None
        path = self._text + (shown or name).decode()
        data = None
        try:
            descriptor = os.open(name, FILE_FLAGS, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            problem = Skipped(path, reason_of(error), f"{error.strerror}; its rules are not applied.")
        else:
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    problem = Skipped(path, SkipReason.SPECIAL, "its rules are not applied.")
                elif status.st_size > MAX_RULES_BYTES:
                    problem = too_large(path, status.st_size, MAX_RULES_BYTES)
                else:
                    data = read_at_most(descriptor, MAX_RULES_BYTES)
            finally:
                os.close(descriptor)
        if problem is not None:
            self._report.skipped.append(problem)
        return data

    def _skip_folder(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            path = self._text.removesuffix("/")
            self._report.skipped.append(Skipped(path, reason_of(error), f"{error.strerror}.", folder=True))


def _close(frame: _Frame) -> None:
    if frame.descriptor >= 0:
        os.close(frame.descriptor)
        frame.descriptor = -1

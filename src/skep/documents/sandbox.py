"""The sandbox: bubblewrap with the interpreter, our readers and their libraries, and nothing else.

Inside there is no network, no other process, no file of the machine or of a user, nothing that can be written, and no
environment. Files come in by descriptor.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

RUNNER = Path(__file__).with_name("run_reader.py")

_LIBRARIES = ("lxml", "orjson", "pypdfium2", "pypdfium2_raw")
_SYSTEM = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache")
"""Where the dynamic loader finds what the interpreter needs."""

_ALONE = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox")


def find_bubblewrap() -> str | None:
    """Where it is; None when it is not installed."""
    return shutil.which("bwrap") if sys.platform == "linux" else None


def plain_command(runner: Path = RUNNER) -> list[str]:
    """The reader without a sandbox."""
    return [_interpreter(), "-I", "-S", "-B", str(runner), *map(str, _library_folders())]


def sandboxed_command(bubblewrap: str, runner: Path = RUNNER) -> list[str]:
    """The reader in the sandbox. ``runner``: a file that is visible inside besides our own."""
    command = [bubblewrap, *_ALONE]
    for visible in dict.fromkeys([*_visible(), runner]):
        command += ["--ro-bind", str(visible), str(visible)]
    for path in _SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            command += ["--ro-bind", path, path]
    # A reader writes nowhere, not even into memory.
    return [*command, "--dev-bind", os.devnull, os.devnull, "--remount-ro", "/", "--chdir", "/", *plain_command(runner)]


def _interpreter() -> str:
    """The interpreter itself: one in a virtual environment is a link to it, and would need that, too."""
    return os.path.realpath(sys.executable)


def _library_folders() -> list[Path]:
    """The folders that hold the libraries, mostly one."""
    folders: dict[Path, None] = {}
    for name in _LIBRARIES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders[Path(spec.origin).parent.parent] = None
    return list(folders)


def _visible() -> Iterator[Path]:
    prefix = Path(sys.base_prefix).resolve()
    interpreter = Path(_interpreter())
    # A system's own Python lives among everything else that is installed; of that, /usr/lib is there anyway.
    if prefix == Path("/usr"):
        yield interpreter
    else:
        yield prefix
        if not interpreter.is_relative_to(prefix):
            yield interpreter
    yield from _library_folders()
    folder = Path(__file__).parent
    yield folder
    yield folder.parent / "errors.py"

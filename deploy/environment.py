"""Make a virtual environment from a hash-locked requirements file; ``skep`` and ``check`` call it on first use.

``environment.py ROOT VENV LOCK TITLE`` with the standard library only. Exit codes: 0 the environment is complete, 1 it could
not be made, 130 interrupted. Everything is said on stdout, which the callers send to stderr.

An environment is complete when its stamp stands, and the stamp is written last: whatever was interrupted, by a signal, a
full disk or a power cut, has none and is made anew by the next run. One kernel lock serialises all runs; pip inherits it, so
that after ``kill -9`` nobody starts while the orphan still writes.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LOCK_TIMEOUT_SECONDS = 900.0
"""How long to wait for another run; a cold install over a slow line takes a few minutes."""

STAMP_FORMAT = "1"
"""Raised when the way an environment is made changes, so that older ones are made anew; ``skep`` and ``check`` compare it."""

LAST_LINES = 12
"""How much of pip's output is shown when it failed; the whole is in the log."""

MARKER = ".skep-venv"
STAMP = ".skep-stamp"
LOCK_COPY = ".skep-lock"
LOG = ".skep-setup.log"

# What pip says, and what to do about it. The first that matches wins.
HINTS = (
    (
        r"DO NOT MATCH THE HASHES",
        "a downloaded file is not the one that was locked: look at your package index or proxy",
    ),
    (r"No space left", "free some disk space (about 300 MB are needed), then run the same command again"),
    (
        r"Temporary failure in name resolution|NewConnectionError|NameResolutionError|Connection refused|ProxyError|timed out",
        "the package index cannot be reached: check the network, or set PIP_INDEX_URL or PIP_PROXY, then run it again",
    ),
    (
        r"No matching distribution|Could not find a version",
        "no ready-made package for this Python and machine: try Python 3.11 to 3.13 with SKEP_PYTHON=/path/to/python3, "
        "or set PIP_INDEX_URL to an index that has it",
    ),
)


class SetupError(Exception):
    """The environment could not be made; ``fix`` says what the user can do about it."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class Plan:
    """What to make: for which checkout, in which folder, from which lock file."""

    root: Path
    venv: Path
    lock: Path
    title: str

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.venv / "bin" / "python"

    @property
    def stamp(self) -> str:
        """What a complete environment's stamp says: a moved or copied checkout makes its own."""
        return f"{STAMP_FORMAT} {self.root}\n"

    def _has_stamp(self) -> bool:
        try:
            return self.python.exists() and (self.venv / STAMP).read_bytes() == os.fsencode(self.stamp)
        except FileNotFoundError:
            return False

    def _has_lock(self) -> bool:
        try:
            return (self.venv / LOCK_COPY).read_bytes() == self.lock.read_bytes()
        except FileNotFoundError:
            return False

    def is_complete(self) -> bool:
        """Whether the environment can be used as it is."""
        return self._has_stamp() and self._has_lock()

    def is_outdated(self) -> bool:
        """Whether the environment was complete for another lock than today's."""
        return self._has_stamp() and (self.venv / LOCK_COPY).exists() and not self._has_lock()


def say(line: str) -> None:
    """Tell the user, at once."""
    sys.stdout.write(f"skep: {line}\n")
    sys.stdout.flush()


def take_lock(plan: Plan, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> int:
    """Wait for our turn and return the open lock file; the kernel frees it when its last holder ends, however that dies.

    Raises ``SetupError`` when the folder cannot be written or another run takes longer than ``timeout_seconds``.
    """
    path = plan.venv.with_name(plan.venv.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise SetupError(
            f"the environment cannot be made in {path.parent}: {exc.strerror}",
            "set SKEP_VENV to a folder that you may write, for example SKEP_VENV=$HOME/.skep-venv",
        ) from exc
    deadline = time.monotonic() + timeout_seconds
    waiting = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waiting:
                say(f"another run is preparing {plan.venv}; waiting for it")
                waiting = True
            if time.monotonic() > deadline:
                os.close(handle)
                raise SetupError(
                    f"another run has been preparing {plan.venv} for {timeout_seconds:.0f} seconds",
                    f"look for a hanging pip process; remove {path} when there is none",
                ) from None
            time.sleep(0.1)
        else:
            return handle


def clear(venv: Path) -> None:
    """Empty the folder, if it is one of ours. The marker stays, so an interrupted clearing is still known as ours.

    Raises ``SetupError`` when the folder holds something that we did not make.
    """
    venv.mkdir(parents=True, exist_ok=True)
    marker = venv / MARKER
    entries = [entry for entry in venv.iterdir() if entry != marker]
    if entries and not marker.exists():
        raise SetupError(
            f"{venv} exists already and was not made by skep, so it is left alone",
            f"move it away, or set SKEP_VENV to another folder: {venv} is only used when it is new or empty",
        )
    marker.touch()
    (venv / STAMP).unlink(missing_ok=True)
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def base_python() -> str:
    """The real interpreter: behind symlinks, so that a later ``python3`` of another version does not slip in underneath."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def pip_environment() -> dict[str, str]:
    """The user's environment, where index, proxy and certificates are set, without what would send packages elsewhere."""
    elsewhere = {
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_REQUIREMENT",
        "PIP_CONSTRAINT",
        "PIP_DRY_RUN",
        "PIP_LOG",
        "PIP_NO_BINARY",
    }
    kept = {name: value for name, value in os.environ.items() if name not in elsewhere}
    return kept | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def run(command: list[str], plan: Plan, lock_handle: int, total: int = 0) -> None:
    """Run a step, its output into the log; on a terminal count the packages against ``total``.

    Raises ``SetupError`` with the last lines when it fails.
    """
    show_progress = total > 0 and sys.stdout.isatty()
    seen = 0
    tail: list[str] = []
    log_path = plan.venv / LOG
    with (
        log_path.open("a", encoding="utf-8", errors="replace") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=pip_environment(),
            pass_fds=(lock_handle,),
        ) as child,
    ):
        assert child.stdout is not None
        try:
            for line in child.stdout:
                log.write(line)
                if not line.startswith("WARNING: Location"):
                    tail = [*tail, line.rstrip()][-LAST_LINES:]
                if show_progress and line.startswith("Collecting "):
                    seen += 1
                    sys.stdout.write(f"\r\033[Kskep: package {seen} of {total}: {line.split()[1].partition('=')[0]}")
                    sys.stdout.flush()
        except KeyboardInterrupt:
            child.terminate()
            raise
        finally:
            if show_progress:
                sys.stdout.write("\r\033[K")
    if child.returncode != 0:
        text = log_path.read_text(encoding="utf-8", errors="replace")
        fix = next((hint for pattern, hint in HINTS if re.search(pattern, text)), f"read {log_path}, then run it again")
        shown = "".join(f"\n    {line}" for line in tail)
        raise SetupError(f"the install did not succeed (the whole log: {log_path}). Its last lines:{shown}", fix)


def pins(lock_bytes: bytes) -> set[str]:
    """The names of the packages that a lock file pins."""
    return {name.decode() for name in re.findall(rb"^([A-Za-z0-9][^\s=]*)==", lock_bytes, re.MULTILINE)}


def install(plan: Plan, lock_handle: int, unwanted: set[str]) -> None:
    """Bring the environment to what the lock pins, without the ``unwanted`` ones, and put its stamp last.

    Raises ``SetupError``.
    """
    lock_bytes = plan.lock.read_bytes()
    pip = [str(plan.python), "-I", "-m", "pip"]
    # Only wheels: building a source package would run code, and fetch build tools, that no hash covers.
    options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-warn-script-location"]
    run([*pip, "install", *options, "-r", str(plan.lock)], plan, lock_handle, len(pins(lock_bytes)))
    if unwanted:
        run([*pip, "uninstall", "--yes", *sorted(unwanted)], plan, lock_handle)
    run([str(plan.python), "-I", "-c", "import skep"], plan, lock_handle)
    (plan.venv / LOCK_COPY).write_bytes(lock_bytes)
    unfinished = plan.venv / (STAMP + ".new")
    unfinished.write_bytes(os.fsencode(plan.stamp))
    unfinished.replace(plan.venv / STAMP)


def create(plan: Plan, lock_handle: int) -> None:
    """Build the environment from nothing. Raises ``SetupError``."""
    clear(plan.venv)
    run([base_python(), "-I", "-m", "venv", str(plan.venv)], plan, lock_handle)
    site = next((plan.venv / "lib").glob("python3.*/site-packages"))
    # A plain path file instead of an editable install: no build step, and nothing is run at each start to find the package.
    (site / "skep-checkout.pth").write_bytes(os.fsencode(plan.root / "src") + b"\n")
    if plan.lock.name == "requirements.lock":
        (plan.venv / "bin" / "skep").symlink_to(plan.root / "skep")
    install(plan, lock_handle, unwanted=set())


def update(plan: Plan, lock_handle: int) -> None:
    """Follow a changed lock, replacing only what changed. Without its stamp meanwhile: interrupted, it is made anew."""
    unwanted = pins((plan.venv / LOCK_COPY).read_bytes()) - pins(plan.lock.read_bytes()) - {"pip"}
    (plan.venv / STAMP).unlink()
    (plan.venv / LOG).unlink(missing_ok=True)
    install(plan, lock_handle, unwanted)


def prepare(plan: Plan) -> None:
    """Make the environment unless another run did so while we waited. Raises ``SetupError``."""
    for path in (plan.root, plan.venv):
        if "\n" in str(path):
            raise SetupError(f"the path {str(path)!r} contains a line break", "move the checkout to another folder")
    lock_handle = take_lock(plan)
    try:
        if plan.is_complete():
            return
        begin = time.monotonic()
        if plan.is_outdated():
            say(f"updating {plan.title} in {plan.venv}")
            update(plan, lock_handle)
        else:
            say(f"setting up {plan.title} in {plan.venv} (a minute or less, once)")
            create(plan, lock_handle)
        say(f"ready after {time.monotonic() - begin:.0f} s")
    finally:
        os.close(lock_handle)


def main(arguments: list[str]) -> int:
    """Do it, and say in two lines what went wrong if it did."""
    root, venv, lock, title = arguments
    plan = Plan(root=Path(root), venv=Path(os.path.realpath(venv)), lock=Path(root, lock), title=title)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        prepare(plan)
    except SetupError as exc:
        say(str(exc))
        print(f"fix: {exc.fix}", flush=True)
        return 1
    except OSError as exc:
        say(f"the environment cannot be made in {plan.venv}: {exc}")
        print("fix: check that the folder can be written and the disk has room, or set SKEP_VENV to another folder")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next run starts the set-up again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What every test gets: none of the user's settings, a home of its own, no way to the outside, and the chosen level."""

from __future__ import annotations

import ipaddress
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator, Iterable

import pytest
from hypothesis import settings

from tests.lan import obstacle
from tests.levels import LEVELS, level

_KEPT = ("SKEP_TEST_", "SKEP_PYTHON")
_MEASURES_CHILDREN = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
_HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
_home_key = pytest.StashKey[str]()


def _isolate_environment() -> str:
    """Forget the user's Skep, home and git settings; return the new home. Child processes inherit all of it."""
    os.environ.setdefault("SKEP_TEST_ORIGINAL_HOME", os.environ.get("HOME", ""))
    for name in list(os.environ):
        ours = name.startswith("SKEP_") and not name.startswith(_KEPT)
        if ours or name == "METRICS_BACKEND" or name.startswith(("OTEL_", "DD_")):
            del os.environ[name]
    home = tempfile.mkdtemp(prefix="skep-test-home-")
    for name in _HOMES:
        os.environ.pop(name, None)
    os.environ["HOME"] = home
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for role in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{role}_NAME": "Tester", f"GIT_{role}_EMAIL": "tester@example.invalid"}
    for name in ("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)
    # A shell that starts us in the background lets us ignore interrupts, and so would all that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return home


def _is_here(address: object) -> bool:
    """Whether a socket address stays on this machine: a Unix socket, or loopback."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _refuse_outside(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and not _is_here(arguments[1]):
        raise PermissionError(f"tests must not reach {arguments[1]!r}; use a local fake")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_home_key] = _isolate_environment()
    level()
    # How long one example takes says how busy the machine is: each test has its time-out.
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")
    sys.addaudithook(_refuse_outside)


def pytest_unconfigure(config: pytest.Config) -> None:
    home = config.stash.get(_home_key, None)
    if home is not None:
        shutil.rmtree(home, ignore_errors=True)


def pytest_report_header() -> list[str]:
    told = [f"level: {level()} (SKEP_TEST_LEVEL: {', '.join(LEVELS)})"]
    reason = obstacle()
    return told if reason is None else [*told, f"without the tests of several machines: {reason}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what belongs to a higher level (pytest's closing line counts it); what costs most comes first.

    Else a long test that comes last, by chance, keeps one process busy while the others have nothing left to take.
    """
    rank = LEVELS.index(level())

    def belongs(item: pytest.Item) -> bool:
        return all(item.get_closest_marker(name) is None for name in LEVELS[rank + 1 :])

    chosen: list[pytest.Item] = [item for item in items if belongs(item)]
    left_out: Iterable[pytest.Item] = [item for item in items if not belongs(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = sorted(chosen, key=lambda item: item.get_closest_marker("no_cover") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure the processes that a test starts only where it is marked ``measured``.

    Being measured costs a command 0.3 s of computing, as much as it needs for all else.
    """
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("measured") is None:
            for name in _MEASURES_CHILDREN:
                patch.delenv(name, raising=False)
        return (yield)

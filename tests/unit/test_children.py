"""Children that start while our own code is still being loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from skep import children
from skep.children import Child, start_parser, start_parser_early, take_early_parser


def ours() -> list[psutil.Process]:
    return psutil.Process().children()


async def test_an_early_parser_is_taken_once_and_ended_by_who_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_has_another_core", lambda: True)
    start_parser_early()
    start_parser_early()
    child = take_early_parser()
    assert child is not None
    assert take_early_parser() is None
    assert len(ours()) == 1
    await child.end()
    assert ours() == []


async def test_an_early_parser_that_died_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_has_another_core", lambda: True)
    start_parser_early()
    (process,) = ours()
    process.kill()
    process.wait()
    assert take_early_parser() is None


def test_with_one_core_none_is_started_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "_has_another_core", lambda: False)
    start_parser_early()
    assert take_early_parser() is None
    assert ours() == []


def test_one_that_nobody_took_ends_with_us() -> None:
    """`skep index --help` starts one, too."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "from skep import children; import psutil; children._has_another_core = lambda: True;"
            "children.start_parser_early(); print(*(child.pid for child in psutil.Process().children()))",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(children.__file__).parent.parent)},
    )
    (pid,) = said.stdout.split()
    assert not psutil.pid_exists(int(pid))


async def test_a_child_reads_and_writes_one_socket(tmp_path: Path) -> None:
    runner = tmp_path / "echo.py"
    runner.write_text("import sys\nsys.stdout.write(sys.stdin.readline().upper())\n")
    child = Child(runner)
    await child.send(b"heron\n")
    assert await child.receive(6) == b"HERON\n"
    await child.wait()
    assert child.exit_code == 0
    await child.end()


async def test_ending_one_twice_or_after_its_end_is_no_error() -> None:
    child = start_parser()
    await child.end()
    await child.end()
    assert child.exit_code == -9

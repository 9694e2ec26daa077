from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from skep.server.orders import Task
from skep.server.process import WORK, load

LOADED = """
import sys
from skep.server.process import load
load(sys.argv[1])
print(*sorted({".".join(name.split(".")[:2]) for name in sys.modules}))
"""


def test_every_task_has_its_work() -> None:
    assert set(WORK) == set(get_args(Task))
    assert len({load(task) for task in WORK}) == len(WORK)


@pytest.mark.parametrize(
    ("task", "needless"),
    [("stop", {"skep.app", "skep.knowledge", "uvicorn"}), ("worker", {"skep.gateway", "starlette", "uvicorn"})],
)
def test_a_process_loads_only_what_its_work_needs(task: str, needless: set[str]) -> None:
    child = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{LOADED}", task]
    loaded = set(subprocess.run(child, capture_output=True, text=True, check=True, timeout=50).stdout.split())
    assert "skep.store" in loaded
    assert not loaded & needless

"""The documented way to use the scripted provider in a build server's run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.command import SOURCE, write

_TEST_OF_A_USER = """\
from openai import OpenAI

def test_weather():
    with OpenAI() as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "How is the weather?"}])
    assert answer.choices[0].message.tool_calls[0].function.name == "get_weather"
"""


def test_the_example_for_ci_runs_as_it_is_written(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/test-without-a-provider.md").read_text()
    (script,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (steps,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if "pytest" in block]
    python = f'exec "{sys.executable}" -P'
    write(
        tmp_path,
        {
            "tests/provider.yaml": script,
            "tests/test_weather.py": _TEST_OF_A_USER,
            "bin/skep": f'#!/bin/sh\n{python} -m skep "$@"\n',
            "bin/pytest": f'#!/bin/sh\n{python} -m pytest "$@"\n',
            # All that the example asks of it.
            "bin/jq": f'#!/bin/sh\n{python} -c \'import json; print(json.load(open("\'"$3"\'"))["url"])\'\n',
        },
    )
    for program in (tmp_path / "bin").iterdir():
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": SOURCE}
    done = subprocess.run(["bash", "-e", "-c", steps], cwd=tmp_path, env=environment, capture_output=True, timeout=50)
    assert done.returncode == 0, done
    assert b"1 passed" in done.stdout
    (entry,) = map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines())
    assert entry["rule"] == "asks for the weather"

"""``skep gateway status`` asks the running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.gateway.conftest import SOURCE, Served


def run(data: Path, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "skep", "gateway", "status", "--data-dir", str(data), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SKEP_")}
    environment["PYTHONPATH"] = SOURCE
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, cwd=data.parent)
    return ended.returncode, ended.stdout, ended.stderr


def test_it_shows_how_routes_fare(served: Served, tmp_path: Path) -> None:
    served.ask("ok")
    served.ask("cut_off")
    # Settings files are found from the current folder; this one needs a variable that only the server has.
    (tmp_path / "data").symlink_to(served.data)
    code, out, err = run(tmp_path / "data")
    assert (code, err) == (0, "")
    assert "provider raw (openai_compatible, http://127.0.0.1:" in out
    assert "route raw/cut_off: closed, " in out
    assert "last failure: malformed: its answer broke off" in out
    code, out, _ = run(tmp_path / "data", "--json")
    routes = {route["route"]: route for route in json.loads(out)["routes"]}
    assert routes["raw/ok"]["breaker"]["state"] == "closed"
    assert routes["raw/ok"]["calls"] >= 1


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    code, _, err = run(tmp_path / "data")
    assert code == 4
    assert "skep up" in err

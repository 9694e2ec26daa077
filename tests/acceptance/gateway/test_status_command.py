"""``skep gateway status`` asks the running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.gateway.conftest import SOURCE, Served


def run(data: Path, *arguments: str, group: str = "gateway", database: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "skep", "--data-dir", str(data), group, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SKEP_")}
    # Not from a folder with a settings file: the server's needs a variable that only the server has.
    environment["PYTHONPATH"] = SOURCE
    if database:
        environment["SKEP_DATABASE_URL"] = database
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment, cwd="/")
    return ended.returncode, ended.stdout, ended.stderr


def test_it_shows_how_routes_fare(served: Served) -> None:
    served.ask("ok")
    served.ask("cut_off")
    code, out, err = run(served.data, "status")
    assert (code, err) == (0, "")
    assert "provider raw (openai_compatible, http://127.0.0.1:" in out
    assert "route raw/cut_off: breaker closed, " in out
    assert "last failure: malformed: its answer broke off" in out
    code, out, _ = run(served.data, "status", "--json")
    routes = {route["route"]: route for route in json.loads(out)["routes"]}
    assert routes["raw/ok"]["breaker"]["state"] == "closed"
    assert routes["raw/ok"]["calls"] >= 1


def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    code, _, err = run(tmp_path / "data", "status")
    assert code == 4
    assert "skep up" in err


def test_who_holds_parts_of_budgets_and_is_alive_is_not_released(served: Served) -> None:
    served.ask("ok")
    code, out, err = run(served.data, "leases", database=served.database)
    assert (code, err) == (0, "")
    assert ": alive; parts of " in out
    code, out, _ = run(served.data, "leases", "--json", database=served.database)
    (process, *_) = json.loads(out)["processes"]
    code, _, err = run(served.data, "release", str(process["process_id"]), database=served.database)
    assert code == 1
    assert "may still live" in err
    assert "skep gateway leases" in err

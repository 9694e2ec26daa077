"""The log of `skep up` in files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.serving import ONLY_JOBS, eventually, starting

MAX_BYTES = 65_536
REQUESTS = 1_200


def test_each_process_writes_a_file_that_is_begun_anew_and_packed(tmp_path: Path, database_url: str) -> None:
    logs = tmp_path / "logs"
    settings = {"FOLDER": str(logs), "MAX_BYTES": str(MAX_BYTES), "KEEP": "2", "FORMAT": "json"}
    said = {f"SKEP_LOG_{name}": value for name, value in settings.items()}
    with starting(tmp_path / "data", SKEP_DATABASE_URL=database_url, **ONLY_JOBS, **said) as run:
        up = run()
        client, key = up.client(), up.key
        for _ in range(REQUESTS):
            # A key in the path: it must not come to stand in the log.
            assert client.get(f"/api/v1/keys/{key}").status_code == 404
        with eventually() as waits:
            while len(packed := sorted(logs.glob("http-1.*.log.gz"))) < 2 and waits():
                pass
        assert up.end() == 0
        assert '"event"' not in up.log.read_text()
    assert {path.name for path in logs.glob("*.log")} == {"server.log", "http-1.log", "worker.log"}
    assert len(list(logs.glob("http-1.*.gz"))) == 2
    texts = [*(gzip.decompress(path.read_bytes()).decode() for path in packed), (logs / "http-1.log").read_text()]
    assert all(len(text.encode()) <= MAX_BYTES for text in texts)
    lines: list[dict[str, Any]] = [json.loads(line) for text in texts for line in text.splitlines()]
    assert sum(line["event"] == "request" and line["status"] == 404 for line in lines) > REQUESTS / 4
    assert lines[-1]["event"] != "request", "what is said while it ends is written too"
    assert key.rsplit("_", 1)[1] not in "".join(texts)

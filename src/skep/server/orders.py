"""What a child process of ours is told: one JSON object as its only argument. Nothing secret stands in it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from skep.settings import CommandLine

Task = Literal["http", "worker", "embedder", "watcher", "pusher", "examine", "stop"]


@dataclass(frozen=True, slots=True)
class Orders:
    """``role``: serve HTTP on the inherited socket ``listener``, do jobs, embed passages, watch folders, push
    metrics, examine the installation, or stop the embedded database.
    """

    role: Task
    config: str | None = None
    overrides: Mapping[str, object] = field(default_factory=dict)
    listener: int = -1
    supervised: bool = False
    """Standard input is a pipe that closes when our parent is gone; then we end too."""
    concurrency: int = 0
    """Of the worker: jobs at the same time; 0: one on this machine's folders and `FLEET_CONCURRENCY` besides."""
    queues: Sequence[str] = ()
    """Of the worker: which queues; none for all."""
    until_done: bool = False
    """Of the embedder: end when nothing is left to embed."""
    metrics_memory: int = -1
    """The inherited memory in which HTTP processes count together; -1 for none."""
    metrics_part: int = 0
    """Which part of it is this process's, from 0."""
    metrics_since_ns: int = 0
    """When that memory was made; nanoseconds after 1970."""
    metrics_told: int = -1
    """The inherited memory of what was pushed already; -1 for who pushes nothing."""

    @property
    def log_name(self) -> str:
        """Of the log file of this process, without its ending; empty for one that only answers its parent."""
        if self.role in ("examine", "stop"):
            return ""
        return f"http-{self.metrics_part + 1}" if self.role == "http" else self.role

    @staticmethod
    def for_command(
        role: Task,
        said: CommandLine,
        *,
        listener: int = -1,
        supervised: bool = False,
        concurrency: int = 0,
        queues: Sequence[str] = (),
        until_done: bool = False,
    ) -> Orders:
        """Orders that make a child read the same settings as this command did."""
        overrides = {name: str(value) if isinstance(value, Path) else value for name, value in said.overrides.items()}
        config = None if said.config is None else str(said.config)
        return Orders(role, config, overrides, listener, supervised, concurrency, queues, until_done)

    @property
    def said(self) -> CommandLine:
        """What the command line said about the settings."""
        return CommandLine(None if self.config is None else Path(self.config), self.overrides)

    def command(self) -> list[str]:
        """The command line of the child: this Python, started as we were, but never with modules of the current folder."""
        program = Path(__file__).with_name("process.py")
        isolation = "-I" if sys.flags.isolated else "-P"
        return [sys.executable, isolation, str(program), json.dumps(asdict(self))]

    @staticmethod
    def parse(text: str) -> Orders:
        """The orders in an argument."""
        return Orders(**json.loads(text))

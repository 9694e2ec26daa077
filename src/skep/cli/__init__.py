"""The command line."""

from __future__ import annotations

from skep.cli.main import COMMANDS, main

__all__ = ["COMMANDS", "main"]

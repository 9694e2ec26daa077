"""Starts the supervisor by this file's path: python -I -S run_supervisor.py MARKER (the marker is for people and ps).

``python -m`` would import the packages above, and with them everything the product is made of, into a process that is
to stay small. So the packages are entered here by name only; their ``__init__`` files do not run.
"""

from __future__ import annotations

import importlib
import os
import sys


def _enter_packages() -> None:
    path = os.path.dirname(os.path.abspath(__file__))
    for name in ("skep.store.embedded", "skep.store", "skep"):
        package = type(sys)(name)
        package.__path__ = [path]
        sys.modules[name] = package
        path = os.path.dirname(path)


if __name__ == "__main__":
    _enter_packages()
    importlib.import_module("skep.store.embedded.supervisor").main()

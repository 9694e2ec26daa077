"""Starts the parse worker by this file's path: `python -P run_parse_worker.py NICENESS`.

`python -m` would put the current folder, which may be the one that is indexed, before all modules, and import the packages
above, and with them the database and all else that cutting does not need (0.3 s and 40 MB for each worker). So the packages
are entered here by name only; their `__init__` files do not run.
"""

from __future__ import annotations

import importlib
import os
import sys


def _enter_packages() -> None:
    path = os.path.dirname(os.path.abspath(__file__))
    for name in ("skep.knowledge", "skep"):
        package = type(sys)(name)
        package.__path__ = [path]
        sys.modules[name] = package
        path = os.path.dirname(path)


if __name__ == "__main__":
    _enter_packages()
    importlib.import_module("skep.knowledge.parse_worker").main(int(sys.argv[1]))

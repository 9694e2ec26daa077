"""Starts the reader by this file's path: `python -I -S run_reader.py FOLDER ...`, its socket being standard input.

The folders hold the few libraries that it needs. Packages of ours are entered by name only: their `__init__` files would import
what the sandbox does not have.
"""

from __future__ import annotations

import importlib
import os
import sys


def enter_packages(folders: list[str]) -> None:
    """Make our modules and the libraries in these folders importable."""
    sys.path += folders
    path = os.path.dirname(os.path.abspath(__file__))
    for name in ("skep.documents", "skep"):
        package = type(sys)(name)
        package.__path__ = [path]
        sys.modules[name] = package
        path = os.path.dirname(path)


if __name__ == "__main__":
    enter_packages(sys.argv[1:])
    socket = importlib.import_module("socket")
    importlib.import_module("skep.documents.reader_process").serve(socket.socket(fileno=0))

"""A build backend that builds nothing: it answers pip's question for metadata from the PKG-INFO each sdist has.

`pip download` asks an sdist's own backend for metadata, which would need Rust for one package and run the setup.py of
another. A benchmark only reads the files, so `bench.corpus` puts this module in the place of every backend.
"""

from __future__ import annotations

import email
import sys
from pathlib import Path
from typing import NoReturn

BACKENDS = ("setuptools.build_meta", "hatchling.build", "maturin")
"""The backends that the packages of ``corpus.toml`` name."""

__legacy__ = sys.modules[__name__]
"""What pip asks setuptools for when a package names no backend (PEP 517)."""

Config = dict[str, object] | None


def get_requires_for_build_wheel(config_settings: Config = None) -> list[str]:  # noqa: ARG001 - PEP 517 says so
    """Nothing is needed to read a file."""
    return []


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: Config = None) -> str:  # noqa: ARG001
    """Copy PKG-INFO of the current folder; returns the name of the dist-info folder. PEP 517."""
    text = Path("PKG-INFO").read_bytes()
    stated = email.message_from_bytes(text)
    name = f"{stated['Name'].replace('-', '_')}-{stated['Version']}.dist-info"
    folder = Path(metadata_directory, name)
    folder.mkdir()
    (folder / "METADATA").write_bytes(text)
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    return name


def build_wheel(*_: object) -> NoReturn:
    """Never asked for by `pip download`."""
    raise NotImplementedError("only the files of this package are wanted")

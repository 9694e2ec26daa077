"""What tests put in the place of model providers: a server that speaks their wire formats and follows a script."""

from __future__ import annotations

from skep.fakes.interfaces import (
    FakeAddressError,
    FakeTlsError,
    ScriptInvalidError,
    ScriptUnreadableError,
    TruthLogError,
)
from skep.fakes.models import Script
from skep.fakes.script import load_script, parse_script, script_reference
from skep.fakes.server import FakeOptions, serve_script

__all__ = [
    "FakeAddressError",
    "FakeOptions",
    "FakeTlsError",
    "Script",
    "ScriptInvalidError",
    "ScriptUnreadableError",
    "TruthLogError",
    "load_script",
    "parse_script",
    "script_reference",
    "serve_script",
]

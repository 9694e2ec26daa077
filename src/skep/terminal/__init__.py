r"""How commands speak: data on standard output, talk on standard error, and nothing that could drive the terminal.

With ``--json`` a command writes exactly one object, on one line of standard output: its result, or, when it failed,

    {"error": {"code": "invalid_settings", "message": "...", "fix": "...", "fields": {...}}}

Names of files and texts out of files come from strangers. A terminal obeys control characters, so every line written here shows
them as escapes instead (``\x1b``); JSON is plain ASCII. A name with bytes that are no UTF-8 is shown with those bytes as
``\xff``, and stands in JSON as Python reads it (lone surrogates), so that ``os.fsencode`` gives the name back.
"""

from __future__ import annotations

from skep.terminal.interfaces import OutputError
from skep.terminal.service import DETAILS_FIELD, ProgressBar, Terminal, error_object
from skep.terminal.text import printable, printable_lines, to_json

__all__ = [
    "DETAILS_FIELD",
    "OutputError",
    "ProgressBar",
    "Terminal",
    "error_object",
    "printable",
    "printable_lines",
    "to_json",
]

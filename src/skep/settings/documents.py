"""What is written from the rows: the reference page, and the commented file of ``skep init``."""

from __future__ import annotations

import os
import textwrap
from contextlib import suppress
from pathlib import Path

from skep.settings.interfaces import SettingsFileExistsError, SettingsFileUnwritableError
from skep.settings.locate import FILE_NAME, MAX_FILE_BYTES, in_folder
from skep.settings.rows import Row, all_rows, sections

_INTRODUCTION = f"""\
# Settings

<!-- Generated from src/skep/settings/models.py; a test compares the two. -->

Skep works without any settings. What you want different stands in one file, `{FILE_NAME}`; `skep init` writes one with
every setting commented out, `skep config check` checks it, and `skep config show --origin` shows what counts and why.

The file is the first of these that is there:

1. the file named by `--config`;
2. the file named by the environment variable `SKEP_CONFIG`;
3. `{FILE_NAME}` in the current folder or the nearest folder above it (but not one that another user put into a folder where
   everyone may write, such as `/tmp`);
4. `$XDG_CONFIG_HOME/skep/{FILE_NAME}`, else `~/.config/skep/{FILE_NAME}`.

Where a setting is said more than once, the command line wins over the environment, the environment over the file, and the
file over the default.

**Environment variables.** Every setting has one: `SKEP_`, its section and its name, such as `SKEP_SERVER_PORT` for
`server.port`; `SKEP_HOME` is short for `SKEP_DATA_FOLDER`, and `METRICS_BACKEND` for `SKEP_METRICS_BACKEND`. Lists are written
with commas between their parts or as a JSON array. An empty variable counts as unset. A variable that starts with `SKEP_` and
means nothing is a warning in `skep config check`. A few settings that are said nowhere are taken from variables of other programs,
such as `OTEL_EXPORTER_OTLP_ENDPOINT`; they stand with the setting.

**In the file**, `${{NAME}}` stands for an environment variable, and `${{NAME:-default}}` for the default when the variable is
unset or empty; `$$` is a `$`. Relative paths start from the folder of the file. Names that do not exist, names said twice,
values out of bounds and YAML aliases are errors, told all at once with line and column. The file may have up to
{MAX_FILE_BYTES // 1024} KiB.

The sections `providers`, `models` and `roles` have a page of their own: [providers and models](providers.md); so have [`guards`](../how-to/guard-calls.md) and
[`services`](../how-to/call-other-services.md).

Secrets are never printed. Keep them out of the file: `url: ${{PGURL}}`.
"""

_FILE_HEADER = """\
# Settings of Skep. Each setting stands below its description with its default: remove the "# " before it to change it.
# ${NAME} stands for an environment variable, ${NAME:-default} has a default, $$ is a dollar sign.
# `skep config check` checks this file; `skep config show --origin` shows what counts.
"""

_WIDTH = 110


def settings_reference() -> str:
    """The reference page of all settings, in Markdown."""
    parts = [_INTRODUCTION]
    for name, section in sections().items():
        rows = [row for row in all_rows() if row.section == name]
        title, sentence = (
            (f"`{name}`", _first_line(section)) if name else ("Top level", "Settings outside any section.")
        )
        parts.append(f"\n## {title}\n\n{sentence}\n")
        parts.extend(_reference_entry(row) for row in rows)
    return "".join(parts)


def commented_file() -> str:
    """A settings file that changes nothing and shows every setting with its default and meaning."""
    parts = [_FILE_HEADER]
    for name, section in sections().items():
        indent = "  " if name else ""
        if name:
            parts.append(f"\n# {_first_line(section)}\n{name}:\n")
        for row in (row for row in all_rows() if row.section == name):
            parts.append("" if name and parts[-1].endswith(f"{name}:\n") else "\n")
            words = f"{row.facts.sentence}{_meanings(row)}{_bounds(row)}"
            parts.extend(f"{indent}## {line}\n" for line in textwrap.wrap(words, _WIDTH))
            parts.append(f"{indent}# {row.field}: {row.facts.example or row.default_text}\n")
    return "".join(parts)


def write_commented_file(path: Path, *, force: bool = False) -> Path:
    """Writes ``commented_file()`` to the path, or to ``skep.yaml`` in it when it is a folder, and returns where.

    With ``force`` it replaces what is there, as a whole or not at all. Raises SettingsFileExistsError (without ``force``),
    SettingsFileUnwritableError.
    """
    path = in_folder(path.absolute())
    target = path.with_name(f".{path.name}.{os.getpid()}") if force else path
    try:
        with target.open("w" if force else "x", encoding="utf-8") as file:
            file.write(commented_file())
        if force:
            target.replace(path)
    except FileExistsError as exc:
        raise SettingsFileExistsError(path=path) from exc
    except OSError as exc:
        with suppress(OSError):
            # Half a file; where even this fails there was none.
            target.unlink()
        raise SettingsFileUnwritableError(path=path, reason=exc.strerror or str(exc)) from exc
    return path


def _reference_entry(row: Row) -> str:
    variables = " or ".join(f"`{variable}`" for variable in row.variables)
    borrowed = ", then ".join(f"`{variable}`" for variable in row.facts.borrowed_variables)
    otherwise = f"; where none says it, {borrowed}" if borrowed else ""
    facts = f"Expected: {row.expected}. Default: `{row.default_text}`. Environment: {variables}{otherwise}."
    return f"\n### `{row.name}`\n\n{row.facts.sentence}{_meanings(row)}\n\n{facts}\n"


def _meanings(row: Row) -> str:
    return f" {row.meanings[0].upper()}{row.meanings[1:]}." if row.meanings else ""


def _bounds(row: Row) -> str:
    """What a reader of the commented file cannot tell from the default."""
    return f" Expected: {row.expected}." if row.kind in ("integer", "choice") else ""


def _first_line(section: type[object]) -> str:
    return (section.__doc__ or "").partition("\n")[0]

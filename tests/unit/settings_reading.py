"""How the tests of the settings read settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from skep.settings import InvalidSettingsError, Settings, load_settings

PASSWORD = "hunter2-correct-horse"


def load(folder: Path, text: str | None = None, /, **environ: str) -> Settings:
    """Settings read in a folder of its own, with a home beside it that has nothing to say."""
    if text is not None:
        (folder / "skep.yaml").write_text(text, encoding="utf-8")
    environ = {"HOME": str(folder / "home"), **environ}
    return load_settings(None, environ, folder)


def problems(folder: Path, text: str, **environ: str) -> list[tuple[str, int | None, int | None, str]]:
    """What is wrong with a file: field, line, column, and the reason with its suggestion."""
    with pytest.raises(InvalidSettingsError) as caught:
        load(folder, text, **environ)
    found = caught.value.problems
    assert all(problem.where.file == folder / "skep.yaml" for problem in found)
    return [(each.field, each.where.line, each.where.column, f"{each.reason}|{each.nearest}") for each in found]


def dig(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from skep.settings import (
    SettingsFileExistsError,
    SettingsFileUnwritableError,
    all_rows,
    commented_file,
    load_settings,
    settings_reference,
    value_of,
    write_commented_file,
)

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_reference()


def test_reference_names_every_setting_with_default_and_variable() -> None:
    page = settings_reference()
    for row in all_rows():
        entry = page.partition(f"### `{row.name}`\n")[2].partition("\n#")[0]
        for part in (row.facts.sentence, f"`{row.default_text}`", f"`{row.variable}`", row.unit, row.facts.zero):
            assert part in entry, row.name


def test_commented_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "skep.yaml").write_text(commented_file())
    with_file = load_settings(None, {"HOME": "/home/ada"}, tmp_path)
    assert with_file.file == tmp_path / "skep.yaml"
    assert with_file.origins == {}


def test_every_line_of_the_commented_file_can_be_uncommented(tmp_path: Path) -> None:
    """Taking away the "# " of the settings gives a valid file that says every default."""
    text = re.sub(r"(?m)^( *)# ([a-z_]+: )", r"\1\2", commented_file())
    (tmp_path / "skep.yaml").write_text(text)
    settings = load_settings(None, {"HOME": "/home/ada"}, tmp_path)
    assert settings.origins.keys() == {row.name for row in all_rows()}
    assert settings.data_folder == Path("/home/ada/.local/share/skep")
    for row in all_rows():
        assert row.name == "data_folder" or value_of(settings, row) == row.default


def test_write_refuses_to_overwrite(tmp_path: Path) -> None:
    path = write_commented_file(tmp_path)
    assert path == tmp_path / "skep.yaml"
    assert path.read_text() == commented_file()
    path.write_text("mine")
    for target in (tmp_path, path):
        with pytest.raises(SettingsFileExistsError):
            write_commented_file(target)
    assert path.read_text() == "mine"
    write_commented_file(path, force=True)
    assert path.read_text() == commented_file()
    assert list(tmp_path.iterdir()) == [path]


def test_write_says_why_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.yaml" / "skep.yaml").mkdir(parents=True)
    cases = {"no/such/skep.yaml": "No such file", "file/skep.yaml": "Not a directory"}
    for name, reason in cases.items():
        with pytest.raises(SettingsFileUnwritableError, match=reason):
            write_commented_file(tmp_path / name)
    with pytest.raises(SettingsFileUnwritableError):
        write_commented_file(tmp_path / "folder.yaml", force=True)
    assert [each.name for each in (tmp_path / "folder.yaml").iterdir()] == ["skep.yaml"]


def test_reading_defaults_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from skep.settings import load_settings; import skep.terminal;"
        f"load_settings(None, {{'HOME': '/home/ada'}}, Path({str(tmp_path)!r}));"
        "print(sorted({'yaml', 'pydantic', 'rich', 'difflib', 'typer', 'platformdirs'} & set(sys.modules)))"
    )
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")

"""The reference says what the code says, and links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from skep.cli import COMMANDS
from skep.cli.lazy import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])


def test_generated_pages_are_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, f"run docs/generate.py; {checked.stderr}"


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_table_of_commands_says_what_each_command_says(row: object) -> None:
    command = next(one for one in COMMANDS if one is row)
    assert (load(command).help or "").startswith(command.summary)


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_every_command_shows_examples(row: object) -> None:
    command = load(next(one for one in COMMANDS if one is row))
    members = getattr(command, "commands", None) or {"": command}
    assert [name for name, member in members.items() if "Examples:" not in (member.epilog or "")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []

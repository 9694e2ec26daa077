"""Everything that administrators do with keys, budgets, limits and projects, on one database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skep.access import Keys, Projects
from skep.spend.key_rules import MeteredKeys
from skep.spend.rulebook import Rulebook
from skep.spend.rules import Rules
from skep.store import Database


@dataclass(frozen=True, slots=True)
class Administration:
    """The services that faces hand their callers' wishes to."""

    keys: MeteredKeys
    rulebook: Rulebook
    projects: Projects


def administer(database: Database, key_file: Path) -> Administration:
    """On an opened database. ``key_file`` is that of `Access`."""
    keys, rules = Keys(database, key_file=key_file), Rules(database)
    return Administration(MeteredKeys(keys, rules), Rulebook(rules, keys), Projects(database))

"""Reads the settings again while the server runs. What is wrong is refused as a whole, and the old ones go on."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from skep.errors import SkepError
from skep.observe import event, set_log_level
from skep.server.gateway_opening import gateway_config, reconfigure_gateway
from skep.server.interfaces import ReloadRefusedError
from skep.server.opening import Opening
from skep.settings import OPEN_SECTIONS, CommandLine, InvalidSettingsError, Settings, all_rows, load_settings, value_of

FOLLOWED_SECTIONS = ("gateway",)
FOLLOWED_SETTINGS = ("log.level",)
"""Besides the sections providers and models: what counts at once. Everything else is read when the server starts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What reading the settings again has changed."""

    process: int
    changed: tuple[str, ...]
    """What counts from now on in every process of this server; ``providers`` and ``models`` as a whole."""
    needs_restart: tuple[str, ...]
    """What is said differently now, and counts when the server is started anew."""


@dataclass(slots=True)
class Followed:
    """The settings that count now, as far as they can change while the server runs."""

    settings: Settings


Reload = Callable[[], Awaitable[Reloaded]]


async def no_reload() -> Reloaded:
    """For a server that was put together without settings to be read again."""
    raise ReloadRefusedError(reason="this server cannot read its settings again")


class Reloader:
    """``said``: what the command line says about the settings. ``spread`` has the other processes read them, too."""

    def __init__(self, said: CommandLine, followed: Followed, opening: Opening, spread: Callable[[], None]) -> None:
        self._said = said
        self._followed = followed
        self._opening = opening
        self._spread = spread
        self._turn = asyncio.Lock()

    async def reload(self) -> Reloaded:
        """Read the settings again, and have every process of this server do so. Raises ReloadRefusedError."""
        reloaded = await self._follow()
        self._spread()
        return reloaded

    async def follow(self) -> None:
        """Read the settings again because somebody said so by a signal; what is wrong is logged."""
        try:
            reloaded = await self._follow()
        except ReloadRefusedError as error:
            event(_log, logging.ERROR, "settings refused, the old ones go on", reason=str(error.fields["reason"]))
        else:
            changed, later = ", ".join(reloaded.changed), ", ".join(reloaded.needs_restart)
            event(_log, logging.INFO, "settings read again", changed=changed or None, needs_restart=later or None)

    async def _follow(self) -> Reloaded:
        async with self._turn:
            old = self._followed.settings
            try:
                # In a thread: streams go on meanwhile.
                new = await asyncio.to_thread(_read, self._said)
                self._followed.settings = new
                if self._opening.is_open:
                    reconfigure_gateway(self._opening.gateway, new)
            except InvalidSettingsError as error:
                raise ReloadRefusedError(reason="; ".join(map(str, error.problems))) from error
            except SkepError as error:
                raise ReloadRefusedError(reason=str(error)) from error
            set_log_level(new.log.level)
            changed, later = differences(old, new)
            return Reloaded(os.getpid(), changed, later)


def _read(said: CommandLine) -> Settings:
    settings = load_settings(said)
    gateway_config(settings)
    return settings


def differences(old: Settings, new: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What two settings say differently: what counts at once, and what needs a restart. Pure."""
    followed = [name for name in OPEN_SECTIONS if _section(old, name) != _section(new, name)]
    later: list[str] = []
    for row in all_rows():
        if value_of(old, row) != value_of(new, row):
            is_followed = row.section in FOLLOWED_SECTIONS or row.name in FOLLOWED_SETTINGS
            (followed if is_followed else later).append(row.name)
    return tuple(followed), tuple(later)


def _section(settings: Settings, name: str) -> object:
    section = settings.open_sections.get(name)
    return None if section is None else section.value

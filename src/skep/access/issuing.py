"""Keys and projects are made, shown, given other secrets and taken back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from skep.access.allowing import NAME_RULE, check_wish, is_name
from skep.access.interfaces import (
    KeyExistsError,
    KeyNotFoundError,
    KeyUnusableError,
    LastAdminKeyError,
    OverlapInvalidError,
    ProjectExistsError,
    ProjectNameError,
    ProjectNotFoundError,
    ProjectsForeignError,
)
from skep.access.keys import ParsedKey, key_hmac, new_key, parse_key
from skep.access.models import Key, KeyWish, NewKey, Principal, Project
from skep.access.service import DEFAULT_PROJECT, queries, read_key_file, require_role, write_key_file
from skep.store import Connection, Database

Within = Callable[[Connection, str], Awaitable[None]]
"""Does something in the transaction that makes or ends a key, whose id it gets; what it raises undoes both."""

DEFAULT_OVERLAP_HOURS = 24.0
MOST_OVERLAP_HOURS = 24.0 * 365

_HOUR_SECONDS = 3600


async def _nothing(_connection: Connection, _key_id: str) -> None:
    """For keys without company."""


class Keys:
    """The keys of the principal's project. Everything here needs the role ``admin``.

    ``key_file`` is that of `Access`: when the key in it gets another secret, that is written there.
    """

    def __init__(self, database: Database, *, key_file: Path) -> None:
        self._database = database
        self._key_file = key_file

    async def create(self, principal: Principal, wish: KeyWish, within: Within = _nothing) -> NewKey:
        """A new key. Raises KeyWishInvalidError, KeyExistsError."""
        require_role(principal, "admin")
        check_wish(wish, datetime.now(UTC))
        key = new_key()
        async with self._changing(principal) as (connection, pepper):
            await insert_key(connection, principal.project_id, key, pepper, wish)
            await within(connection, key.key_id)
        return NewKey(key.text, await self.get(principal, key.key_id))

    async def all(self, principal: Principal, *, revoked: bool = False) -> list[Key]:
        """Every key, the newest first; with ``revoked`` those too, after the others."""
        require_role(principal, "admin")
        return await self._fetch(principal, None, revoked=revoked)

    async def get(self, principal: Principal, name: str) -> Key:
        """The key of an id or a name; a revoked one only where no other is meant. Raises KeyNotFoundError."""
        require_role(principal, "admin")
        found = await self._fetch(principal, name, revoked=True)
        if not found:
            raise KeyNotFoundError(what="key", name=name[:100])
        return found[0]

    async def revoke(self, principal: Principal, name: str, within: Within = _nothing) -> Key:
        """End a key, by its id or name, for good. One that was revoked before is shown as it is.

        Other processes hear of it at once while the database is reachable. Raises KeyNotFoundError, LastAdminKeyError.
        """
        key = await self.get(principal, name)
        bound = {"project_id": principal.project_id, "key_id": key.id}
        async with self._changing(principal) as (connection, _):
            if key.role == "admin":
                cursor = await connection.execute(queries["count_lasting_admin_keys"], bound)
                row = await cursor.fetchone()
                if key.state != "revoked" and (row is None or row[0] == 0):
                    raise LastAdminKeyError(what="the project", name=key.name)
            await connection.execute(queries["revoke_key"], bound)
            await within(connection, key.id)
        return await self.get(principal, key.id)

    async def rotate(self, principal: Principal, name: str, *, overlap_hours: float = DEFAULT_OVERLAP_HOURS) -> NewKey:
        """Give a key another secret; the one before is as good for so long, at most until the next rotation.

        It stays the same key: its rules and what was counted go on. Raises KeyNotFoundError, KeyUnusableError,
        OverlapInvalidError, KeyFileUnwritableError.
        """
        if not 0 <= overlap_hours <= MOST_OVERLAP_HOURS:
            raise OverlapInvalidError(hours=overlap_hours, most_hours=f"{MOST_OVERLAP_HOURS:g}")
        key = await self.get(principal, name)
        if key.state != "active":
            raise KeyUnusableError(what="the key", name=key.name, state=key.state)
        made = new_key(key.id)
        bound = {"project_id": principal.project_id, "key_id": key.id, "overlap_seconds": overlap_hours * _HOUR_SECONDS}
        with self._kept(made):
            async with self._changing(principal) as (connection, pepper):
                await connection.execute(queries["rotate_key"], bound | {"secret_hmac": key_hmac(made, pepper)})
        return NewKey(made.text, await self.get(principal, key.id))

    @contextmanager
    def _kept(self, key: ParsedKey) -> Iterator[None]:
        """Write the secret down if its key is that of the key file: before it counts, so that it cannot be lost between."""
        before = read_key_file(self._key_file) or ""
        kept = parse_key(before)
        if kept is None or kept.key_id != key.key_id:
            yield
            return
        write_key_file(self._key_file, key.text)
        try:
            yield
        except BaseException:
            write_key_file(self._key_file, before)
            raise

    @asynccontextmanager
    async def _changing(self, principal: Principal) -> AsyncIterator[tuple[Connection, bytes]]:
        """A transaction in which nobody else changes the project's keys, and the project's pepper."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(queries["lock_own_project"], {"project_id": principal.project_id})
            row = await cursor.fetchone()
            yield connection, b"" if row is None else row[0]

    async def _fetch(self, principal: Principal, name: str | None, *, revoked: bool) -> list[Key]:
        bound = {"project_id": principal.project_id, "all": revoked, "name": name}
        found = await self._database.fetch_all(Key, queries["fetch_keys"], bound)
        return [
            replace(key, models=_tuple(key.models), faces=_tuple(key.faces), addresses=_tuple(key.addresses))
            for key in found
        ]


class Projects:
    """All projects, for administrators of the first one; others see their own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, principal: Principal, name: str, *, local_only: bool = False) -> tuple[Project, NewKey]:
        """A new project, and its first administrator's key. ``local_only``: see `Project`.

        Raises ProjectsForeignError, ProjectNameError, ProjectExistsError.
        """
        _require_first(principal)
        if not is_name(name):
            raise ProjectNameError(name=repr(name[:100]), rule=NAME_RULE)
        key, pepper, wish = new_key(), secrets.token_bytes(32), KeyWish("admin", "admin")
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                queries["insert_project"], {"name": name, "pepper": pepper, "local_only": local_only}
            )
            row = await cursor.fetchone()
            if row is None:
                raise ProjectExistsError(what="a project", name=name)
            await insert_key(connection, row[0], key, pepper, wish)
        shown = Key(
            id=key.key_id,
            name=wish.name,
            role=wish.role,
            state="active",
            models=None,
            faces=None,
            addresses=None,
            user=None,
            tier=None,
            local_only=False,
            created_at=row[1],
            expires_at=None,
            rotated_at=None,
            previous_until=None,
            revoked_at=None,
        )
        return Project(row[0], name, row[1], keys=1, local_only=local_only), NewKey(key.text, shown)

    async def change(self, principal: Principal, name: str, *, local_only: bool) -> Project:
        """Say whether the calls of a project stay in the house: all processes go by it at once, as by a change of a key.

        Raises ProjectsForeignError, ProjectNotFoundError.
        """
        _require_first(principal)
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                queries["set_project_local_only"], {"name": name[:100], "local_only": local_only}
            )
            row = await cursor.fetchone()
            if row is None:
                raise ProjectNotFoundError(what="project", name=name[:100])
            await connection.execute(queries["tell_keys_of_project"], {"project_id": row[0]})
        (project,) = await self._database.fetch_all(Project, queries["fetch_projects"], {"project_id": row[0]})
        return project

    async def all(self, principal: Principal) -> list[Project]:
        """Those the principal may see, by name."""
        require_role(principal, "admin")
        own = None if principal.project_name == DEFAULT_PROJECT else principal.project_id
        return await self._database.fetch_all(Project, queries["fetch_projects"], {"project_id": own})


def _require_first(principal: Principal) -> None:
    """Raises RoleTooLowError, ProjectsForeignError unless an administrator of the first project asks."""
    require_role(principal, "admin")
    if principal.project_name != DEFAULT_PROJECT:
        raise ProjectsForeignError(home=DEFAULT_PROJECT, project_name=principal.project_name)


async def insert_key(connection: Connection, project_id: int, key: ParsedKey, pepper: bytes, wish: KeyWish) -> None:
    """Store a key that was checked. Raises KeyExistsError."""
    cursor = await connection.execute(
        queries["insert_wished_key"],
        {
            "key_id": key.key_id,
            "project_id": project_id,
            "name": wish.name,
            "role": wish.role,
            "secret_hmac": key_hmac(key, pepper),
            "models": _list(wish.models),
            "faces": _list(wish.faces),
            "addresses": _list(wish.addresses),
            "user": wish.user,
            "tier": wish.tier,
            "local_only": wish.local_only,
            "expires_at": wish.expires_at,
        },
    )
    if await cursor.fetchone() is None:
        raise KeyExistsError(what="a key", name=wish.name)


def _list(entries: tuple[str, ...] | None) -> list[str] | None:
    return None if entries is None else list(entries)


def _tuple(entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
    # The database gives lists.
    return None if entries is None else tuple(entries)

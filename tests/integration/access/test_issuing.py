"""Keys and projects against a real database: made, renewed, revoked, and how soon every process knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from skep.access import (
    Access,
    KeyExistsError,
    KeyFileUnwritableError,
    KeyInvalidError,
    KeyNotFoundError,
    Keys,
    KeyUnusableError,
    KeyWish,
    KeyWishInvalidError,
    LastAdminKeyError,
    OverlapInvalidError,
    Principal,
    ProjectExistsError,
    ProjectNameError,
    Projects,
    ProjectsForeignError,
    RoleTooLowError,
    remembering,
    service,
)
from skep.store import Connection, Database, ExternalServer
from tests.silent import wire


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(ExternalServer(database_url))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def access(database: Database, tmp_path: Path) -> Access:
    made = Access(database, key_file=tmp_path / "admin.key")
    assert await made.ensure_first_key()
    return made


@pytest.fixture
async def who(access: Access) -> Principal:
    return await access.authenticate_local(None)


@pytest.fixture
def keys(database: Database, access: Access) -> Keys:
    return Keys(database, key_file=access.key_file)


def other(access: Access) -> Access:
    """Another process, which remembers for itself."""
    return Access(access._database, key_file=access.key_file)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """How long it took."""
    started = time.monotonic()
    while not await holds():
        assert time.monotonic() - started < seconds
        await asyncio.sleep(0.01)
    return time.monotonic() - started


async def is_refused(access: Access, secret: str) -> bool:
    try:
        await access.authenticate(secret)
    except KeyInvalidError:
        return True
    return False


async def is_listening(access: Access) -> bool:
    return access._remembered._heard_since is not None


async def test_a_key_carries_what_it_is_for(access: Access, who: Principal, keys: Keys) -> None:
    expires_at = datetime.now(UTC) + timedelta(days=1)
    wish = KeyWish("ci", "reader", ("gpt-*",), ("embeddings",), ("10.0.0.0/8",), expires_at, "anna", "gold")
    made = await keys.create(who, wish)
    found = await access.authenticate(made.secret)
    assert found == Principal(
        who.project_id,
        "default",
        made.key.id,
        "ci",
        "reader",
        ("gpt-*",),
        ("embeddings",),
        (ip_network("10.0.0.0/8"),),
        "anna",
        "gold",
    )
    assert await access.confirm(found) == found
    shown = await keys.get(who, "ci")
    assert shown == made.key == await keys.get(who, made.key.id)
    assert (shown.state, shown.models, shown.expires_at) == ("active", ("gpt-*",), expires_at)
    assert [key.name for key in await keys.all(who)] == ["ci", "admin"]


async def test_a_name_is_free_again_when_its_key_was_revoked(who: Principal, keys: Keys) -> None:
    first = await keys.create(who, KeyWish("ci"))
    with pytest.raises(KeyExistsError):
        await keys.create(who, KeyWish("ci"))
    assert (await keys.revoke(who, "ci")).state == "revoked"
    second = await keys.create(who, KeyWish("ci"))
    assert (await keys.get(who, "ci")).id == second.key.id
    assert (await keys.get(who, first.key.id)).state == "revoked"
    assert [key.id for key in await keys.all(who, revoked=True)][-1] == first.key.id
    assert (await keys.revoke(who, first.key.id)).revoked_at == (await keys.get(who, first.key.id)).revoked_at


async def test_what_is_done_with_a_key_is_done_whole_or_not_at_all(who: Principal, keys: Keys) -> None:
    async def fail(_connection: Connection, _key_id: str) -> None:
        raise KeyWishInvalidError(reason="the company failed")

    with pytest.raises(KeyWishInvalidError):
        await keys.create(who, KeyWish("ci"), fail)
    assert [key.name for key in await keys.all(who, revoked=True)] == ["admin"]
    await keys.create(who, KeyWish("ci"))
    with pytest.raises(KeyWishInvalidError):
        await keys.revoke(who, "ci", fail)
    assert (await keys.get(who, "ci")).state == "active"


async def test_only_administrators_do_this_and_only_in_their_project(
    access: Access, database: Database, who: Principal, keys: Keys
) -> None:
    made = await keys.create(who, KeyWish("ci"))
    member = await access.authenticate(made.secret)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: keys.create(member, KeyWish("mine", "admin")),
        lambda: keys.all(member),
        lambda: keys.get(member, "ci"),
        lambda: keys.revoke(member, "admin"),
        lambda: keys.rotate(member, "ci"),
        lambda: Projects(database).create(member, "p"),
        lambda: Projects(database).all(member),
    ]
    for attempt in attempts:
        with pytest.raises(RoleTooLowError):
            await attempt()
    project, admin = await Projects(database).create(who, "theirs")
    stranger = await access.authenticate(admin.secret)
    assert (stranger.project_id, stranger.role) == (project.id, "admin")
    for name in ("ci", made.key.id):
        with pytest.raises(KeyNotFoundError):
            await keys.revoke(stranger, name)
    assert [key.id for key in await keys.all(stranger)] == [admin.key.id]


async def test_projects_are_made_from_the_first_one(access: Access, database: Database, who: Principal) -> None:
    projects = Projects(database)
    made, admin = await projects.create(who, "theirs")
    assert [(project.name, project.keys) for project in await projects.all(who)] == [("default", 1), ("theirs", 1)]
    with pytest.raises(ProjectExistsError):
        await projects.create(who, "theirs")
    with pytest.raises(ProjectNameError):
        await projects.create(who, "no such/name")
    stranger = await access.authenticate(admin.secret)
    with pytest.raises(ProjectsForeignError):
        await projects.create(stranger, "another")
    assert await projects.all(stranger) == [made]


async def test_somebody_is_left_who_can_administer(access: Access, who: Principal, keys: Keys) -> None:
    with pytest.raises(LastAdminKeyError):
        await keys.revoke(who, "admin")
    soon = datetime.now(UTC) + timedelta(hours=1)
    await keys.create(who, KeyWish("guest", "admin", expires_at=soon))
    with pytest.raises(LastAdminKeyError):
        await keys.revoke(who, "admin")
    second = await keys.create(who, KeyWish("second", "admin"))
    outcomes = await asyncio.gather(keys.revoke(who, "admin"), keys.revoke(who, second.key.id), return_exceptions=True)
    assert sorted(isinstance(outcome, LastAdminKeyError) for outcome in outcomes) == [False, True]


async def test_a_key_ends_when_its_time_is_over_also_where_it_is_remembered(
    access: Access, who: Principal, keys: Keys
) -> None:
    async with access.listening():
        await until(lambda: is_listening(access), 5)
        made = await keys.create(who, KeyWish("short", expires_at=datetime.now(UTC) + timedelta(seconds=0.6)))
        principal = await access.authenticate(made.secret)
        assert await until(lambda: is_refused(access, made.secret), 2) > 0.3
        with pytest.raises(KeyInvalidError, match="expired"):
            await access.authenticate(made.secret)
        with pytest.raises(KeyInvalidError, match="expired"):
            await access.confirm(principal)
    assert (await keys.get(who, "short")).state == "expired"
    with pytest.raises(KeyUnusableError):
        await keys.rotate(who, "short")


async def test_both_secrets_are_good_for_a_while(access: Access, who: Principal, keys: Keys) -> None:
    old = await keys.create(who, KeyWish("ci"))
    new = await keys.rotate(who, "ci", overlap_hours=0.8 / 3600)
    assert (new.key.id, new.key.rotated_at is not None) == (old.key.id, True)
    process = other(access)
    assert await process.authenticate(new.secret) == await process.authenticate(old.secret)
    await until(lambda: is_refused(process, old.secret), 3)
    with pytest.raises(KeyInvalidError, match="another secret"):
        await process.authenticate(old.secret)
    assert (await process.authenticate(new.secret)).key_name == "ci"
    assert (await keys.get(who, "ci")).previous_until is None


async def test_a_rotation_without_overlap_and_one_after_another(access: Access, who: Principal, keys: Keys) -> None:
    secrets = [(await keys.create(who, KeyWish("ci"))).secret]
    secrets += [(await keys.rotate(who, "ci")).secret for _ in range(2)]
    assert [await is_refused(other(access), secret) for secret in secrets] == [True, False, False]
    secrets.append((await keys.rotate(who, "ci", overlap_hours=0)).secret)
    assert [await is_refused(other(access), secret) for secret in secrets] == [True, True, True, False]
    await keys.revoke(who, "ci")
    assert all([await is_refused(other(access), secret) for secret in secrets])
    for hours in (-1, 24 * 366, float("nan")):
        with pytest.raises(OverlapInvalidError):
            await keys.rotate(who, "admin", overlap_hours=hours)


async def test_the_key_file_follows_its_key(access: Access, who: Principal, keys: Keys, tmp_path: Path) -> None:
    await keys.create(who, KeyWish("ci"))
    before = access.key_file.read_text()
    await keys.rotate(who, "ci")
    assert access.key_file.read_text() == before
    made = await keys.rotate(who, "admin", overlap_hours=0)
    assert access.key_file.read_text().strip() == made.secret
    assert (await other(access).authenticate_local(None)).key_name == "admin"


async def test_a_key_file_that_cannot_be_written_leaves_the_old_secret(
    access: Access, who: Principal, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, text: str) -> None:
        raise KeyFileUnwritableError(path=path, reason="full")

    with monkeypatch.context() as patched:
        patched.setattr("skep.access.issuing.write_key_file", fail)
        with pytest.raises(KeyFileUnwritableError):
            await keys.rotate(who, "admin", overlap_hours=0)
    assert (await other(access).authenticate_local(None)).key_name == "admin"


async def test_a_revoked_key_is_refused_at_once_where_changes_are_heard(
    access: Access, who: Principal, keys: Keys
) -> None:
    processes = [other(access) for _ in range(3)]
    made = await keys.create(who, KeyWish("ci"))
    async with processes[0].listening(), processes[1].listening(), processes[2].listening():
        for process in processes:
            await until(lambda process=process: is_listening(process), 5)  # type: ignore[misc]
            assert (await process.authenticate(made.secret)).key_name == "ci"
        await asyncio.sleep(remembering.CACHE_SECONDS + 0.1)
        assert all(process.recall(made.secret) for process in processes), "it is remembered for longer"
        await keys.revoke(who, "ci")
        for process in processes:
            assert await until(lambda process=process: is_refused(process, made.secret), 0.9) < 0.9  # type: ignore[misc]


async def test_a_key_is_not_asked_for_again_while_every_change_is_heard(
    access: Access, who: Principal, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, process = await keys.create(who, KeyWish("ci")), other(access)
    async with process.listening():
        await until(lambda: is_listening(process), 5)
        await process.authenticate(made.secret)
        for _ in range(5):
            await asyncio.sleep(0.5)
            assert process.recall(made.secret)
        remembered = process._remembered
        monkeypatch.setattr(remembered, "_confirmed_at", remembered._confirmed_at - remembering.CACHE_SECONDS)
        assert process.recall(made.secret) is None


async def test_a_process_that_hears_nothing_more_asks_again(
    access: Access, database: Database, who: Principal, keys: Keys
) -> None:
    made, process = await keys.create(who, KeyWish("ci")), other(access)
    async with process.listening():
        await until(lambda: is_listening(process), 5)
        await process.authenticate(made.secret)
        await asyncio.sleep(remembering.CACHE_SECONDS + 0.1)
        assert process.recall(made.secret)
        await database.execute(
            b"select pg_terminate_backend(pid) from pg_stat_activity"
            b" where datname = current_database() and query like 'listen skep_access%'"
        )

        async def is_deaf() -> bool:
            return process._remembered._heard_since is None

        await until(is_deaf, 5)
        await asyncio.sleep(remembering.CACHE_SECONDS)
        assert process.recall(made.secret) is None
        assert process.recall(made.secret, within_seconds=service.STALE_SECONDS), "for when the database is away"
        await until(lambda: is_listening(process), 5)
        assert process.recall(made.secret) is None, "what happened meanwhile was not heard"
    assert not await is_listening(process)


async def test_an_answer_from_before_a_change_is_not_believed_for_long(
    access: Access, who: Principal, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was read, then the key was revoked and that was heard, and only then the answer is remembered."""
    made, process, read, go = await keys.create(who, KeyWish("ci")), other(access), asyncio.Event(), asyncio.Event()
    verify = process._verify

    async def slowly(key: object) -> object:
        answer = await verify(key)  # type: ignore[arg-type]
        read.set()
        await go.wait()
        return answer

    monkeypatch.setattr(process, "_verify", slowly)
    monkeypatch.setattr(service, "MOST_READ_AHEAD", 0)
    async with process.listening():
        await until(lambda: is_listening(process), 5)
        asking = asyncio.create_task(process.authenticate(made.secret))
        await read.wait()
        await keys.revoke(who, "ci")

        async def has_heard() -> bool:
            return process._remembered.has_changed(made.key.id, 0)

        await until(has_heard, 5)
        go.set()
        assert (await asking).key_name == "ci"
        await until(lambda: is_refused(process, made.secret), remembering.CACHE_SECONDS + 0.5)


async def test_keys_are_known_before_they_are_sent_and_a_change_is_of_one_key(
    access: Access, who: Principal, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_READ_AT_ONCE", 2)
    made = [await keys.create(who, KeyWish(f"k{number}")) for number in range(5)]
    process = other(access)

    async def knows_all() -> bool:
        return all(process.recall(one.secret) for one in made[:4])

    async with process.listening():
        await until(knows_all, 5)
        assert process.recall(f"{made[4].secret[:-1]}-") is None
        new = await keys.rotate(who, "k0", overlap_hours=0)
        await keys.revoke(who, "k1")

        async def has_heard() -> bool:
            return process.recall(made[0].secret) is None and process.recall(made[1].secret) is None

        await until(has_heard, 1)
        assert all(process.recall(one.secret) for one in made[2:]), "of the others nothing has changed"
        assert await is_refused(process, made[0].secret)
        assert await is_refused(process, made[1].secret)
        assert (await process.authenticate(new.secret)).key_name == "k0"


async def test_keys_are_read_ahead_anew_when_changes_are_heard_again(
    access: Access, database: Database, who: Principal, keys: Keys
) -> None:
    made, process = await keys.create(who, KeyWish("ci")), other(access)

    async def knows() -> bool:
        return made.key.id in process._remembered._rows

    async def is_deaf() -> bool:
        return process._remembered._heard_since is None

    async with process.listening():
        await until(knows, 5)
        await database.execute(
            b"select pg_terminate_backend(pid) from pg_stat_activity"
            b" where datname = current_database() and query like 'listen skep_access%'"
        )
        await until(is_deaf, 5)
        await until(lambda: is_listening(process), 5)
        await until(knows, 5)
        assert process.recall(made.secret)


async def test_many_changes_do_not_hide_that_they_are_heard(access: Access, who: Principal, keys: Keys) -> None:
    """Somebody works through a list of keys for seconds: the others stay known all the while."""
    made, busy, process = await keys.create(who, KeyWish("ci")), KeyWish("busy"), other(access)
    await keys.create(who, busy)
    async with process.listening():
        await until(lambda: is_listening(process), 5)
        await process.authenticate(made.secret)
        ends_at = time.monotonic() + remembering.CACHE_SECONDS + 0.8
        while time.monotonic() < ends_at:
            await keys.rotate(who, "busy")
            await asyncio.sleep(0.05)
            assert process.recall(made.secret)


async def test_a_revocation_is_not_hidden_by_a_network_that_fell_silent(
    access: Access, who: Principal, keys: Keys, database_url: str
) -> None:
    """The connection that tells of changes neither tells nor ends; the others work: a second later the key is refused."""
    made = await keys.create(who, KeyWish("ci"))
    async with wire(database_url, b"listen skep_access") as silent:
        through = Database(ExternalServer(silent.url))
        await through.open()
        process = Access(through, key_file=access.key_file)
        async with process.listening():
            await until(lambda: is_listening(process), 5)
            await process.authenticate(made.secret)
            await asyncio.sleep(remembering.CACHE_SECONDS + 0.2)
            assert process.recall(made.secret), "it is remembered as long as the connection is seen to work"
            assert silent.marked == 1
            silent.is_silent = True
            await keys.revoke(who, "ci")
            assert await until(lambda: is_refused(process, made.secret), 1.2) < 1.1
            silent.is_silent = False
            silent.mark = b"nothing"
            await asyncio.sleep(0.1)
            await until(lambda: is_listening(process), 5)
        await through.close()

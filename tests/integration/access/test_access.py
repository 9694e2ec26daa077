"""Keys against a real database: the first one, wrong ones, revoked ones, and the file they stand in."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skep.access import (
    Access,
    KeyFileUnreadableError,
    KeyFileUnsafeError,
    KeyFileUnwritableError,
    KeyInvalidError,
    KeyMissingError,
    remembering,
)
from skep.access.keys import key_hmac, new_key, parse_key
from skep.store import Database, ExternalServer
from tests.postgres import migrate

INSERT_KEY = b"insert into api_key (key_id, project_id, name, role, secret_hmac) values (%s, %s, %s, %s, %s)"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(ExternalServer(database_url))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "admin.key"


@pytest.fixture
async def access(database: Database, key_file: Path) -> Access:
    made = Access(database, key_file=key_file)
    assert await made.ensure_first_key()
    return made


async def test_the_first_key_is_an_administrators_and_only_its_owner_reads_it(access: Access, key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    who = await access.authenticate_local(None)
    assert (who.project_name, who.key_name, who.role) == ("default", "admin", "admin")
    assert who == await access.authenticate(key_file.read_text())
    assert not await access.ensure_first_key()


async def test_the_key_itself_is_not_in_the_database(access: Access, database: Database, key_file: Path) -> None:
    ((row,),) = await database.fetch_tuples(b"select api_key::text from api_key")
    assert key_file.read_text().strip().rpartition("_")[2] not in row


async def test_processes_that_start_at_once_make_one_key(database: Database, key_file: Path) -> None:
    made = await asyncio.gather(*(Access(database, key_file=key_file).ensure_first_key() for _ in range(8)))
    assert sum(made) == 1
    assert await database.fetch_tuples(b"select count(*) from api_key") == [(1,)]
    assert (await Access(database, key_file=key_file).authenticate_local(None)).role == "admin"


async def test_a_data_folder_brings_its_key_to_a_new_database(
    access: Access, key_file: Path, empty_database_url: str
) -> None:
    text = key_file.read_text()
    await migrate(empty_database_url)
    other = Database(ExternalServer(empty_database_url))
    try:
        await other.open()
        elsewhere = Access(other, key_file=key_file)
        assert await elsewhere.ensure_first_key()
        assert key_file.read_text() == text
        assert (await elsewhere.authenticate_local(None)).role == "admin"
    finally:
        await other.close()
    assert (await access.authenticate_local(None)).role == "admin"


@pytest.mark.parametrize("text", [None, ""])
async def test_no_key_at_all(access: Access, text: str | None) -> None:
    with pytest.raises(KeyMissingError) as failure:
        await access.authenticate(text)
    assert (failure.value.exit_code, failure.value.http_status) == (3, 401)


@pytest.mark.parametrize("text", ["hunter2", "skep_", "skep_\0", "Bearer x", "a" * 10**6, "skep_' or 1=1", "\ud800"])
async def test_texts_that_are_no_keys(access: Access, text: str) -> None:
    with pytest.raises(KeyInvalidError, match="not written like a Skep key"):
        await access.authenticate(text)


async def test_a_foreign_key_and_one_with_a_known_id_are_equally_unknown(access: Access, key_file: Path) -> None:
    known_id = key_file.read_text().split("_")[1]
    forged = parse_key(new_key().text)
    assert forged is not None
    for key in (forged.text, forged.text.replace(forged.key_id, known_id)):
        with pytest.raises(KeyInvalidError):
            await access.authenticate(key)


async def test_a_revoked_key_stops_within_a_second(access: Access, database: Database) -> None:
    await access.authenticate_local(None)
    await database.execute(b"update api_key set revoked_at = now()")
    await asyncio.sleep(remembering.CACHE_SECONDS + 0.05)
    with pytest.raises(KeyInvalidError, match="revoked"):
        await access.authenticate_local(None)


async def test_a_key_acts_in_its_own_project(access: Access, database: Database) -> None:
    ((project_id,),) = await database.fetch_tuples(
        b"insert into project (name, key_pepper) values ('theirs', %s) returning project_id", [bytes(32)]
    )
    key = new_key()
    await database.execute(INSERT_KEY, [key.key_id, project_id, "bob", "reader", key_hmac(key, bytes(32))])
    who = await access.authenticate(key.text)
    assert (who.project_id, who.project_name, who.key_name, who.role) == (project_id, "theirs", "bob", "reader")
    assert (await access.authenticate_local(None)).project_name == "default"
    assert await access.authenticate_local(key.text) == who


async def test_what_is_remembered_of_keys_is_bounded(
    access: Access, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "_MOST_SECRETS", 3)
    who = await access.authenticate_local(None)
    ((pepper,),) = await database.fetch_tuples(b"select key_pepper from project")
    for number in range(8):
        key = new_key()
        values = [key.key_id, who.project_id, str(number), "reader", key_hmac(key, pepper)]
        await database.execute(INSERT_KEY, values)
        assert (await access.authenticate(key.text)).key_name == str(number)
        assert len(access._remembered._verified) <= 3


async def test_a_key_file_that_others_can_read_is_not_used(access: Access, key_file: Path) -> None:
    key_file.chmod(0o640)
    with pytest.raises(KeyFileUnsafeError) as failure:
        await access.authenticate_local(None)
    assert failure.value.fix_text == f"Run: chmod 600 {key_file}"


async def test_a_missing_key_file_is_a_missing_key(access: Access, key_file: Path) -> None:
    key_file.unlink()
    with pytest.raises(KeyMissingError):
        await access.authenticate_local(None)


async def test_a_key_file_with_something_else_in_it(access: Access, key_file: Path) -> None:
    key_file.write_bytes(b"\xff\xfe\x00 no key")
    with pytest.raises(KeyInvalidError):
        await access.authenticate_local(None)


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
async def test_a_key_file_that_is_no_file(access: Access, key_file: Path, tmp_path: Path, kind: str) -> None:
    moved = key_file.rename(tmp_path / "moved")
    if kind == "link":
        key_file.symlink_to(moved)
    elif kind == "folder":
        key_file.mkdir(mode=0o700)
    else:
        os.mkfifo(key_file, 0o600)
    with pytest.raises((KeyFileUnreadableError, KeyMissingError)):
        await access.authenticate_local(None)


async def test_a_first_key_that_cannot_be_written_does_not_exist(database: Database, tmp_path: Path) -> None:
    access = Access(database, key_file=tmp_path / "nowhere" / "admin.key")
    with pytest.raises(KeyFileUnwritableError) as failure:
        await access.ensure_first_key()
    assert failure.value.exit_code == 4
    assert await database.fetch_tuples(b"select count(*) from api_key") == [(0,)]
    (tmp_path / "nowhere").mkdir()
    assert await access.ensure_first_key()
    assert [path.name for path in (tmp_path / "nowhere").iterdir()] == ["admin.key"]


async def test_a_revoked_key_in_the_key_file_does_not_come_back(access: Access, database: Database) -> None:
    await database.execute(b"update api_key set revoked_at = now()")
    assert not await access.ensure_first_key()
    with pytest.raises(KeyInvalidError):
        await access.authenticate_local(None)

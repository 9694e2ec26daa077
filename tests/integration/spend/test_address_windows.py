"""Calls without a key are counted exactly, whichever process they come to."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg
import pytest

from skep.spend import AddressLimitError, AddressWindows, MeterUnavailableError, address_group
from tests.metering import open_database
from tests.minutes import pause_seconds

MOST, EACH = 30, 40


async def test_two_processes_let_in_exactly_so_many(database_url: str) -> None:
    await asyncio.sleep(pause_seconds(15))
    databases = [await open_database(database_url) for _ in range(2)]
    processes = [AddressWindows(database) for database in databases]

    async def ask(windows: AddressWindows, address: str) -> tuple[str, int]:
        try:
            return address, (await windows.count(address, MOST)).used
        except AddressLimitError:
            return address, 0

    try:
        asked = [
            ask(windows, address)
            for _ in range(EACH)
            for windows in processes
            for address in ("192.0.2.1", "192.0.2.2")
        ]
        told = await asyncio.gather(*asked)
        for address in ("192.0.2.1", "192.0.2.2"):
            numbers = Counter(number for asker, number in told if asker == address)
            # Each number once: nobody was let in by the count of another.
            assert numbers == {0: 2 * EACH - MOST} | dict.fromkeys(range(1, MOST + 1), 1)
        # Who has used up the minute does not ask the database again.
        for database in databases:
            await database.close()
        for windows in processes:
            with pytest.raises(AddressLimitError):
                await windows.count("192.0.2.1", MOST)
            with pytest.raises(MeterUnavailableError):
                await windows.count("192.0.2.3", MOST)
    finally:
        for windows in processes:
            await windows.close()
        for database in databases:
            await database.close()


async def test_a_new_minute_begins_anew_and_old_addresses_are_forgotten(database_url: str) -> None:
    await asyncio.sleep(pause_seconds(15))
    now = [0.0]
    database = await open_database(database_url)
    windows = AddressWindows(database, clock=lambda: now[0])
    try:
        for used in (1, 2):
            assert (await windows.count("192.0.2.1", 2)).used == used
        with pytest.raises(AddressLimitError):
            await windows.count("192.0.2.1", 2)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("update address_window set minute = minute - interval '1 minute'")
            connection.execute("insert into address_window values ('192.0.2.9', now() - interval '6 minutes', 1)")
            now[0] += 301
            assert (await windows.count("192.0.2.1", 2)).used == 1
            rows = connection.execute("select address, asked from address_window").fetchall()
        assert rows == [("192.0.2.1", 1)]
    finally:
        await windows.close()
        await database.close()


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_whose_an_address_is(address: str, group: str) -> None:
    assert address_group(address) == group

"""What is asked of connections, so that a network that falls silent is noticed."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing

import pytest

from skep.store.silence import connect, heeding_silence


@pytest.mark.parametrize("url", ["postgresql://u:p@db.example/skep", "host=10.0.0.1 dbname=skep", "hostaddr=10.0.0.1"])
def test_connections_over_a_network_are_given_up_by_both_sides(url: str) -> None:
    ours, theirs = heeding_silence(url)
    assert ours["tcp_user_timeout"] == theirs["tcp_user_timeout"] == 15_000
    assert ours["keepalives_idle"] == theirs["tcp_keepalives_idle"] == 5


@pytest.mark.parametrize("url", ["host=/run/postgresql dbname=skep", "postgresql:///skep?host=/tmp/socket"])
def test_sockets_of_this_machine_are_never_silent(url: str) -> None:
    assert heeding_silence(url) == ({}, {})


def test_what_the_address_says_itself_counts() -> None:
    ours, _ = heeding_silence("postgresql://db.example/skep?tcp_user_timeout=60000&keepalives_idle=30")
    assert ours.keys() == {"keepalives_interval", "keepalives_count"}


async def test_a_connection_that_is_given_up_half_made_is_not_waited_for() -> None:
    # Somebody who takes connections and never says anything.
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connect(f"host=127.0.0.1 port={port} user=u dbname=d connect_timeout=2 sslmode=disable")
        assert asyncio.get_running_loop().time() - began < 1
        # It is closed all the same, once it has failed.
        left = {task for task in asyncio.all_tasks() if task.get_name() == "skep-closing"}
        assert left
        assert (await asyncio.wait(left, timeout=10))[0] == left

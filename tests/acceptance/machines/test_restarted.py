"""A machine that is stopped and started while the network leaves it alone. By itself: its server is not the one that others began with."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.machines.conftest import Two
from tests.acceptance.machines.test_cut_off import (
    ANSWER_SECONDS,
    BACK_SECONDS,
    CALLS,
    Client,
    check_sums,
    wait_for,
)

pytestmark = pytest.mark.full


@pytest.mark.timeout(150)
def test_what_is_started_and_stopped_while_it_is_cut_off_says_so_and_loses_nothing(two: Two) -> None:
    key = two.make_key("restarted", "--budget-usd", "100")
    host = two.hosts[1]
    with two.other.client(key) as client:
        calls = Client(client, CALLS)
        assert calls.once().status == 200
        two.other.machine.fall_silent()
        # Those are only in its journal.
        assert [calls.once().status for _ in range(3)] == [200] * 3
    began = time.monotonic()
    two.other.end()
    assert time.monotonic() - began < 30
    began = time.monotonic()
    failed = host.skep("budget", "list", code=4)
    assert time.monotonic() - began < 30
    assert "10.77.0.1" in failed.err
    assert "fix:" in failed.err
    with host.up() as other:
        two.other = other
        assert other.said["ready"] is False
        with other.client(key) as client:
            refused = Client(client, CALLS).once()
            assert (refused.status, refused.seconds < ANSWER_SECONDS) == (503, True)
            assert "10.77.0.1" in refused.error["message"]
            two.other.machine.mend()
            after = Client(client, CALLS)
            wait_for(lambda: after.once().status == 200, BACK_SECONDS)
        check_sums(two, calls, after)

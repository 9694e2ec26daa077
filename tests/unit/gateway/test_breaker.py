"""The breaker: each rule by hand, and what must hold whatever happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skep.gateway.breaker import (
    BUSY_ANSWERS,
    BUSY_SECONDS,
    HARD_FAILURES,
    HARD_SECONDS,
    LEAST_CALLS,
    MOST_BUSY_SECONDS,
    PROBE_SECONDS,
    SOFT_SECONDS,
    STRAIGHT_FAILURES,
    WINDOW_SECONDS,
    Breaker,
)


def test_a_few_failures_among_successes_change_nothing() -> None:
    breaker = Breaker()
    for number in range(200):
        assert breaker.admits(number / 10)
        if number % 3:
            breaker.succeeded(number / 10)
        else:
            assert not breaker.failed(number / 10, "x")
    assert breaker.is_closed


def test_half_of_enough_calls_open_it_for_a_while() -> None:
    breaker = Breaker()
    for _ in range(LEAST_CALLS // 2):
        breaker.succeeded(1.0)
    for _ in range(LEAST_CALLS // 2 - 1):
        assert not breaker.failed(1.0, "slow")
        assert breaker.is_closed
    assert not breaker.failed(1.0, "slow")
    assert not breaker.admits(1.0 + SOFT_SECONDS - 0.1)
    assert breaker.view(2.0).state == "open"
    assert breaker.view(2.0).reason == "slow"
    assert breaker.view(1.0 + SOFT_SECONDS).state == "half_open"


def test_what_is_older_than_the_window_is_forgotten() -> None:
    breaker = Breaker()
    for _ in range(LEAST_CALLS - 1):
        breaker.failed(1.0, "x")
    breaker.succeeded(2.0)
    for _ in range(5):
        breaker.failed(1.0 + WINDOW_SECONDS + 6, "x")
    assert breaker.is_closed
    assert breaker.view(1.0 + WINDOW_SECONDS + 6).calls == 5


def test_straight_failures_open_at_once_and_everywhere() -> None:
    breaker = Breaker()
    for number in range(STRAIGHT_FAILURES - 1):
        assert not breaker.failed(number * WINDOW_SECONDS, "500")
    assert breaker.failed(STRAIGHT_FAILURES * WINDOW_SECONDS, "500")


def test_failures_in_a_row_of_all_processes_count_together() -> None:
    here, half = Breaker(), STRAIGHT_FAILURES // 2
    for _ in range(half):
        assert not here.failed(1.0, "500")
    assert not here.failed_elsewhere("b", half, 1.1, "500")
    assert here.view(1.1).straight_failures == STRAIGHT_FAILURES - 1
    assert here.failed_elsewhere("c", 1, 1.2, "502")
    assert not here.admits(1.3)
    assert here.view(1.3).reason == "502"
    assert not here.has_streak


def test_one_more_here_opens_it_when_others_had_the_rest() -> None:
    here = Breaker()
    assert not here.failed_elsewhere("b", STRAIGHT_FAILURES - 1, 1.0, "500")
    assert here.failed(1.0, "500")


def test_what_another_process_told_last_counts_and_not_for_long() -> None:
    here = Breaker()
    for streak in range(1, STRAIGHT_FAILURES):
        assert not here.failed_elsewhere("b", streak, 1.0, "500")
    assert not here.failed(1.0 + WINDOW_SECONDS, "500")


def test_a_success_elsewhere_ends_the_row_but_not_what_one_sees_oneself() -> None:
    here = Breaker()
    for number in range(STRAIGHT_FAILURES - 1):
        assert not here.failed(1.0, "500")
        here.forget_streak()
        assert here.straight_failures == number + 1
    assert not here.failed_elsewhere("b", STRAIGHT_FAILURES - 1, 1.0, "500")
    here.forget_streak()
    assert here.is_closed
    assert here.failed(1.0, "500")


def test_a_success_here_ends_the_row_of_all() -> None:
    here = Breaker()
    here.failed_elsewhere("b", STRAIGHT_FAILURES - 1, 1.0, "500")
    here.succeeded(1.0)
    assert not here.failed(1.0, "500")


def test_straight_failures_in_one_moment_open_it_everywhere_too() -> None:
    breaker = Breaker()
    assert [breaker.failed(1.0, "500") for _ in range(STRAIGHT_FAILURES)] == [False] * (STRAIGHT_FAILURES - 1) + [True]
    assert not breaker.admits(2.0)


def opened() -> Breaker:
    """Open at 0 for the longest time."""
    breaker = Breaker()
    assert [breaker.failed(0.0, "auth", is_hard=True) for _ in range(HARD_FAILURES)] == [False, False, True]
    return breaker


def test_hard_failures_in_a_row_open_for_long_and_everywhere() -> None:
    breaker = opened()
    assert breaker.seconds_left(0.0) == HARD_SECONDS
    assert not breaker.admits(HARD_SECONDS - 1)


def test_a_hard_failure_alone_or_among_others_opens_nothing() -> None:
    breaker = Breaker()
    for number in range(10):
        breaker.failed(number, "auth", is_hard=True)
        breaker.failed(number, "auth", is_hard=True)
        if number % 2:
            breaker.succeeded(number)
        else:
            breaker.failed(number + WINDOW_SECONDS * number, "500")
        assert breaker.seconds_left(number) <= SOFT_SECONDS


def test_a_probe_that_is_given_up_gives_its_permit_back_and_nobody_elses() -> None:
    breaker = opened()
    permit = breaker.admits(HARD_SECONDS)
    assert permit
    # Calls from before the breaker opened end one after the other, this way and that.
    breaker.abandon()
    breaker.succeeded(HARD_SECONDS)
    breaker.failed(HARD_SECONDS, "late")
    assert not breaker.is_closed
    assert not breaker.admits(HARD_SECONDS)
    breaker.abandon(permit)
    second = breaker.admits(HARD_SECONDS)
    assert second not in (0, permit)
    breaker.succeeded(HARD_SECONDS, permit)
    assert not breaker.is_closed
    breaker.succeeded(HARD_SECONDS, second)
    assert breaker.is_closed


def test_one_probe_decides() -> None:
    breaker = opened()
    permit = breaker.admits(HARD_SECONDS)
    assert permit
    assert not breaker.admits(HARD_SECONDS)
    breaker.succeeded(HARD_SECONDS + 1, permit)
    assert breaker.is_closed
    assert breaker.admits(HARD_SECONDS + 1)
    assert breaker.admits(HARD_SECONDS + 1)


def test_a_probe_that_fails_opens_for_longer() -> None:
    breaker = Breaker()
    for _ in range(STRAIGHT_FAILURES):
        breaker.failed(0.0, "x")
    now, lengths = 0.0, []
    for _ in range(8):
        now += breaker.seconds_left(now)
        permit = breaker.admits(now)
        assert permit
        breaker.failed(now, "x", permit)
        lengths.append(breaker.seconds_left(now))
    assert lengths == sorted(lengths)
    assert lengths[0] > SOFT_SECONDS
    assert lengths[-1] == HARD_SECONDS


def test_a_probe_without_an_answer_does_not_keep_it_open_for_ever() -> None:
    breaker = opened()
    assert breaker.admits(HARD_SECONDS)
    assert not breaker.admits(HARD_SECONDS + PROBE_SECONDS - 1)
    permit = breaker.admits(HARD_SECONDS + PROBE_SECONDS)
    assert permit
    breaker.abandon(permit)
    assert breaker.admits(HARD_SECONDS + PROBE_SECONDS)


def test_who_wants_to_know_is_let_through_and_finds_out() -> None:
    breaker = Breaker()
    breaker.open_until(300.0, "its key was refused")
    assert breaker.admits(1.0) == 0
    first, second = breaker.admits(1.0, forced=True), breaker.admits(2.0, forced=True)
    breaker.succeeded(3.0, first)
    assert not breaker.is_closed, "only the newest probe decides"
    breaker.succeeded(3.0, second)
    assert breaker.is_closed


def test_another_process_can_open_it() -> None:
    breaker = Breaker()
    breaker.open_until(50.0, "told")
    assert not breaker.admits(49.0)
    breaker.failed(49.0, "a call from before")
    assert breaker.seconds_left(49.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from(["ok", "bad", "hard", "gone", "told"])), max_size=80))
def test_it_never_stays_open_for_ever(steps: list[tuple[float, str]]) -> None:
    """Whatever happens: it is open for 300 s at most, then lets one probe through, and a success closes it."""
    breaker, now = Breaker(), 0.0
    for pause, what in steps:
        now += pause
        if what == "told":
            breaker.open_until(now + 30, "told")
        elif permit := breaker.admits(now):
            if what == "ok":
                breaker.succeeded(now, permit)
                assert breaker.is_closed
            elif what == "gone":
                breaker.abandon(permit)
            else:
                breaker.failed(now, what, permit, is_hard=what == "hard")
        assert breaker.seconds_left(now) <= HARD_SECONDS + 0.001
        view = breaker.view(now)
        assert (view.state == "closed") == breaker.is_closed
        assert 0 <= view.failures <= view.calls
    later = now + HARD_SECONDS + PROBE_SECONDS
    last = breaker.admits(later)
    assert last
    breaker.succeeded(later, last)
    assert breaker.is_closed


def resting(retry_after_seconds: float | None) -> Breaker:
    """Of a provider that took no more calls at 0."""
    breaker = Breaker()
    for _ in range(BUSY_ANSWERS):
        assert breaker.is_closed
        breaker.busy(0.0, "429", retry_after_seconds=retry_after_seconds)
    return breaker


def test_a_provider_that_takes_no_more_calls_is_left_alone_as_long_as_it_says() -> None:
    assert resting(7.0).seconds_left(0.0) == 7.0
    assert resting(0.01).seconds_left(0.0) == 1.0
    assert resting(3600.0).seconds_left(0.0) == MOST_BUSY_SECONDS
    assert resting(7.0).is_resting
    assert not opened().is_resting


def test_a_success_between_shows_that_it_takes_calls() -> None:
    breaker = Breaker()
    for number in range(20):
        breaker.busy(number, "429")
        breaker.busy(number, "429")
        breaker.succeeded(number)
    assert breaker.is_closed


def test_one_that_does_not_say_for_how_long_is_asked_more_and_more_seldom() -> None:
    breaker = resting(None)
    now, waits = 0.0, []
    for _ in range(8):
        waits.append(breaker.seconds_left(now))
        now += waits[-1]
        permit = breaker.admits(now)
        assert permit
        assert not breaker.admits(now)
        # What began before it rested says nothing about now.
        breaker.busy(now, "429")
        assert not breaker.seconds_left(now)
        breaker.busy(now, "429", permit)
    assert waits == [min(MOST_BUSY_SECONDS, BUSY_SECONDS * 2**number) for number in range(8)]
    now += breaker.seconds_left(now)
    breaker.succeeded(now, breaker.admits(now))
    assert breaker.is_closed
    assert not breaker.is_resting
    breaker.busy(now, "429")
    assert breaker.is_closed

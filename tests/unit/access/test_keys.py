from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skep.access import Principal, Role, RoleTooLowError, require_role
from skep.access.keys import key_hmac, new_key, parse_key

PEPPER = bytes(range(32))


def test_a_new_key_is_understood_and_no_two_are_equal() -> None:
    keys = {new_key().text for _ in range(100)}
    assert len(keys) == 100
    for text in keys:
        parsed = parse_key(text)
        assert parsed is not None
        assert parsed.text == text
        assert text.startswith(f"skep_{parsed.key_id}_")


def test_blanks_around_a_key_do_not_matter() -> None:
    key = new_key()
    assert parse_key(f"  {key.text}\n") == key


@given(place=st.integers(0, 66), letter=st.sampled_from("0aA_ é\n"))
def test_a_mistyped_key_is_seen_without_a_database(place: int, letter: str) -> None:
    text = new_key().text
    place %= len(text)
    mistyped = text[:place] + letter + text[place + 1 :]
    assert (parse_key(mistyped) is None) == (mistyped.strip() != text)


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    assert parse_key(text) is None


def test_what_is_stored_depends_on_the_whole_key_and_the_project() -> None:
    key, other = new_key(), new_key()
    stored = key_hmac(key, PEPPER)
    assert len(stored) == 32
    assert stored == key_hmac(key, PEPPER)
    assert stored != key_hmac(other, PEPPER)
    assert stored != key_hmac(key, bytes(32))
    assert key.text.encode() not in stored


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("reader", {"reader"}), ("member", {"reader", "member"}), ("admin", {"reader", "member", "admin"})],
)
def test_roles_include_those_below(role: Role, allowed: set[Role]) -> None:
    principal = Principal(1, "default", "id", "ci", role)
    needs: tuple[Role, ...] = ("reader", "member", "admin")
    for needed in needs:
        if needed in allowed:
            require_role(principal, needed)
            assert principal.may_act_as(needed)
        else:
            with pytest.raises(RoleTooLowError) as failure:
                require_role(principal, needed)
            assert failure.value.exit_code == 3
            assert str(failure.value) == f"The key ci has the role {role}; this needs {needed}."

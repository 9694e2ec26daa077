"""Which texts of a request guards look at, and which they refuse to."""

from __future__ import annotations

import orjson
import pytest

from skep.gateway.guarding.json_texts import Place, Roles, changed
from skep.gateway.guarding.lumps import Phrases, longest_run


def shout(text: str, place: Place) -> str:
    return text if place.is_name else text.upper()


def test_names_that_the_format_owns_are_texts_like_others_in_arguments() -> None:
    arguments = orjson.dumps({"object": "a", "model": "b", "role": "c", "type": "d", "x": "e"}).decode()
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "f", "arguments": arguments}]})
    found = orjson.loads(changed(body, shout))
    assert found["model"] == "m"
    assert (found["messages"][0]["role"], found["messages"][0]["content"]) == ("user", "F")
    assert list(orjson.loads(found["messages"][0]["arguments"]).values()) == ["A", "B", "C", "D", "E"]


def test_roles_are_those_of_the_list_that_they_stand_in() -> None:
    """Another list of the client's own says nothing of the messages."""
    roles: Roles = {}
    changed(
        orjson.dumps({"messages": [{"role": "user"}, {"role": "tool"}], "x": [{"role": "system"}]}), shout, roles=roles
    )
    assert roles == {("messages", 0): "user", ("messages", 1): "tool", ("x", 0): "system"}


@pytest.mark.parametrize(
    ("text", "length"), [("", 0), ("one two", 3), ("a.b@c/d e", 7), ("x" * 1000, 1000), ("\u6f22" * 1000, 0)]
)
def test_the_longest_run_is_one_without_a_space(text: str, length: int) -> None:
    """Letters of scripts that put none between words stand by themselves."""
    assert longest_run(text) == length


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("so project", True),
        ("so Project \n ", True),
        ("so project hi", True),
        ("so project hive", False),
        ("so projects", False),
        ("so ", False),
        ("", False),
        ("project " * 2000, True),
    ],
)
def test_a_phrase_may_go_on_where_it_has_begun(text: str, may: bool) -> None:
    assert Phrases(("Project Hive",)).may_go_on(text) is may

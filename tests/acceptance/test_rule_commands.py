"""Budgets, limits and projects on the command line."""

from __future__ import annotations

from tests.command import Command


def test_the_life_of_a_budget(skep_on: Command) -> None:
    made = skep_on("budget", "create", "team", "--usd", "500.25", "--per", "month", "--alert", "50", "--json").answer
    assert (made["amount"], made["amount_usd"], made["subject"], made["value"]) == (
        500_250_000_000,
        "500.25",
        "project",
        "",
    )
    assert (made["mode"], made["alert_percents"]) == ("hard", [50])
    changed = skep_on("budget", "set", "team", "--usd", "1", "--mode", "soft", "--allow-unpriced", "--json").answer
    assert (changed["amount"], changed["mode"], changed["allow_unpriced"]) == (10**9, "soft", True)
    assert skep_on("budget", "list", "--json").answer["budgets"] == [changed]
    assert skep_on("budget", "list").out == "team: 1.00 USD per month for project (soft), 0.00 USD used\n"
    assert skep_on("budget", "delete", "team", "--json").answer["name"] == "team"
    assert skep_on("budget", "list", "--json").answer["budgets"] == []


def test_the_life_of_a_limit(skep_on: Command) -> None:
    key = skep_on("key", "create", "--name", "ci", "--json").answer
    made = skep_on("limit", "create", "at-once", "--concurrent", "8", "--of", "key", "--value", "ci", "--json").answer
    assert (made["metric"], made["amount"], made["period"], made["value"]) == ("concurrent", 8, None, key["id"])
    skep_on("limit", "create", "each", "--tokens", "1000", "--per", "hour", "--of", "user")
    assert skep_on("limit", "set", "at-once", "--amount", "9", "--json").answer["amount"] == 9
    assert skep_on("limit", "list").out.splitlines() == [
        f"at-once: 9 concurrent for key {key['id']} (hard), 0 concurrent used",
        "each: 1000 tokens per hour for user each (hard), 0 tokens used",
    ]
    assert [rule["name"] for rule in skep_on("key", "show", "ci", "--json").answer["rules"]] == ["at-once"]
    standing = skep_on("limit", "status", "--key", "ci", "--json").answer["limits"]
    assert [(each["rule"], each["amount"], each["used"]) for each in standing] == [("at-once", 9, 0)]
    skep_on("key", "revoke", "ci")
    assert [rule["name"] for rule in skep_on("limit", "list", "--json").answer["limits"]] == ["each"]


def test_what_cannot_be_done_is_said(skep_on: Command) -> None:
    skep_on("limit", "create", "calls", "--requests", "5", "--per", "minute")
    for arguments, code, error in (
        (("budget", "create", "b", "--usd", "-1", "--per", "day"), 2, "rule_invalid"),
        (("budget", "create", "b", "--usd", "1"), 2, "command_usage"),
        (("budget", "create", "calls", "--usd", "1", "--per", "day"), 1, "rule_exists"),
        (("budget", "create", "b", "--usd", "1", "--per", "day", "--of", "key", "--value", "x"), 1, "key_not_found"),
        (("budget", "create", "b", "--usd", "1", "--per", "day", "--value", "x"), 2, "rule_invalid"),
        (("budget", "create", "b", "--usd", "1", "--per", "day", "--alert", "0"), 2, "rule_invalid"),
        (("budget", "set", "calls", "--usd", "1"), 1, "rule_not_found"),
        (("budget", "delete", "calls"), 1, "rule_not_found"),
        (("limit", "set", "calls"), 2, "command_usage"),
        (("limit", "create", "l", "--requests", "5", "--tokens", "5", "--per", "day"), 2, "command_usage"),
        (("limit", "create", "l", "--requests", "5"), 2, "rule_invalid"),
        (("limit", "create", "l", "--concurrent", "5", "--per", "day"), 2, "rule_invalid"),
    ):
        assert skep_on(*arguments, "--json", code=code).error["code"] == error, arguments
    assert [rule["name"] for rule in skep_on("limit", "list", "--json").answer["limits"]] == ["calls"]


def test_projects_keep_to_themselves(skep_on: Command) -> None:
    made = skep_on("project", "create", "research", "--json").answer
    theirs = Command(skep_on.data, skep_on.folder, skep_on.url, more={"SKEP_KEY": made["key"]})
    theirs("budget", "create", "ours", "--usd", "1", "--per", "day")
    assert skep_on("budget", "list", "--json").answer["budgets"] == []
    assert [key["id"] for key in theirs("key", "list", "--json").answer["keys"]] == [made["id"]]
    assert [project["name"] for project in theirs("project", "list", "--json").answer["projects"]] == ["research"]
    assert theirs("project", "create", "more", "--json", code=3).error["code"] == "projects_foreign"
    listed = skep_on("project", "list").out.splitlines()
    assert [line.split(" ")[0] for line in listed] == ["default", "research"]
    assert skep_on("project", "create", "research", "--json", code=1).error["code"] == "project_exists"
    assert skep_on("project", "create", "a/b", "--json", code=2).error["code"] == "project_name"

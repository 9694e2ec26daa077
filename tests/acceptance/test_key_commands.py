"""Keys as people meet them: made, shown, renewed and revoked on the command line, refused by a running server."""

from __future__ import annotations

from tests.command import Command


def test_the_life_of_a_key(skep_on: Command) -> None:
    made = skep_on(
        *(
            "key",
            "create",
            "--name",
            "ci",
            "--budget-usd",
            "5",
            "--per",
            "day",
            "--rpm",
            "60",
            "--models",
            "smart,gpt-*",
        ),
        "--json",
    ).answer
    assert made["key"].startswith(f"skep_{made['id']}_")
    assert (made["name"], made["role"], made["models"]) == ("ci", "member", ["smart", "gpt-*"])
    assert [(rule["metric"], rule["period"], rule["amount"], rule["amount_usd"]) for rule in made["rules"]] == [
        ("cost", "day", 5_000_000_000, "5.00"),
        ("requests", "minute", 60, None),
    ]
    listing = skep_on("key", "list", "--json")
    assert [key["name"] for key in listing.answer["keys"]] == ["ci", "admin"]
    shown = skep_on("key", "show", "ci", "--json")
    assert shown.answer["rules"] == made["rules"]
    renewed = skep_on("key", "rotate", "ci", "--json").answer
    assert (renewed["id"], renewed["previous_until"] is not None) == (made["id"], True)
    for secret in (made["key"], renewed["key"]):
        assert secret not in listing.out + shown.out
        skep_as(skep_on, secret)("search", "x", "--json", code=1)  # nothing is indexed; the key is one
        assert skep_as(skep_on, secret)("key", "list", "--json", code=3).error["code"] == "role_too_low"
    assert skep_on("key", "revoke", "ci", "--json").answer["state"] == "revoked"
    assert skep_as(skep_on, renewed["key"])("search", "x", "--json", code=3).error["code"] == "key_invalid"
    assert [key["name"] for key in skep_on("key", "list", "--json").answer["keys"]] == ["admin"]
    (ended,) = [key for key in skep_on("key", "list", "--all", "--json").answer["keys"] if key["name"] == "ci"]
    assert ended["rules"] == [], "its rules went with it"


def test_the_secret_alone_is_on_standard_output(skep_on: Command) -> None:
    made = skep_on(
        "key", "create", "--name", "anna", "--user", "anna", "--addresses", "10.0.0.0/8", "--concurrent", "2"
    )
    assert made.out.count("\n") == 1
    assert made.out.strip() not in made.err
    for words in ("anna", "10.0.0.0/8", "2 concurrent", "only time"):
        assert words in made.err
    assert skep_as(skep_on, made.out.strip())("status", "--json").code == 0


def test_a_key_for_a_model_that_is_not_there_is_made_with_a_warning(skep_on: Command) -> None:
    (skep_on.folder / "skep.yaml").write_text(
        "providers: {p: {base_url: 'http://127.0.0.1:9/v1'}}\nmodels: {smart: {routes: [{provider: p, model: x}], tier: fast}}\n"
    )
    made = skep_on("key", "create", "--name", "ci", "--models", "smrt,sm*,tier:fast,local,gpt-*")
    warnings = [line for line in made.err.splitlines() if line.startswith("warning: ")]
    assert [line.partition(" The key")[0] for line in warnings] == [
        "warning: no model of the settings is called smrt; did you mean smart?",
        "warning: no model of the settings is called gpt-*.",
    ]
    assert made.out.startswith("skep_")
    (skep_on.folder / "skep.yaml").unlink()
    assert "warning" not in skep_on("key", "create", "--name", "other", "--models", "smrt").err


def test_what_cannot_be_done_is_said(skep_on: Command) -> None:
    for arguments, code, error in (
        (("create", "--name", "no/name"), 2, "key_wish_invalid"),
        (("create", "--name", "a", "--models", "x y"), 2, "key_wish_invalid"),
        (("create", "--name", "a", "--per", "day"), 2, "rule_invalid"),
        (("create", "--name", "a", "--budget-usd", "five"), 2, "command_usage"),
        (("create", "--name", "a", "--budget-usd", "-1"), 2, "rule_invalid"),
        (("create", "--name", "a", "--rpm", "-1"), 2, "command_usage"),
        (("create", "--name", "admin"), 1, "key_exists"),
        (("show", "nobody"), 1, "key_not_found"),
        (("revoke", "admin"), 1, "last_admin_key"),
        (("rotate", "admin", "--overlap-hours", "-1"), 2, "overlap_invalid"),
    ):
        assert skep_on("key", *arguments, "--json", code=code).error["code"] == error
    assert [key["name"] for key in skep_on("key", "list", "--all", "--json").answer["keys"]] == ["admin"]


def test_the_administrators_key_can_be_renewed(skep_on: Command) -> None:
    made = skep_on("key", "rotate", "admin", "--overlap-hours", "0", "--json").answer
    assert (skep_on.data / "admin.key").read_text().strip() == made["key"]
    assert skep_on("status").code == 0


def skep_as(skep: Command, secret: str) -> Command:
    """The same command with somebody's key."""
    return Command(skep.data, skep.folder, skep.url, more={**skep.more, "SKEP_KEY": secret})

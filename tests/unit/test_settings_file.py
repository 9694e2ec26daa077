from __future__ import annotations

from pathlib import Path

import pytest

from skep.settings import (
    InvalidSettingsError,
    OpenSection,
    Secret,
    SettingsFileUnreadableError,
    load_settings,
    signing_keys,
)
from skep.settings.locate import MAX_FILE_BYTES
from tests.unit.settings_reading import PASSWORD, dig, load, problems


class TestFile:
    @pytest.mark.parametrize(
        ("text", "name", "expected"),
        [
            ("server: {port: 8000}", "server.port", 8000),
            ("server:\n  port: 65_535\n", "server.port", 65_535),
            ("server:\n  port: 0\n", "server.port", 0),
            ("index:\n  include_secrets: yes\n", "index.include_secrets", True),
            ("index:\n  include_secrets: False\n", "index.include_secrets", False),
            ("index:\n  ignore: ['*.log', build/, 1]\n", "index.ignore", ("*.log", "build/", "1")),
            ("index:\n  ignore: []\n", "index.ignore", ()),
            ("database:\n  run_as: 1000\n", "database.run_as", "1000"),
            ("database:\n  run_as: no\n", "database.run_as", "no"),
            ("database:\n  run_as: ~\n", "database.run_as", None),
            ("database:\n  run_as:\n", "database.run_as", None),
            ("database:\n  run_as: 'null'\n", "database.run_as", "null"),
            ("database:\n  url: postgresql://u:p@h/d\n", "database.url", Secret("postgresql://u:p@h/d")),
            ("log: {level: 'debug', format: json}", "log.level", "debug"),
            ("\ufeffserver:\n  host: 'häuschen'\n", "server.host", "häuschen"),
            ("server:\n", "server.port", 7117),
            ("# nothing\n", "server.port", 7117),
            ("", "server.port", 7117),
            ("---\nserver:\n  port: 1\n...\n", "server.port", 1),
            ("data_folder: /elsewhere\n", "data_folder", Path("/elsewhere")),
        ],
    )
    def test_values(self, tmp_path: Path, text: str, name: str, expected: object) -> None:
        assert dig(load(tmp_path, text), name) == expected

    def test_paths_start_from_the_folder_of_the_file(self, tmp_path: Path) -> None:
        below = tmp_path / "below"
        below.mkdir()
        (tmp_path / "skep.yaml").write_text("data_folder: data\nserver: {tls_certificate: ~/c.pem, tls_key: ./k.pem}\n")
        settings = load(below)
        assert settings.data_folder == tmp_path / "data"
        assert settings.server.tls_certificate == below / "home" / "c.pem"
        assert settings.server.tls_key == tmp_path / "k.pem"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("server:\n  prot: 1\n", [("server.prot", 2, 3, "there is no such setting|server.port")]),
            (
                "server:\n  Allow-Origins: []\n",
                [("server.Allow-Origins", 2, 3, "there is no such setting|server.allow_origins")],
            ),
            ("sever:\n  port: 1\n", [("sever", 1, 1, "there is no such setting|server")]),
            ("port: 1\n", [("port", 1, 1, "there is no such setting|server.port")]),
            ("server.port: 1\n", [("server.port", 1, 1, "there is no such setting|server.port")]),
            ("server:\n  level: info\n", [("server.level", 2, 3, "there is no such setting|log.level")]),
            ("zzzzzz: 1\n", [("zzzzzz", 1, 1, "there is no such setting|")]),
            (
                "server:\n  port: 70000\n",
                [("server.port", 2, 9, "expected a whole number from 0 to 65535, got '70000'|")],
            ),
            ("server:\n  port: -1\n", [("server.port", 2, 9, "expected a whole number from 0 to 65535, got '-1'|")]),
            (
                "server:\n  port: " + "9" * 5000,
                [("server.port", 2, 9, f"expected a whole number from 0 to 65535, got '{'9' * 37}...'|")],
            ),
            (
                "server:\n  port: '80'\n",
                [
                    (
                        "server.port",
                        2,
                        9,
                        "expected a whole number from 0 to 65535, got the text '80'; remove the quotes|",
                    )
                ],
            ),
            (
                "index:\n  max_file_bytes: 1MiB\n",
                [("index.max_file_bytes", 2, 19, "expected a whole number of bytes from 1 to 1073741824, got '1MiB'|")],
            ),
            (
                "database:\n  connect_timeout_seconds:\n",
                [
                    (
                        "database.connect_timeout_seconds",
                        2,
                        27,
                        "expected a whole number of seconds from 1 to 3600, got nothing; leave the line out for the default|",
                    )
                ],
            ),
            ("server:\n  port: [1]\n", [("server.port", 2, 9, "expected a whole number from 0 to 65535, got a list|")]),
            ("server:\n  host: {a: 1}\n", [("server.host", 2, 9, "expected text, got names with values|")]),
            ("server:\n  host: ''\n", [("server.host", 2, 9, "expected text, got nothing|")]),
            (
                'server:\n  host: "a\\nb"\n',
                [("server.host", 2, 9, "must not contain line breaks or other control characters|")],
            ),
            (
                "index:\n  include_secrets: ture\n",
                [("index.include_secrets", 2, 20, "expected true or false, got 'ture'|true")],
            ),
            (
                "log:\n  level: warn\n",
                [("log.level", 2, 10, "expected debug, info, warning or error, got 'warn'|warning")],
            ),
            (
                "index:\n  ignore: a\n",
                [("index.ignore", 2, 11, 'expected a list such as ["a", "b"], got a single text|')],
            ),
            (
                "index:\n  ignore: [a, [b]]\n",
                [("index.ignore", 2, 11, 'expected a list such as ["a", "b"], got an entry that is not text|')],
            ),
            ("server: 1\n", [("server", 1, 9, "expected names with values, indented below it|")]),
            ("- a\n", [("", 1, 1, "expected names with values, such as `server:`, at the top level|")]),
            ("hello\n", [("", 1, 1, "expected names with values, such as `server:`, at the top level|")]),
            (
                "data_folder: ~bob/x\n",
                [("data_folder", 1, 14, "only ~/ for your own home folder is understood, not the homes of others|")],
            ),
            ("server:\n  port: 1\n  port: 2\n", [("server.port", 3, 3, "said twice; it already stands on line 2|")]),
            ("server:\n  tls_key: a\n", [("server.tls_key", 2, 12, "needs server.tls_certificate too|")]),
            ("server:\n  tls_certificate: a\n", [("server.tls_certificate", 2, 20, "needs server.tls_key too|")]),
            (
                "server:\n  tls_certificate: a\n  tls_key: [a]\n",
                [("server.tls_key", 3, 12, "expected a path, got a list|")],
            ),
            (
                "search:\n  max_top_k: 5\n",
                [("search.max_top_k", 2, 14, "search.default_top_k (10) must not be more than search.max_top_k (5)|")],
            ),
            (
                f"spend: {{alert_webhook_secret: {PASSWORD}}}\n",
                [
                    ("spend.alert_webhook_secret", 1, 31, "needs spend.alert_webhook_url too|"),
                    ("spend.alert_webhook_secret", 1, 31, "must be whsec_ and a key in base64|"),
                ],
            ),
            *(
                (
                    f"spend:\n  alert_webhook_url: {url}\n  alert_webhook_secret: whsec_{'A' * 32}\n",
                    [("spend.alert_webhook_url", 2, 22, f"{reason}|")],
                )
                for url, reason in (
                    ("ftp://example.com/", "must be an address such as https://example.com/hook"),
                    ("https:///hook", "must be an address such as https://example.com/hook"),
                    ('"https://example.com/a b"', "must be an address such as https://example.com/hook"),
                    ("https://example.com:port/", "is no address of the web"),
                    (
                        "https://me:pw@example.com/",
                        "must not contain a user name or a password; the signature says who sends",
                    ),
                    ("https://example.com/#x", "must not end with a fragment (#...)"),
                )
            ),
            *(
                (
                    f"spend:\n  alert_webhook_url: https://x/\n  alert_webhook_secret: {secret}\n",
                    [("spend.alert_webhook_secret", 3, 25, f"{reason}|")],
                )
                for secret, reason in (
                    ("whsec_AAAA", "must stand for 24 to 64 bytes, not 3"),
                    (f"whsec_{'A' * 32} whsec_x", "must be whsec_ and a key in base64"),
                )
            ),
            (
                "spend:\n  alert_webhook_url: https://x/\n",
                [("spend.alert_webhook_url", 2, 22, "needs spend.alert_webhook_secret too|")],
            ),
        ],
    )
    def test_errors(self, tmp_path: Path, text: str, expected: list[tuple[str, int, int, str]]) -> None:
        assert problems(tmp_path, text) == expected

    def test_a_webhook_may_have_two_secrets(self, tmp_path: Path) -> None:
        text = "spend: {alert_webhook_url: 'http://[::1]:8080/a?b=c', alert_webhook_secret: '${ONE} ${OTHER}'}\n"
        one, other = f"whsec_{'A' * 32}", f"whsec_{'B' * 32}"
        secret = load(tmp_path, text, ONE=one, OTHER=other).spend.alert_webhook_secret
        assert secret is not None
        assert signing_keys(secret) == (bytes(24), bytes([4, 16, 65]) * 8)

    def test_all_problems_are_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError) as caught:
            load(tmp_path, "server:\n  port: x\n  hots: y\nlog: {level: loud}\n", SKEP_INDEX_JOBS="many")
        assert [each.field for each in caught.value.problems] == [
            "server.port",
            "server.hots",
            "log.level",
            "index.jobs",
        ]
        assert str(caught.value) == "The settings are not valid: 4 problems"
        assert caught.value.exit_code == 2

    def test_a_flood_of_problems_is_cut(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError, match=r"1000 problems, the first 100 are$") as caught:
            load(tmp_path, "\n".join(f"x{number}: 1" for number in range(1000)))
        assert len(caught.value.problems) == 100

    def test_one_problem_is_the_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidSettingsError) as caught:
            load(tmp_path, "server:\n  prot: 1\n")
        assert str(caught.value) == (
            f"The settings are not valid: {tmp_path}/skep.yaml:2:3: server.prot: there is no such setting; "
            "did you mean server.port?"
        )

    @pytest.mark.parametrize("text", ["[" * 100_000, "a: " * 50_000, "? " * 1000, "{a: " * 30_000, "- " * 100_000])
    def test_hostile_nesting_ends_in_words(self, tmp_path: Path, text: str) -> None:
        assert problems(tmp_path, text)

    def test_a_file_that_grows_by_aliases_is_refused(self, tmp_path: Path) -> None:
        lines = [
            "a: &a [x, x]",
            *(f"{new}: &{new} [*{old}, *{old}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
        ]
        found = problems(tmp_path, "\n".join(lines))
        assert ("b", 2, 8, "aliases (*a) are not allowed; write the value out|") in found
        assert len([each for each in found if "aliases" in each[3]]) == 16

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
            (b"server:\n  host: \xff\n", "line 2 is not UTF-8"),
            ("server: {}".encode("utf-16"), "line 1 is not UTF-8"),
        ],
    )
    def test_unreadable_files(self, tmp_path: Path, data: bytes, reason: str) -> None:
        (tmp_path / "skep.yaml").write_bytes(data)
        with pytest.raises(SettingsFileUnreadableError, match=reason):
            load(tmp_path)


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "line", "words"),
        [
            ("server:\n\tport: 1\n", 2, "tab"),
            ("server:\n  host: a: b\n", 2, "put text that contains ': ' in quotes"),
            ("server:\n  host: 'open\n  port: 1\n", 2, "never closed"),
            ("index:\n  ignore: [a, b\n", 3, "not valid YAML"),
            ("server:\n  host: @x\n", 2, "cannot start with this character"),
            ("server:\n  host: !!python/object:os.system x\n", 2, "YAML tags"),
            ("server:\n  host: a\n---\nlog:\n", 3, "second document"),
            ("server:\n  host: \x01\n", 2, "control characters"),
            ("# ü\nserver:\n  host: \x01\n", 3, "control characters"),
            ("? [a]\n: b\n", 1, "a single word"),
            ("<<: {a: 1}\n", 1, "no such setting"),
        ],
    )
    def test_names_line_and_cause(self, tmp_path: Path, text: str, line: int, words: str) -> None:
        found = problems(tmp_path, text)
        assert (found[0][1], words in found[0][3]) == (line, True), found

    def test_does_not_repeat_the_line(self, tmp_path: Path) -> None:
        for text in (
            f"database:\n  url: {PASSWORD}: x\n",
            f"database:\n\turl: {PASSWORD}\n",
            f"database: '{PASSWORD}\n",
        ):
            assert PASSWORD not in repr(problems(tmp_path, text))


class TestVariablesInTheFile:
    @pytest.mark.parametrize(
        ("written", "expected"),
        [
            ("${NAME}", "web"),
            ("a-${NAME}.${NAME}", "a-web.web"),
            ("${MISSING:-other}", "other"),
            ("${EMPTY:-other}", "other"),
            ("${NAME:-other}", "web"),
            ("x${MISSING:-}y", "xy"),
            ("$${NAME}", "${NAME}"),
            ("$$$${NAME}", "$${NAME}"),
            ("$$${NAME}", "$web"),
            ("$NAME", "$NAME"),
            ("100$", "100$"),
            ("'${NAME}'", "web"),
            ("${TRICKY}", "${NAME}"),
        ],
    )
    def test_filled_in(self, tmp_path: Path, written: str, expected: str) -> None:
        settings = load(tmp_path, f"server:\n  host: {written}\n", NAME="web", EMPTY="", TRICKY="${NAME}")
        assert settings.server.host == expected

    def test_filled_in_values_get_their_type(self, tmp_path: Path) -> None:
        text = (
            'server:\n  port: ${PORT}\n  allow_origins: ["${SITE}", b]\n  allow_hosts: ${HOSTS}\n'
            'index:\n  jobs: "${JOBS:-3}"\n  include_secrets: ${YES}\ndatabase:\n  url: ${NONE:-}\n'
        )
        settings = load(tmp_path, text, PORT="81", SITE="https://a", HOSTS="x, y", YES="true")
        assert settings.server.port == 81
        assert settings.server.allow_origins == ("https://a", "b")
        assert settings.server.allow_hosts == ("x", "y")
        assert settings.index.jobs == 3
        assert settings.index.include_secrets is True
        assert settings.database.url is None

    def test_missing_variable_names_line_field_and_variable(self, tmp_path: Path) -> None:
        assert problems(tmp_path, "server:\n  host: a${NOPE}\n") == [
            ("server.host", 2, 9, "the environment variable NOPE is not set; set it or write ${NOPE:-default}|")
        ]

    @pytest.mark.parametrize("written", ["${", "${}", "${a b}", "${1A}", "${NAME", "${NAME-x}"])
    def test_malformed_references(self, tmp_path: Path, written: str) -> None:
        found = problems(tmp_path, f"server:\n  host: '{written}'\n", NAME="web")
        assert [(each[0], each[1]) for each in found] == [("server.host", 2)]
        assert "must go on as ${NAME}" in found[0][3]

    def test_what_a_variable_holds_is_not_told(self, tmp_path: Path) -> None:
        text = "server:\n  port: ${PW}\nlog:\n  level: ${PW}\nindex:\n  include_secrets: '${PW}'\n"
        found = problems(tmp_path, text, PW=PASSWORD)
        assert len(found) == 3
        assert PASSWORD not in repr(found)
        assert "what ${PW} stands for" in found[0][3]


class TestOpenSections:
    TEXT = """\
models:
  fast:
    key: ${PW}
    retries: 3
    ratio: 0.5
    off: false
    nothing:
    list: [no, 1:30, "7"]
server:
  port: 1
"""

    def test_unknown_unless_registered(self, tmp_path: Path) -> None:
        (tmp_path / "skep.yaml").write_text(self.TEXT)
        with pytest.raises(InvalidSettingsError, match=r"skep\.yaml:1:1: models: there is no such setting"):
            load_settings(None, {"PW": "x"}, tmp_path, open_sections=[])

    def test_value_and_places_are_kept(self, tmp_path: Path) -> None:
        (tmp_path / "skep.yaml").write_text(self.TEXT)
        settings = load_settings(None, {"PW": PASSWORD}, tmp_path, open_sections=["models", "budgets"])
        section = settings.open_sections["models"]
        assert settings.open_sections.keys() == {"models"}
        assert section.value == {
            "fast": {
                "key": PASSWORD,
                "retries": 3,
                "ratio": 0.5,
                "off": False,
                "nothing": None,
                "list": ["no", "1:30", "7"],
            }
        }
        places = {(): 1, ("fast", "retries"): 4, ("fast", "list", 2): 8, ("fast", "list", 9, "x"): 8, ("slow",): 1}
        assert {path: section.place(path).line for path in places} == places
        assert PASSWORD not in repr(settings)
        assert isinstance(section, OpenSection)

    def test_missing_variables_inside_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "skep.yaml").write_text(self.TEXT)
        with pytest.raises(InvalidSettingsError, match=r"models\.fast\.key: the environment variable PW is not set"):
            load_settings(None, {}, tmp_path, open_sections=["models"])

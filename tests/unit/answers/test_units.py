"""What of a passage is quoted, and on which lines it stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skep.answers.units import MOST_CHARACTERS, Unit, units_of, widened

TEXT = """\
## Revoking

A key ends with `revoke`. It is refused
within a second. Rules go with it.

- First item goes
  on here. It ends.
- Second item.

| name | meaning |
|---|---|
| ci | the build |

```sh
skep key revoke ci

echo done
```
The end."""


def test_prose_is_cut_at_sentences_items_rows_and_fences() -> None:
    assert units_of(TEXT, "docs") == [
        Unit("A key ends with `revoke`.", 2, 2),
        Unit("It is refused within a second.", 2, 3),
        Unit("Rules go with it.", 3, 3),
        Unit("- First item goes on here.", 5, 6),
        Unit("It ends.", 6, 6),
        Unit("- Second item.", 7, 7),
        Unit("| name | meaning |", 9, 9),
        Unit("| ci | the build |", 11, 11),
        Unit("```sh\nskep key revoke ci\n\necho done\n```", 13, 17),
        Unit("The end.", 18, 18),
    ]


def test_code_is_cut_into_pieces_of_ten_lines() -> None:
    lines = [f"line_{number} = {number}" for number in range(25)]
    assert [(unit.first_line, unit.last_line) for unit in units_of("\n".join(lines), "code")] == [
        (0, 9),
        (10, 19),
        (20, 24),
    ]


def test_a_quote_goes_on_where_the_text_does_and_there_is_room() -> None:
    units = units_of(TEXT, "docs")
    assert widened(units, 0) == Unit("A key ends with `revoke`. It is refused within a second. Rules go with it.", 2, 3)
    long = [Unit("a" * (MOST_CHARACTERS - 1), 0, 0), Unit("bcd", 0, 0)]
    assert widened(long, 0) == long[0]


@given(st.text(alphabet="ab.| -`#\n", max_size=80))
def test_lines_of_units_are_lines_of_the_text(text: str) -> None:
    count = len(text.split("\n"))
    for kind in ("docs", "code"):
        for unit in units_of(text, kind):
            assert 0 <= unit.first_line <= unit.last_line < count

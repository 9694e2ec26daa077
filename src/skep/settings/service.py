"""Reads the settings once: defaults, then the file, then the environment, then the command line; the last one wins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from skep.settings.expand import UnfillableError, expand, referred
from skep.settings.interfaces import COMMAND_LINE, DEFAULT, CommandLine, InvalidSettingsError, Origin, Problem
from skep.settings.locate import (
    CONFIG_VARIABLE,
    Surroundings,
    default_data_folder,
    find_file,
    look_around,
    read_text,
)
from skep.settings.models import OPEN_SECTIONS, Settings
from skep.settings.rows import (
    Anchor,
    RejectedError,
    Row,
    all_rows,
    from_items,
    from_object,
    from_text,
    from_written_text,
    nearest_word,
    rows_by_name,
    sections,
)
from skep.settings.vocabulary import OpenSection
from skep.settings.webhooks import webhook_faults
from skep.settings.yamlfile import Broken, ListNode, MapNode, Node, Scalar, plain_value, read_yaml

OTHER_VARIABLES = (CONFIG_VARIABLE, "SKEP_PYTHON", "SKEP_VENV")
"""Variables of ours that are not settings; the last two are read by the launcher script."""


def load_settings(
    command_line: CommandLine | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    *,
    open_sections: Iterable[str] = OPEN_SECTIONS,
) -> Settings:
    """The settings of this process. The only place in Skep that reads the environment.

    ``environ`` and ``folder`` (where relative paths and the search for the file start) are those of the process when None.
    Raises InvalidSettingsError with every problem at once, SettingsFileMissingError, SettingsFileUnreadableError.
    """
    command_line = command_line or CommandLine()
    around = look_around(environ, folder)
    path, warnings = find_file(command_line.config, around)
    reading = _Reading(around, frozenset(open_sections), warnings=warnings)
    if path is not None:
        _read_file(reading, path)
    _read_environment(reading)
    _read_overrides(reading, command_line.overrides)
    _read_borrowed(reading)
    reading.finish()
    if "data_folder" not in reading.values:
        reading.values["data_folder"] = default_data_folder(around)
    settings = _build(reading.values)
    return replace(
        settings,
        file=path,
        open_sections=reading.opened,
        warnings=tuple(reading.warnings),
        origins=reading.origins,
    )


def with_overrides(settings: Settings, overrides: Mapping[str, object]) -> Settings:
    """The settings with some values (by dotted name) replaced by what a command's own options say; None is not an option.

    Raises InvalidSettingsError.
    """
    reading = _Reading(look_around({}, None), frozenset())
    reading.values = {row.name: value_of(settings, row) for row in all_rows()}
    reading.origins = dict(settings.origins)
    _read_overrides(reading, overrides)
    reading.finish()
    extras = {name: getattr(settings, name) for name in ("file", "open_sections", "warnings")}
    return replace(_build(reading.values), origins=reading.origins, **extras)


def value_of(settings: Settings, row: Row) -> object:
    """The value that a setting has."""
    holder = getattr(settings, row.section) if row.section else settings
    value: object = getattr(holder, row.field)
    return value


@dataclass(slots=True)
class _Reading:
    """What was understood so far. Only lives inside ``load_settings`` and ``with_overrides``."""

    around: Surroundings
    open_names: frozenset[str]
    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    opened: dict[str, OpenSection] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    referred: set[str] = field(default_factory=set)
    """Environment variables that the file refers to."""

    def keep(self, row: Row, value: object, origin: Origin) -> None:
        self.values[row.name] = value
        self.origins[row.name] = origin

    def finish(self) -> None:
        """Raises InvalidSettingsError when anything is wrong."""
        reported = {problem.field for problem in self.problems}
        for names, problem in _contradictions(self.values, self.origins):
            # A value that was refused is missing here; what follows from that is no news.
            if reported.isdisjoint(names):
                self.problems.append(problem)
        if self.problems:
            raise InvalidSettingsError(self.problems)


def _read_file(reading: _Reading, path: Path) -> None:
    root, faults = read_yaml(read_text(path))
    for fault in faults:
        place = Origin("file", path, fault.line, fault.column)
        reading.problems.append(Problem(place, fault.field, fault.reason))
    if isinstance(root, MapNode):
        _FileReader(reading, path).top(root)
    elif not (root is None or isinstance(root, Broken) or (isinstance(root, Scalar) and root.is_null)):
        place = Origin("file", path, root.line, root.column)
        reading.problems.append(Problem(place, "", "expected names with values, such as `server:`, at the top level"))


class _FileReader:
    """Takes the tree of one settings file into a reading."""

    def __init__(self, reading: _Reading, path: Path) -> None:
        self._reading = reading
        self._path = path
        self._anchor = Anchor(path.parent, reading.around.home)

    def top(self, root: MapNode) -> None:
        names = sections()
        for key, node in root.entries:
            if key.text in rows_by_name() and "." not in key.text:
                self._setting(rows_by_name()[key.text], node)
            elif key.text in names and key.text:
                self._section(key.text, node)
            elif key.text in self._reading.open_names:
                places: dict[tuple[str | int, ...], Origin] = {}
                value = self._plain(node, (), places, key.text)
                places[()] = self._place(key)
                self._reading.opened[key.text] = OpenSection(key.text, value, places)
            else:
                known = [row.field for row in all_rows() if not row.section] + [name for name in names if name]
                self._unknown(key, key.text, "", [*known, *self._reading.open_names])

    def _section(self, name: str, node: Node) -> None:
        if isinstance(node, Broken) or (isinstance(node, Scalar) and node.is_null):
            return
        if not isinstance(node, MapNode):
            self._problem(node, name, "expected names with values, indented below it")
            return
        for key, value in node.entries:
            row = rows_by_name().get(f"{name}.{key.text}")
            if row is None:
                known = [row.field for row in all_rows() if row.section == name]
                self._unknown(key, f"{name}.{key.text}", f"{name}.", known)
            else:
                self._setting(row, value)

    def _setting(self, row: Row, node: Node) -> None:
        if isinstance(node, Broken):
            return
        try:
            value = self._value(row, node)
        except (RejectedError, UnfillableError) as exc:
            self._problem(node, row.name, str(exc), exc.nearest if isinstance(exc, RejectedError) else "")
        else:
            self._reading.keep(row, value, self._place(node))

    def _value(self, row: Row, node: Node) -> object:
        """The row's value. Raises RejectedError, UnfillableError."""
        if isinstance(node, ListNode):
            return from_items(row, [self._item(row, item) for item in node.items])
        if not isinstance(node, Scalar):
            raise RejectedError(f"expected {row.expected}, got names with values")
        if node.is_null:
            if row.optional:
                return None
            raise RejectedError(f"expected {row.expected}, got nothing; leave the line out for the default")
        text = self._expanded(node)
        if referred(node.text):
            # What a variable holds may be secret wherever it is used, so a reason names the reference and not the value.
            return from_text(row, text, self._anchor, said=f"what {node.text.strip()} stands for")
        if row.kind == "list":
            raise RejectedError(f"expected {row.expected}, got a single text")
        if node.plain and row.kind in ("integer", "boolean"):
            return from_text(row, text, self._anchor)
        return from_written_text(row, text, self._anchor)

    def _item(self, row: Row, node: Node) -> str:
        if not isinstance(node, Scalar) or node.is_null:
            raise RejectedError(f"expected {row.expected}, got an entry that is not text")
        return self._expanded(node)

    def _plain(
        self, node: Node, path: tuple[str | int, ...], places: dict[tuple[str | int, ...], Origin], section: str
    ) -> object:
        """The node as plain values; notes the place of each one."""
        places[path] = self._place(node)
        if isinstance(node, MapNode):
            return {key.text: self._plain(value, (*path, key.text), places, section) for key, value in node.entries}
        if isinstance(node, ListNode):
            return [self._plain(item, (*path, index), places, section) for index, item in enumerate(node.items)]
        if isinstance(node, Broken):
            return None
        try:
            text = self._expanded(node)
        except UnfillableError as exc:
            self._problem(node, ".".join((section, *map(str, path))), str(exc))
            return None
        return plain_value(replace(node, text=text))

    def _expanded(self, scalar: Scalar) -> str:
        self._reading.referred.update(referred(scalar.text))
        return expand(scalar.text, self._reading.around.environ)

    def _unknown(self, key: Scalar, name: str, prefix: str, known: list[str]) -> None:
        elsewhere = [row.name for row in all_rows() if key.text in (row.field, row.name)]
        near = "" if key.text in rows_by_name() else nearest_word(key.text, known)
        nearest = f"{prefix}{near}" if near else elsewhere[0] if elsewhere else ""
        self._problem(key, name, "there is no such setting", nearest)

    def _problem(self, node: Node, name: str, reason: str, nearest: str = "") -> None:
        self._reading.problems.append(Problem(self._place(node), name, reason, nearest))

    def _place(self, node: Node) -> Origin:
        return Origin("file", self._path, node.line, node.column)


def _read_environment(reading: _Reading) -> None:
    """Takes in ``SKEP_*``. An empty variable counts as unset: container tools hand on empty ones for what was not said."""
    rows = {variable: row for row in all_rows() for variable in row.variables}
    anchor = Anchor(reading.around.folder, reading.around.home)
    said: dict[str, str] = {}
    for variable, text in sorted(reading.around.environ.items()):
        row = rows.get(variable)
        origin = Origin("environment", variable=variable)
        if row is not None and text:
            if said.setdefault(row.name, text) != text:
                twice = f"{' and '.join(row.variables)} mean the same setting but differ; unset one"
                reading.problems.append(Problem(origin, row.name, twice))
            _take(reading, row, text, anchor, origin)
        elif row is None and variable.startswith("SKEP_") and variable not in reading.referred | {*OTHER_VARIABLES}:
            # Compared without the prefix, which would make any two of them look alike.
            names = {name.removeprefix("SKEP_"): name for name in (*rows, *OTHER_VARIABLES)}
            nearest = names.get(nearest_word(variable.removeprefix("SKEP_"), list(names)), "")
            reading.warnings.append(Problem(origin, "", "no setting has this name; it has no effect", nearest))


def _read_overrides(reading: _Reading, overrides: Mapping[str, object]) -> None:
    anchor = Anchor(reading.around.folder, reading.around.home)
    for name, value in overrides.items():
        if value is not None:
            _take(reading, rows_by_name()[name], value, anchor, COMMAND_LINE)


def _read_borrowed(reading: _Reading) -> None:
    """Takes in what variables of other programs say about settings that are said nowhere."""
    anchor = Anchor(reading.around.folder, reading.around.home)
    refused = {problem.field for problem in reading.problems}
    for row in all_rows():
        if row.name in reading.values or row.name in refused:
            continue
        for variable in row.facts.borrowed_variables:
            if text := reading.around.environ.get(variable, "").strip():
                # Others take their words in any case.
                said = text.lower() if row.kind == "choice" else text
                _take(reading, row, said, anchor, Origin("environment", variable=variable))
                break


def _take(reading: _Reading, row: Row, value: object, anchor: Anchor, origin: Origin) -> None:
    try:
        reading.keep(row, from_object(row, value, anchor), origin)
    except RejectedError as exc:
        reading.problems.append(Problem(origin, row.name, exc.reason, exc.nearest))


def _contradictions(
    values: Mapping[str, object], origins: Mapping[str, Origin]
) -> Iterator[tuple[tuple[str, ...], Problem]]:
    """What no setting can see alone, and the settings that take part. Settings that are missing have their defaults."""

    def value(name: str) -> object:
        return values.get(name, rows_by_name()[name].default)

    pair = ("server.tls_certificate", "server.tls_key")
    for one, other in (pair, pair[::-1]):
        if value(one) is not None and value(other) is None:
            yield pair, Problem(origins.get(one, DEFAULT), one, f"needs {other} too")
    yield from _wrong_networks(value("server.trusted_proxies"), origins)
    usual, most = value("search.default_top_k"), value("search.max_top_k")
    if isinstance(usual, int) and isinstance(most, int) and usual > most:
        names = ("search.default_top_k", "search.max_top_k")
        said = next((name for name in names if name in origins), names[0])
        reason = f"search.default_top_k ({usual}) must not be more than search.max_top_k ({most})"
        yield names, Problem(origins.get(said, DEFAULT), said, reason)
    webhook = ("spend.alert_webhook_url", "spend.alert_webhook_secret")
    for is_url, reason in webhook_faults(*map(value, webhook)):
        name = webhook[0] if is_url else webhook[1]
        yield webhook, Problem(origins.get(name, DEFAULT), name, reason)


def _wrong_networks(addresses: object, origins: Mapping[str, Origin]) -> Iterator[tuple[tuple[str, ...], Problem]]:
    name = "server.trusted_proxies"
    if not isinstance(addresses, tuple) or not addresses:
        return
    from ipaddress import ip_network  # lazy: most settings name none

    for address in addresses:
        try:
            ip_network(address)
        except ValueError as error:
            yield (name,), Problem(origins.get(name, DEFAULT), name, f"expected addresses or networks: {error}")


def _build(values: Mapping[str, object]) -> Settings:
    """The typed object from values by dotted name; what is missing has its default."""
    arguments: dict[str, dict[str, object]] = {name: {} for name in sections()}
    for row in all_rows():
        if row.name in values:
            arguments[row.section][row.field] = values[row.name]
    built: dict[str, object] = {name: kind(**arguments[name]) for name, kind in sections().items() if name}
    settings: Settings = sections()[""](**arguments[""], **built)
    return settings

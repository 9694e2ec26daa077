"""How the answers of the knowledge room look on a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from skep.knowledge import (
    ChangeNotice,
    CollectionStatus,
    FailedFile,
    IndexReport,
    RemovalReport,
    SearchResponse,
    SearchResult,
    VerifyReport,
    WatchStatus,
)
from skep.terminal import printable

_SHOWN_LINES = 12
"""Lines of a passage that are shown; a passage has about 20."""

_SHOWN_CHARS = 160
_SHOWN_FILES = 10


def index_lines(report: IndexReport) -> str:
    """What an index run did, in a few lines."""
    lines = [
        f"{report.collection}: {report.files_seen} files seen, {report.files_added} added, {report.files_changed} changed,"
        f" {report.files_removed} removed, {report.files_unchanged} unchanged",
        f"{report.chunks_total} passages ({report.chunks_new} new, {report.chunks_reused} reused)"
        f" in {report.seconds.total:.2f} s",
    ]
    if report.files_skipped:
        skipped = ", ".join(f"{count} {reason}" for reason, count in report.files_skipped.items())
        lines.append(f"left out: {skipped}")
    secrets = [file for file in report.notices if file.reason.startswith("secret")]
    lines += _file_lines("not indexed because it may hold secrets (--json lists all)", secrets)
    lines += _file_lines("could not be indexed", report.files_failed)
    return "\n".join(lines)


def _file_lines(title: str, files: Sequence[FailedFile]) -> list[str]:
    if not files:
        return []
    lines = [f"{title}:"]
    lines += [f"  {printable(file.path)}: {file.reason}" for file in files[:_SHOWN_FILES]]
    if len(files) > _SHOWN_FILES:
        lines.append(f"  and {len(files) - _SHOWN_FILES} more")
    return lines


def search_object(response: SearchResponse) -> dict[str, object]:
    """The answer as JSON has it: explanations only when they were asked for, ``behind`` only when something is,
    ``embedded_fraction`` only where meanings are searched.
    """
    results = [
        {
            "collection": result.collection,
            "path": result.path,
            "start_line": result.start_line,
            "end_line": result.end_line,
            "symbol": result.symbol,
            "heading": result.heading,
            "language": result.language,
            "kind": result.kind,
            "score": result.score,
            "text": result.text,
        }
        | ({"explanation": result.explanation} if result.explanation else {})
        for result in response.results
    ]
    found: dict[str, object] = {"results": results, "took_ms": response.took_ms}
    if response.embedded_fraction is not None:
        found["embedded_fraction"] = round(response.embedded_fraction, 3)
    return found | ({"behind": response.behind} if response.behind else {})


def search_lines(response: SearchResponse) -> str:
    """The results, best first, each with the beginning of its text."""
    if not response.results:
        return "nothing found"
    shows_collection = len({result.collection for result in response.results}) > 1
    return "\n\n".join(
        _result_lines(number, result, shows_collection=shows_collection)
        for number, result in enumerate(response.results, 1)
    )


def _result_lines(number: int, result: SearchResult, *, shows_collection: bool) -> str:
    where = f"{printable(result.path)}:{result.start_line}"
    if shows_collection:
        where = f"{result.collection}: {where}"
    name = result.symbol or result.heading or ""
    lines = [f"{number}. {where}  {printable(name)}  ({result.language}, {result.score:.3f})"]
    texts = result.text.splitlines()
    for offset, text in enumerate(texts[:_SHOWN_LINES]):
        shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
        lines.append(f"{result.start_line + offset:>6}  {shown}")
    if len(texts) > _SHOWN_LINES:
        lines.append(f"        … to line {result.end_line}")
    lines += [f"        {step.rule:<20} {step.effect:>12} → {step.score:.3f}" for step in result.explanation]
    return "\n".join(lines)


def status_lines(collections: Sequence[CollectionStatus]) -> str:
    """Each collection with its folders."""
    if not collections:
        return "nothing is indexed yet: skep index ."
    lines = []
    for collection in collections:
        lines.append(f"{collection.collection}: {collection.files} files, {collection.chunks} passages")
        for source in collection.sources:
            indexed = f"indexed {source.scanned_at or 'never to the end'}"
            lines.append(f"  {printable(source.root)} on {source.node}, {indexed}, {_watch_words(source.watch)}")
            if source.watch is not None and source.watch.notice:
                lines.append(f"    {printable(source.watch.notice)}")
        languages = ", ".join(f"{name} {count}" for name, count in list(collection.languages.items())[:8])
        if languages:
            lines.append(f"  {languages}")
        applied = "none" if collection.lexical_seq is None else str(collection.lexical_seq)
        lines.append(f"  lexical index: {collection.lexical_state} (change {applied} of {collection.last_seq})")
        lines += [
            f"  meanings: {status.embedded} of {status.total} passages ({status.model}, {status.state})"
            for status in collection.embeddings
        ]
    return "\n".join(lines)


def _watch_words(watch: WatchStatus | None) -> str:
    if watch is None:
        return "not watched"
    how = {"events": "watched", "polling": "looked through regularly"}.get(watch.method, "waited for")
    return how if watch.lag_ms is None else f"{how} (the last change was searchable after {watch.lag_ms:.0f} ms)"


def verify_lines(reports: Sequence[VerifyReport]) -> str:
    """Whether each collection is what it should be, with the first differences."""
    lines = []
    for report in reports:
        checked = f"{report.documents_checked} files, {report.chunks_checked} passages"
        if report.is_equal:
            lines.append(f"{report.collection}: equal to a build from scratch ({checked})")
            continue
        lines.append(f"{report.collection}: {report.differences_total} differences ({checked})")
        lines += [f"  {printable(difference)}" for difference in report.differences]
        if report.differences_total > len(report.differences):
            lines.append(f"  and {report.differences_total - len(report.differences)} more")
    return "\n".join(lines)


def removal_line(verb: str, report: RemovalReport) -> str:
    """What was taken away."""
    line = f"{verb} {report.documents} files of {report.collection}"
    if report.versions:
        line += f" ({report.versions} versions, {report.chunks} passages and {report.blobs} originals nobody else has)"
    return line


def change_line(notice: ChangeNotice) -> str:
    """A change notice as one line: ``10:15:02 app: changed src/a.py; removed src/b.py, src/c.py and 3 more``."""
    if notice.event == "missed":
        return f"{notice.collection}: more has changed than is remembered"
    if notice.event == "gone":
        return f"{notice.collection}: purged"
    kinds = (
        ("added", notice.added, notice.added_paths),
        ("changed", notice.changed, notice.changed_paths),
        ("removed", notice.removed, notice.removed_paths),
    )
    said = "; ".join(f"{kind} {_some(paths, count)}" for kind, count, paths in kinds if count)
    return f"{(notice.at or '')[11:19]} {notice.collection}: {said}"


def _some(paths: Sequence[str], count: int) -> str:
    shown = [printable(path) for path in paths[:_SHOWN_FILES]]
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")

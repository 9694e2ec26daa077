"""EPUB: chapters in reading order."""

from __future__ import annotations

import posixpath

from skep.documents.archives import Archive, Element, open_archive, resolve
from skep.documents.drafting import Draft, Source
from skep.documents.interfaces import FileDamagedError, FileLockedError
from skep.documents.models import Document
from skep.documents.office import attribute, child, local
from skep.documents.readers import html
from skep.documents.texts import decode

_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_METADATA = {"title": "title", "creator": "author", "language": "language", "publisher": "publisher", "date": "created"}


def read(source: Source) -> Document:
    """Raises FileDamagedError, FileLockedError and FileUnfoldsError."""
    archive = open_archive(source.data)
    _require_open(archive)
    package_name = _package_name(archive)
    package = archive.xml(package_name)
    chapters = _chapters(package, posixpath.dirname(package_name))
    draft = Draft("epub", "chapter", page_count=len(chapters))
    metadata = child(package, "metadata")
    for element in () if metadata is None else metadata:
        name = _METADATA.get(local(element))
        if name is not None and name not in draft.metadata:
            draft.describe(name, "".join(element.itertext()))
    draft.title = draft.metadata.get("title", "")
    for number, name in enumerate(chapters, 1):
        draft.page = number
        draft.enter(1)
        html.read_into(draft, decode(archive.read(name)).text)
    return draft.finished()


def _require_open(archive: Archive) -> None:
    name = "META-INF/encryption.xml"
    if name not in archive:
        return
    for element in archive.xml(name).iter():
        if local(element) == "EncryptionMethod" and attribute(element, "Algorithm") not in _FONT_SCRAMBLING:
            raise FileLockedError(reason="its publisher protects it from being copied")


def _package_name(archive: Archive) -> str:
    for element in archive.xml("META-INF/container.xml").iter():
        if local(element) == "rootfile" and element.get("full-path") in archive:
            return str(element.get("full-path"))
    raise FileDamagedError(reason="it does not say where its text is")


def _chapters(package: Element, folder: str) -> list[str]:
    manifest = child(package, "manifest")
    spine = child(package, "spine")
    if manifest is None or spine is None:
        raise FileDamagedError(reason="it does not say which chapters it has")
    files = {
        item.get("id"): resolve(folder, item.get("href") or "")
        for item in manifest
        if "html" in (item.get("media-type") or "")
    }
    return [files[item.get("idref")] for item in spine if item.get("idref") in files]

"""ZIP archives and the XML in them, read so that neither can unfold to more than we take."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from lxml import etree

from skep.documents.interfaces import FileDamagedError, FileLockedError, FileUnfoldsError

MAX_MEMBERS = 10_000
MAX_UNFOLDED_BYTES = 192 << 20
"""Of all members of one archive that are read. DEFLATE packs up to 1,000 times; honest documents 5 to 20 times."""

MAX_PART_BYTES = 64 << 20
"""Of one member: its tree takes several times as much memory."""

Element = Any
"""lxml has no types."""


@dataclass(slots=True)
class Archive:
    """The members of a ZIP archive, by name."""

    _file: zipfile.ZipFile
    _infos: dict[str, zipfile.ZipInfo] = field(default_factory=dict)
    _unfolded_bytes: int = 0

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def names(self) -> list[str]:
        """All members, in the archive's order."""
        return list(self._infos)

    def read(self, name: str, limit_bytes: int = MAX_PART_BYTES) -> bytes:
        """One member. Raises FileDamagedError when it is not there or broken, FileUnfoldsError when it is too large."""
        info = self._infos.get(name)
        if info is None:
            raise FileDamagedError(reason=f"its part {name} is missing")
        if info.flag_bits & 1:
            raise FileLockedError(reason="its parts are encrypted with a password")
        limit = min(limit_bytes, MAX_UNFOLDED_BYTES - self._unfolded_bytes)
        try:
            with self._file.open(info) as member:
                # The size that the archive states may be a lie.
                data = member.read(limit + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
            ValueError,
        ) as error:
            raise FileDamagedError(reason=f"its part {name} cannot be unpacked") from error
        if len(data) > limit:
            raise FileUnfoldsError(reason=f"its part {name} has more than {limit} bytes when unpacked")
        self._unfolded_bytes += len(data)
        return data

    def xml(self, name: str) -> Element:
        """The root of one member's tree. Raises what `read` and `parse_xml` raise."""
        return parse_xml(self.read(name), name)

    def relations(self, part: str) -> dict[str, tuple[str, str]]:
        """Kind and member by id, of what a part of an office document refers to inside the archive."""
        folder, base = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        if rels not in self:
            return {}
        found = {}
        for relation in self.xml(rels):
            if not isinstance(relation.tag, str) or relation.get("TargetMode") == "External":
                continue
            kind = (relation.get("Type") or "").rpartition("/")[2]
            found[relation.get("Id") or ""] = (kind, resolve(folder, relation.get("Target") or ""))
        return found


def open_archive(data: bytes) -> Archive:
    """The archive in these bytes. Raises FileDamagedError and FileUnfoldsError."""
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except (zipfile.BadZipFile, OSError, ValueError, OverflowError, NotImplementedError) as error:
        raise FileDamagedError(reason="its ZIP archive is cut off or malformed") from error
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise FileUnfoldsError(reason=f"its archive has more than {MAX_MEMBERS} parts")
    return Archive(archive, {info.filename: info for info in infos})


def resolve(folder: str, target: str) -> str:
    """The member that a reference from a folder of the archive means."""
    target = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")


def parse_xml(data: bytes, name: str) -> Element:
    """The root. Raises FileDamagedError when it is malformed or declares entities (which no office document does, and bombs do)."""
    # Entities are left alone and nothing is fetched; the tree may not be deeper than 256.
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        if "memory" in str(error).lower():
            raise MemoryError from error
        raise FileDamagedError(reason=f"its part {name} is no well-formed XML") from error
    document_type = root.getroottree().docinfo.internalDTD
    if document_type is not None and any(True for _ in document_type.iterentities()):
        raise FileDamagedError(reason=f"its part {name} declares entities, which could unfold without end")
    return root


def kind_of_archive(archive: Archive) -> str | None:
    """The name of the format that an archive holds; None when it is another."""
    if "META-INF/container.xml" in archive:
        return "epub"
    main = {"word/document.xml": "docx", "ppt/presentation.xml": "pptx", "xl/workbook.xml": "xlsx"}
    for name, found in main.items():
        if name in archive:
            return found
    if "[Content_Types].xml" in archive:
        # Some writers choose other names for the main part; its type does not change.
        types = archive.read("[Content_Types].xml")
        for word, found in (
            (b"wordprocessingml.document", "docx"),
            (b"presentationml.", "pptx"),
            (b"spreadsheetml.", "xlsx"),
        ):
            if word in types:
                return found
    return None


def main_part(archive: Archive, usual: str) -> str:
    """The member that an office document begins with."""
    found = [target for kind, target in archive.relations("").values() if kind == "officeDocument"]
    return found[0] if found and found[0] in archive else usual

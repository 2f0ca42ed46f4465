"""Named members out of a published zip, which is trusted in nothing: how COCO's annotation files reach the text side.

The archive says what a member holds; what is taken, where it is written and how large it may be, the caller says. Everything
that the directory of the archive tells is checked before the first byte is written, and what it tells of the content is
counted while it is unpacked.
"""

import re
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import BinaryIO

from capcortex.files import atomic_path, remedy

COCO_BYTES = 800_000_000
"""More than COCO's four annotation files of 2017 take unpacked.

Instances and captions of train2017 are 469,785,474 and 91,865,115 bytes, those of val2017 some twentieth of that.
"""

LARGEST_RATIO = 200
"""Bytes out of one compressed byte, at most.

Deflate reaches 1032 with zeros alone. COCO's JSON, numbers and captions that differ, shrinks to a quarter or a third; a text
that repeats one sentence reaches 200 only when nothing in it differs.
"""

PIECE_BYTES = 2**20
NAMES_LISTED = 20

# Only these two: zipfile unpacks bzip2 and LZMA without a bound on the memory of one piece.
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflate"}

# Bits of an entry's flags: encrypted, patch data, strong encryption, directory encrypted.
_UNREADABLE_FLAGS = 0x1 | 0x20 | 0x40 | 0x2000
_UTF8_FLAG = 0x800
_DOS_FOLDER = 0x10

# Signature, flags, length of name, length of extra field (APPNOTE.TXT 6.3.10, section 4.3.7).
_LOCAL_HEADER = struct.Struct("<4s2xH18xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"


def unpack(archive: Path, members: Mapping[str, Path], *, largest_bytes: int) -> None:
    """Take the named members out of a zip, each written whole or not at all.

    Parameters
    ----------
    archive
        The zip. It may hold other members too; nothing of them is written.
    members
        The file to write for each member. Names are exact, such as ``annotations/captions_train2017.json``.
    largest_bytes
        Most bytes that the members may have unpacked, together.

    Raises
    ------
    ValueError
        Before anything is written: if the archive is no zip or its directory is damaged; if the name of any of its members
        could lead out of a folder; if entries share bytes; if a named member is missing, is there twice, is no plain file,
        is encrypted, is compressed otherwise than by deflate, or is too large, in itself or for its compressed bytes.
        While a member is unpacked, of which nothing is then left: if its length or its CRC-32 is another than declared.
    OSError
        If the archive cannot be read, or there is no space or no permission to write a file.
    """
    with archive.open("rb") as handle:
        try:
            opened = zipfile.ZipFile(handle)
        # What zipfile raises for a damaged directory, beside its own error, depends on the damaged field.
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error) as error:
            raise ValueError(
                f"{archive}: not a whole zip file ({error}); expected an archive with {_listed(members)}; {remedy(archive)}"
            ) from error
        with opened:
            entries = opened.infolist()
            _require_harmless_names(archive, entries)
            _require_separate(archive, handle, entries, opened.start_dir)
            chosen = {name: _only(archive, entries, name) for name in members}
            for entry in chosen.values():
                _require_readable(archive, entry)
            _require_small(archive, list(chosen.values()), largest_bytes)
            for name, path in members.items():
                with atomic_path(path) as temporary:
                    _write(archive, opened, chosen[name], temporary)


def _refusal(archive: Path, entry: zipfile.ZipInfo, found: str, expected: str) -> ValueError:
    return ValueError(f"{archive}: member {entry.orig_filename!r} {found}, expected {expected}; {remedy(archive)}")


def _require_harmless_names(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive that tries to write elsewhere, though only names that the caller gives are ever written."""
    for entry in entries:
        # zipfile's other name of it, filename, ends at the first NUL.
        name = entry.orig_filename
        harmless = name and name.isprintable() and "\\" not in name and not re.match(r"/|[A-Za-z]:", name)
        if not harmless or ".." in name.split("/"):
            raise _refusal(
                archive,
                entry,
                "has a name that could do harm",
                "a path below a folder, in printable characters and without '..'",
            )


def _require_separate(archive: Path, handle: BinaryIO, entries: list[zipfile.ZipInfo], directory: int) -> None:
    """Refuse entries that share bytes: some kilobytes can so hold petabytes (Fifield 2019, a better zip bomb)."""
    end, before = 0, "the file begins"
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        start = entry.header_offset
        if start < end:
            found = f"starts at byte {start}, before {before}"
            raise _refusal(archive, entry, found, f"byte {end} or later: entries share no bytes")
        handle.seek(start)
        header = handle.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(_LOCAL_SIGNATURE):
            raise _refusal(archive, entry, f"has no header at byte {start}", "one, where the directory says")
        _, flags, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        name = handle.read(name_bytes).decode("utf-8" if flags & _UTF8_FLAG else "cp437", errors="replace")
        if name != entry.orig_filename:
            raise _refusal(archive, entry, f"is named {name!r} in its own header", "the name in the directory")
        end, before = start + len(header) + name_bytes + extra_bytes + entry.compress_size, f"member {name!r} ends"
        if end > directory:
            raise _refusal(archive, entry, f"ends at byte {end}", f"an end before the directory, at {directory}")


def _only(archive: Path, entries: list[zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    found = [entry for entry in entries if entry.orig_filename == name]
    if len(found) != 1:
        there = _listed([entry.orig_filename for entry in entries])
        raise ValueError(
            f"{archive}: member {name!r} occurs {len(found)} times, expected once; the archive has {there}; {remedy(archive)}"
        )
    return found[0]


def _listed(names: Mapping[str, Path] | list[str]) -> str:
    more = f" and {len(names) - NAMES_LISTED} more" if len(names) > NAMES_LISTED else ""
    return (", ".join(sorted(names)[:NAMES_LISTED]) or "no members") + more


def _require_readable(archive: Path, entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.is_dir() or entry.external_attr & _DOS_FOLDER or kind not in (0, stat.S_IFREG):
        raise _refusal(
            archive,
            entry,
            f"is a folder, a link or another special file (attributes {entry.external_attr:#x})",
            "a plain file",
        )
    if entry.flag_bits & _UNREADABLE_FLAGS:
        raise _refusal(archive, entry, f"is encrypted or a patch (flags {entry.flag_bits:#x})", "a member as it is")
    if entry.compress_type not in _METHODS:
        raise _refusal(
            archive, entry, f"is compressed by method {entry.compress_type}", f"one of {_METHODS} (number: method)"
        )


def _require_small(archive: Path, entries: list[zipfile.ZipInfo], largest_bytes: int) -> None:
    total = 0
    for entry in entries:
        total += entry.file_size
        if total > largest_bytes:
            raise _refusal(
                archive,
                entry,
                f"of {entry.file_size} bytes makes {total} with those before it",
                f"at most {largest_bytes} in all that is unpacked",
            )
        if entry.file_size > LARGEST_RATIO * entry.compress_size:
            raise _refusal(
                archive,
                entry,
                f"has {entry.file_size} bytes in {entry.compress_size} compressed ones",
                f"at most {LARGEST_RATIO} to one: text does not shrink further",
            )


def _write(archive: Path, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, output: Path) -> None:
    """Write a member, its length and CRC-32 held to what the directory declares."""
    # zipfile cuts a member at the declared length and says nothing of the rest: it is told neither length nor CRC.
    undeclared = copy(entry)
    undeclared.file_size = sys.maxsize
    del undeclared.CRC
    length, crc = 0, 0
    try:
        with opened.open(undeclared) as stream, output.open("wb") as handle:
            while piece := stream.read(PIECE_BYTES):
                length += len(piece)
                if length > entry.file_size:
                    break
                crc = zlib.crc32(piece, crc)
                handle.write(piece)
    except (zlib.error, zipfile.BadZipFile, EOFError) as error:
        raise _refusal(archive, entry, f"is damaged ({error})", "a member that can be unpacked") from error
    if length != entry.file_size:
        amount = "more than" if length > entry.file_size else f"{length} of"
        raise _refusal(archive, entry, f"unpacks to {amount} {entry.file_size} bytes", "the length that it declares")
    if crc != entry.CRC:
        raise _refusal(archive, entry, f"has CRC-32 {crc:08x}", f"{entry.CRC:08x}, as it declares")

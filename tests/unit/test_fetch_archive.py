"""Named members of a zip: a genuine one byte for byte, and hostile or damaged ones refused with nothing written."""

import io
import json
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capcortex.fetch.archive import LARGEST_RATIO, unpack

CAPTIONS = "annotations/captions_val2017.json"
INSTANCES = "annotations/instances_val2017.json"
KEYPOINTS = "annotations/person_keypoints_val2017.json"
ENOUGH = 10_000_000

# Where a field stands in an entry of the directory, and how (APPNOTE.TXT, section 4.3.12).
FIELDS = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<L"), "compressed": (20, "<L"), "size": (24, "<L")}
FIELDS |= {"attributes": (38, "<L"), "offset": (42, "<L")}


def captions(n=400):
    rows = [{"image_id": 37 * i, "id": i, "caption": f"Picture {i * i} of «{i % 7}» things."} for i in range(n)]
    return json.dumps({"images": [], "annotations": rows}, ensure_ascii=False).encode()


def zipped(entries, method=zipfile.ZIP_DEFLATED):
    """Bytes of a zip of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content, compress_type=method)
    return buffer.getvalue()


COCO = {CAPTIONS: captions(), INSTANCES: captions(900)[::-1], KEYPOINTS: captions(50), "annotations/empty.json": b""}
WHOLE = zipped(COCO.items())


def patched(data, name, **fields):
    """Change fields of an entry in the directory alone, as a liar would."""
    data = bytearray(data)
    entry = [
        found.start()
        for found in re.finditer(b"PK\x01\x02", data)
        if data[found.start() + 46 :].startswith(name.encode())
    ]
    for field, value in fields.items():
        offset, form = FIELDS[field]
        struct.pack_into(form, data, entry[0] + offset, value)
    return bytes(data)


def renamed(data, old, new):
    """Replace a name of the same length in the header and in the directory: zipfile itself would not write some names."""
    assert len(old.encode()) == len(new.encode())
    assert data.count(old.encode()) == 2
    return data.replace(old.encode(), new.encode())


@pytest.fixture
def refused(tmp_path):
    """Unpack bytes, expect a refusal with these words, and nothing on the disk but the archive."""

    def check(data, *words, members=(CAPTIONS,), largest_bytes=ENOUGH):
        archive = tmp_path / "in" / "coco.zip"
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(data)
        with pytest.raises(ValueError) as raised:
            unpack(archive, {name: tmp_path / "out" / Path(name).name for name in members}, largest_bytes=largest_bytes)
        for word in (f"{archive}: ", "expected", "get it again from where it came", *words):
            assert word in str(raised.value)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]

    return check


# ------------------------------------------------------------------------------------------------ genuine archives


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_named_members_come_out_byte_for_byte_and_nothing_else(tmp_path, method):
    archive = tmp_path / "coco.zip"
    archive.write_bytes(zipped(COCO.items(), method))
    wanted = {CAPTIONS: tmp_path / "out" / "captions.json", "annotations/empty.json": tmp_path / "empty.json"}
    unpack(archive, wanted, largest_bytes=len(COCO[CAPTIONS]))
    assert {path: path.read_bytes() for path in wanted.values()} == {path: COCO[name] for name, path in wanted.items()}
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {archive, *wanted.values()}


def test_member_of_several_pieces_replaces_the_former_file(tmp_path, rng):
    content = rng.integers(97, 123, 2_500_000, dtype="uint8").tobytes()  # 2.4 pieces
    archive, output = tmp_path / "coco.zip", tmp_path / "captions.json"
    archive.write_bytes(zipped([(CAPTIONS, content)]))
    output.write_text("former")
    unpack(archive, {CAPTIONS: output}, largest_bytes=len(content))
    assert output.read_bytes() == content


def test_archive_written_as_a_stream_with_sizes_after_the_data(tmp_path):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def tell(self):
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in COCO.items():
            archive.writestr(name, content)
        assert archive.getinfo(CAPTIONS).flag_bits & 0x8
    (tmp_path / "coco.zip").write_bytes(pipe.getvalue())
    unpack(tmp_path / "coco.zip", {KEYPOINTS: tmp_path / "keypoints.json"}, largest_bytes=ENOUGH)
    assert (tmp_path / "keypoints.json").read_bytes() == COCO[KEYPOINTS]


def test_directory_in_another_order_and_names_in_other_letters(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*COCO.items(), ("annotations/légendes_写真.json", b"[]")]:
            archive.writestr(name, content)
        archive.filelist.reverse()
    (tmp_path / "coco.zip").write_bytes(buffer.getvalue())
    wanted = {CAPTIONS: tmp_path / "captions.json", "annotations/légendes_写真.json": tmp_path / "legends.json"}
    unpack(tmp_path / "coco.zip", wanted, largest_bytes=ENOUGH)
    assert [path.read_bytes() for path in wanted.values()] == [COCO[CAPTIONS], b"[]"]


def test_folder_or_link_that_nobody_asks_for_does_no_harm(tmp_path):
    link = zipfile.ZipInfo("annotations/link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = tmp_path / "coco.zip"
    archive.write_bytes(zipped([("annotations/", b""), (link, b"/etc/passwd"), *COCO.items()]))
    unpack(archive, {CAPTIONS: tmp_path / "captions.json"}, largest_bytes=ENOUGH)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["captions.json", "coco.zip"]


def test_full_disk_leaves_nothing(small_disk, tmp_path, rng):
    archive = tmp_path / "coco.zip"
    archive.write_bytes(zipped([(CAPTIONS, rng.bytes(3_000_000))]))
    with pytest.raises(OSError, match=r"No space left on device to write .*captions\.json"):
        unpack(archive, {CAPTIONS: small_disk / "captions.json"}, largest_bytes=ENOUGH)
    assert list(small_disk.iterdir()) == []


# ------------------------------------------------------------------------------------------------ the archive as a whole


@pytest.mark.parametrize(
    "data",
    [b"", b"<html><body>Not found</body></html>", WHOLE[: len(WHOLE) // 2], WHOLE[:-30]],
    ids=["empty", "html", "half", "end-cut"],
)
def test_no_zip_or_half_of_one(refused, data):
    refused(data, "not a whole zip file", CAPTIONS)


def test_second_half_of_a_zip(refused):
    refused(WHOLE[len(WHOLE) // 2 :], f"{CAPTIONS!r} starts at byte -", "before the file begins")


def test_damaged_directory(refused):
    refused(WHOLE.replace(b"PK\x01\x02", b"PK\x01\x00", 1), "not a whole zip file")


def test_missing_member_lists_what_is_there(refused):
    refused(WHOLE, "'annotations/none.json' occurs 0 times", CAPTIONS, KEYPOINTS, members=["annotations/none.json"])
    refused(WHOLE, "occurs 0 times", members=[CAPTIONS, "captions_val2017.json"])  # exact names alone


def test_missing_member_among_many_lists_some(refused):
    refused(zipped([(f"{i:03}.json", b"{}") for i in range(25)]), "019.json and 5 more")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_member_that_is_there_twice(refused):
    refused(zipped([(CAPTIONS, b"[1]"), (CAPTIONS, b"[2]")]), "occurs 2 times, expected once")


HOSTILE = [
    "/etc/cron.d/a",
    "../../a.json",
    "a/../../b.json",
    "..",
    "a\\..\\b.json",
    "C:a.json",
    "c:/a.json",
    "a\x00.json",
]
HOSTILE += ["a\n.json", "a\x1b[2J.json", "\\\\host\\a.json", "a\x7f.json"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_name_anywhere_refuses_the_archive(refused, name):
    data = zipped([(CAPTIONS, b"{}"), ("#" * len(name), b"x")])
    refused(renamed(data, "#" * len(name), name), f"member {name!r} has a name that could do harm")
    # Nor can it be asked for.
    refused(renamed(data, "#" * len(name), name), "has a name that could do harm", members=[name])


@given(name=st.text(alphabet="./\\:aC\n\0 ~é", min_size=1, max_size=9).filter(lambda name: name != CAPTIONS))
def test_whatever_a_name_only_the_given_path_is_written(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("name")
    place = "#" * len(name.encode())
    data = renamed(zipped([(CAPTIONS, b"{}"), (place, b"x")]), place, name)
    (folder / "coco.zip").write_bytes(data)
    hostile = name.startswith("/") or {"\\", "\n", "\0"} & set(name) or ".." in name.split("/")
    hostile = hostile or (name[1:2] == ":" and name[0] in "aC")
    try:
        unpack(folder / "coco.zip", {CAPTIONS: folder / "captions.json"}, largest_bytes=ENOUGH)
    except ValueError:
        assert hostile
    else:
        assert not hostile
    assert sorted(path.name for path in folder.rglob("*")) == (
        ["coco.zip"] if hostile else ["captions.json", "coco.zip"]
    )


def test_name_that_differs_between_directory_and_header(refused):
    data = WHOLE.replace(KEYPOINTS.encode(), b"x" * len(KEYPOINTS), 1)
    refused(data, f"{KEYPOINTS!r} is named 'xxx")


def test_entry_without_a_header(refused):
    refused(patched(WHOLE, CAPTIONS, offset=1), f"{CAPTIONS!r} has no header at byte 1")


def test_entry_that_reaches_into_the_directory(refused):
    refused(
        patched(WHOLE, "annotations/empty.json", compressed=500),
        "'annotations/empty.json' ends at byte",
        "an end before",
    )


def test_two_entries_of_the_same_bytes(refused):
    other = CAPTIONS.replace("2017", "2018")
    data = patched(zipped([(CAPTIONS, captions()), (other, b"")]), other, offset=0)
    refused(data, f"before member {CAPTIONS!r} ends", "entries share no bytes")


def test_entry_quoted_inside_another(refused):
    # Fifield's construction: the first member's data are a stored block of deflate that holds the header of the second,
    # then the second's compressed data. Both unpack without error, and n such entries hold n times the kernel.
    kernel = captions(60)
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packed.compress(kernel) + packed.flush()

    def fields(content, data):
        return struct.pack("<HHHHHLLL", 20, 0, 8, 0, 33, zlib.crc32(content), len(data), len(content))

    inner_name, outer_name = KEYPOINTS.encode(), CAPTIONS.encode()
    inner_header = b"PK\x03\x04" + fields(kernel, packed) + struct.pack("<HH", len(inner_name), 0) + inner_name
    length = len(inner_header)
    quoted = b"\x00" + struct.pack("<HH", length, length ^ 0xFFFF) + inner_header + packed
    outer = inner_header + kernel
    assert zlib.decompress(quoted, -15) == outer
    outer_header = b"PK\x03\x04" + fields(outer, quoted) + struct.pack("<HH", len(outer_name), 0) + outer_name
    body = outer_header + quoted
    directory = b""
    for name, content, data, offset in [
        (outer_name, outer, quoted, 0),
        (inner_name, kernel, packed, len(outer_header) + 5),
    ]:
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields(content, data)
        directory += struct.pack("<HHHHHLL", len(name), 0, 0, 0, 0, 0, offset) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 2, 2, len(directory), len(body), 0)
    refused(body + directory + end, f"{KEYPOINTS!r} starts at byte", f"before member {CAPTIONS!r} ends")


# ------------------------------------------------------------------------------------------------ the named members


@pytest.mark.parametrize("kind", ["S_IFLNK", "S_IFIFO", "S_IFCHR", "S_IFBLK", "S_IFSOCK", "S_IFDIR"])
def test_link_folder_or_device(refused, kind):
    special = zipfile.ZipInfo(CAPTIONS)
    special.external_attr = (getattr(stat, kind) | 0o777) << 16
    refused(zipped([(special, b"/etc/passwd")]), f"member {CAPTIONS!r} is a folder, a link or another special file")


def test_folder_by_its_name_and_by_its_attribute(refused):
    data = patched(zipped([("annotations/", b""), (KEYPOINTS, b"{}")]), "annotations/", attributes=0)
    refused(data, "is a folder", members=["annotations/"])
    refused(patched(WHOLE, CAPTIONS, attributes=0x10), "is a folder")


@pytest.mark.parametrize("flags", [0x1, 0x20, 0x41, 0x2000])
def test_encrypted_member(refused, flags):
    refused(patched(WHOLE, CAPTIONS, flags=flags), "is encrypted or a patch")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(refused, method):
    refused(zipped([(CAPTIONS, captions())], method), f"is compressed by method {method}", "8: 'deflate'")
    refused(patched(WHOLE, CAPTIONS, method=99), "is compressed by method 99")


def test_one_too_large_and_all_together_too_large(refused):
    size = len(COCO[CAPTIONS])
    refused(WHOLE, f"{CAPTIONS!r} of {size} bytes", f"at most {size - 1}", largest_bytes=size - 1)
    both = size + len(COCO[KEYPOINTS])
    refused(WHOLE, f"makes {both} with those before it", members=[CAPTIONS, KEYPOINTS], largest_bytes=both - 1)


def test_bomb_of_zeros(refused):
    data = zipped([(CAPTIONS, bytes(5_000_000))])
    assert len(data) < 6_000
    refused(data, "5000000 bytes in", f"at most {LARGEST_RATIO} to one")


def test_bomb_that_declares_little_stops_at_what_it_declares(small_disk):
    # On a disk that could not hold what it unpacks to.
    small = bytes(100_000)
    bomb = patched(zipped([(CAPTIONS, bytes(5_000_000))]), CAPTIONS, size=len(small), crc=zlib.crc32(small))
    archive = small_disk / "coco.zip"
    archive.write_bytes(bomb)
    with pytest.raises(ValueError, match="unpacks to more than 100000 bytes, expected the length that it declares"):
        unpack(archive, {CAPTIONS: small_disk / "captions.json"}, largest_bytes=ENOUGH)
    assert list(small_disk.iterdir()) == [archive]


def test_length_and_checksum_that_hold_for_the_beginning_alone(refused):
    # zipfile cuts at the declared length: to it, this archive is whole.
    content = COCO[CAPTIONS]
    data = patched(WHOLE, CAPTIONS, size=len(content) - 5, crc=zlib.crc32(content[:-5]))
    assert zipfile.ZipFile(io.BytesIO(data)).read(CAPTIONS) == content[:-5]
    refused(data, f"unpacks to more than {len(content) - 5} bytes")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_less_than_declared(refused, method):
    size = len(COCO[CAPTIONS])
    data = patched(zipped(COCO.items(), method), CAPTIONS, size=size + 5)
    refused(data, f"unpacks to {size} of {size + 5} bytes", members=[CAPTIONS, KEYPOINTS])


def test_compressed_data_cut_short(refused):
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        compressed = archive.getinfo(CAPTIONS).compress_size
    refused(patched(WHOLE, CAPTIONS, compressed=compressed - 40), f"of {len(COCO[CAPTIONS])} bytes")


def test_wrong_checksum(refused):
    refused(patched(WHOLE, CAPTIONS, crc=0x01234567), "has CRC-32", "expected 01234567, as it declares")
    # The same of a stored member of which a byte was flipped.
    stored = zipped(COCO.items(), zipfile.ZIP_STORED)
    refused(stored.replace(b"Picture 16 ", b"Picture 17 "), "has CRC-32")


def test_damaged_compressed_data(refused):
    start = WHOLE.index(CAPTIONS.encode()) + len(CAPTIONS)
    refused(WHOLE[:start] + b"\xff" * 40 + WHOLE[start + 40 :], "is damaged (Error -3 while decompressing data")


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=3))
@pytest.mark.parametrize("part", ["anywhere", "directory"])
def test_bytes_changed_anywhere_give_the_same_content_or_a_refusal(tmp_path_factory, part, changes):
    folder = tmp_path_factory.mktemp("changed")
    data = bytearray(WHOLE)
    directory = WHOLE.index(b"PK\x01\x02")
    for position, value in changes:
        at = position if part == "anywhere" else directory + position % (len(WHOLE) - directory)
        data[at] = value
    (folder / "coco.zip").write_bytes(data)
    wanted = {name: folder / Path(name).name for name in COCO}
    try:
        unpack(folder / "coco.zip", wanted, largest_bytes=ENOUGH)
    except ValueError as error:
        assert str(folder / "coco.zip") in str(error)
    for name, path in wanted.items():
        assert not path.exists() or path.read_bytes() == COCO[name]
    assert {path.name for path in folder.rglob("*")} <= {"coco.zip", *(path.name for path in wanted.values())}

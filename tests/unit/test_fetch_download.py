"""Whole, checked and under its final name, or a clear message and no file: downloads from a server that fails in every way."""

import errno
import hashlib
import json
import logging
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faulty_server import IMPATIENT, PATIENT, Answer, FaultyServer, Request, multipart_etag, serving, single_etag
from hypothesis import given
from hypothesis import strategies as st

import capcortex
from capcortex.fetch import download as module
from capcortex.fetch.client import AnswerRefused, Client, FetchError, NotThere, ObjectChanged, Patience, Unreachable
from capcortex.fetch.download import WrongContent, download, part_sizes, split

MIB = 2**20
CONTENT = np.random.default_rng(7).bytes(2 * MIB + 12_345)
OTHER = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def small_blocks(monkeypatch):
    """Many blocks in an object that is quickly made."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 2**16)


class Study:
    """A folder to download to, and what is in it."""

    def __init__(self, folder: Path, server: FaultyServer) -> None:
        self.folder, self.server = folder, server
        self.output = folder / "nsd/betas.bin"
        self.unfinished, self.records = folder / "unfinished", folder / "records"

    def fetch(self, *urls: str, output: Path | None = None, patience=PATIENT, **more):
        with Client({self.server.host, *(url.split("/")[2] for url in urls)}, patience) as client:
            return download(
                urls, output or self.output, client=client, unfinished=self.unfinished, records=self.records, **more
            )

    @property
    def record(self) -> Path:
        return Path(f"{self.records}/{self.output}.json")

    def left(self) -> list[str]:
        """What is left of unfinished objects."""
        return sorted(path.suffix for path in self.unfinished.glob("*")) if self.unfinished.exists() else []

    def interrupt(self, url: str, n_ranges: int) -> None:
        """Fetch some ranges, then lose the server."""
        spoil, seen = self.server.spoil, len(self.server.ranges)

        def lose(request: Request, answer: Answer) -> None:
            if request.method == "GET" and len(self.server.ranges) > seen + n_ranges:
                answer.status, answer.body = 503, b""
                answer.set("Content-Length", "0")

        self.server.spoil = lose
        with pytest.raises(Unreachable, match="goes on where it was"):
            self.fetch(url, connections=1)
        self.server.spoil = spoil
        assert not self.output.exists()


@pytest.fixture
def study(tmp_path, server):
    return Study(tmp_path, server)


def blocks_of(data: Path) -> list[bool]:
    return [mark == 1 for mark in data.read_bytes()]


# Whole


def test_an_object_arrives_whole_and_is_recorded(study, server):
    url = server.put("/betas.bin", CONTENT)
    record = study.fetch(url)
    assert study.output.read_bytes() == CONTENT
    assert record == json.loads(study.record.read_text())
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (record["url"], record["size"], record["verified_by"]) == (url, len(CONTENT), "etag")
    assert record["first_seen"].endswith("+00:00")
    assert server.sent == len(CONTENT)
    assert study.left() == []


@pytest.mark.parametrize("size", [0, 1, 2**16 - 1, 2**16, 2**16 + 1, 2**20])
def test_sizes_at_the_edges_of_blocks(study, server, small_blocks, size):
    study.fetch(server.put("/a", CONTENT[:size]))
    assert study.output.read_bytes() == CONTENT[:size]
    assert server.sent == size


def test_a_former_file_is_replaced_only_by_a_whole_one(study, server):
    study.output.parent.mkdir()
    study.output.write_bytes(b"former")
    with pytest.raises(NotThere):
        study.fetch(server.url("/none"))
    assert study.output.read_bytes() == b"former"
    study.fetch(server.put("/a", CONTENT))
    assert study.output.read_bytes() == CONTENT


def test_all_connections_have_something_to_do(study, server, small_blocks):
    study.fetch(server.put("/a", CONTENT), connections=8)
    sizes = [request.sent for request in server.ranges]
    assert len(sizes) >= 8
    assert max(sizes) <= -(-len(CONTENT) // 8) + 2**16


@given(st.lists(st.integers(0, 300), unique=True).map(sorted), st.integers(1, 16))
def test_runs_are_the_missing_blocks_in_shares(missing, connections):
    found = split(missing, connections)
    assert [block for run in found for block in run] == missing
    assert len(found) >= min(connections, len(missing))
    assert all(0 < len(run) <= min(32, max(1, len(missing) // connections)) for run in found)


@given(st.sets(st.integers(0, 32)), st.integers(1, 8))
def test_an_object_of_which_any_blocks_are_there_is_completed(tmp_path_factory, there, connections):
    block = 2**16
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        patch.setattr(module, "BLOCK_BYTES", block)
        study = Study(tmp_path_factory.mktemp("study"), server)
        url = server.put("/a", CONTENT)
        study.interrupt(url, 0)
        (marks,) = study.unfinished.glob("*.blocks")
        data = marks.with_suffix(".data")
        assert not any(blocks_of(marks)) and len(blocks_of(marks)) == 33
        with marks.open("r+b") as one, data.open("r+b") as two:
            for number in there:
                one.seek(number)
                one.write(b"\1")
                two.seek(number * block)
                two.write(CONTENT[number * block : (number + 1) * block])
        study.fetch(url, connections=connections)
        assert study.output.read_bytes() == CONTENT
        missing = [CONTENT[n * block : (n + 1) * block] for n in range(33) if n not in there]
        assert server.sent == sum(map(len, missing))


# Faults of networks and servers


def spoil_some(change, when):
    """Spoil the answers to GET whose number fits."""
    seen = []

    def spoil(request: Request, answer: Answer) -> None:
        if request.method == "GET":
            seen.append(request)
            if when(len(seen)):
                change(answer)

    return spoil


def cut(answer: Answer) -> None:
    answer.cut_at = len(answer.body) // 2


def reset(answer: Answer) -> None:
    answer.cut_at, answer.reset = len(answer.body) // 2, True


def stall(answer: Answer) -> None:
    answer.cut_at, answer.stall_s = len(answer.body) // 2, 5.0


def patience_for(fault):
    return IMPATIENT if fault is stall else PATIENT


def unavailable(answer: Answer) -> None:
    answer.status, answer.body = 503, b""
    answer.set("Content-Length", "0")


def longer(answer: Answer) -> None:
    answer.after = b"more than was announced" * 1000


@pytest.mark.parametrize("fault", [cut, reset, stall, unavailable, longer])
def test_faults_that_pass_leave_an_equal_file(study, server, small_blocks, fault):
    server.spoil = spoil_some(fault, lambda n: n in (2, 3, 5))
    study.fetch(server.put("/a", CONTENT), connections=5, patience=patience_for(fault))
    assert study.output.read_bytes() == CONTENT
    assert len(server.ranges) > 3


@pytest.mark.parametrize("fault", [cut, reset, stall, unavailable])
def test_faults_that_stay_are_told_and_what_is_there_is_kept(study, server, small_blocks, fault):
    def for_good(answer: Answer) -> None:
        fault(answer)
        answer.cut_at = 0

    url = server.put("/a", CONTENT)
    server.spoil = spoil_some(for_good, lambda n: n > 2)
    with pytest.raises(Unreachable, match=r"/a: nothing came in 4 attempts.*goes on where it was"):
        study.fetch(url, connections=4, patience=patience_for(fault))
    assert not study.output.exists()
    before = server.sent
    assert 0 < before < len(CONTENT)
    server.spoil = lambda request, answer: None
    study.fetch(url)
    assert study.output.read_bytes() == CONTENT
    if fault is not stall:  # an impatient client may ask twice
        assert server.sent == len(CONTENT)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("Content-Length", "7", AnswerRefused),
        ("Content-Range", f"bytes 0-7/{len(CONTENT)}", AnswerRefused),
        ("Content-Encoding", "gzip", AnswerRefused),
        ("Content-Type", "text/html", AnswerRefused),
        ("Content-Range", "bytes 0-2109496/99", ObjectChanged),
    ],
)
def test_answers_that_must_not_be_used_are_refused(study, server, name, value, error):
    server.spoil = spoil_some(lambda answer: answer.set(name, value), lambda n: True)
    with pytest.raises(error):
        study.fetch(server.put("/a", CONTENT), connections=1)
    assert not study.output.exists()


def test_a_wrong_length_is_told(study, server):
    url = server.put("/a", CONTENT)

    def spoil(request, answer):
        if request.method == "HEAD":
            answer.set("Content-Length", str(len(CONTENT) + 5))

    server.spoil = spoil
    with pytest.raises(ObjectChanged, match=f"{len(CONTENT)} bytes now, expected {len(CONTENT) + 5}"):
        study.fetch(url)
    assert not study.output.exists()
    assert study.left() == []


def test_a_size_that_was_known_otherwise_is_told_before_the_first_byte(study, server):
    with pytest.raises(WrongContent, match=f"{len(CONTENT)} bytes, expected 17.*the table of sources"):
        study.fetch(server.put("/a", CONTENT), size=17)
    assert not server.ranges
    assert study.left() == []


@pytest.mark.parametrize(("status", "told"), [(403, "not for us"), (404, "the table of sources")])
def test_an_object_that_is_not_to_be_had_leaves_nothing(study, server, status, told):
    def spoil(request, answer):
        answer.status = status

    server.spoil = spoil
    with pytest.raises(NotThere, match=told):
        study.fetch(server.put("/a", CONTENT))
    assert not study.output.exists()
    assert study.left() == []


# Wrong bytes


def flip(answer: Answer) -> None:
    if len(answer.body) > 1000:
        answer.body = answer.body[:777] + bytes([answer.body[777] ^ 4]) + answer.body[778:]


def flip_another():
    """Flip another byte in each answer."""
    positions = iter(range(1000, 10_000))

    def change(answer: Answer) -> None:
        at = next(positions)
        answer.body = answer.body[:at] + bytes([answer.body[at] ^ 4]) + answer.body[at + 1 :]

    return change


TAGS = {
    "single": {"etag": single_etag(CONTENT)},
    "parts of a size that is told": {"etag": multipart_etag(CONTENT, 700_000), "part": 700_000},
    "parts of a whole number of MiB": {"etag": multipart_etag(CONTENT, MIB)},
    "one part": {"etag": multipart_etag(CONTENT, 8 * MIB)},
    "given": {"etag": '"opaque"'},
}
VERIFIED = ["etag", "etag of parts", "etag of parts", "etag of parts", "md5"]


@pytest.mark.parametrize(("case", "verified_by"), list(zip(TAGS, VERIFIED, strict=True)))
@pytest.mark.parametrize("always", [False, True])
def test_a_flipped_byte_is_never_taken(study, server, case, verified_by, always):
    url = server.put("/a", CONTENT, **TAGS[case])
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest() if case == "given" else None
    server.spoil = spoil_some(flip_another() if always else flip, lambda n: always or n == 1)
    if always:
        with pytest.raises(WrongContent, match=r"wrong content, twice.*expected.*nothing of it was kept"):
            study.fetch(url, md5=md5, connections=1)
        assert not study.output.exists()
        assert not study.record.exists()
        assert study.left() == []
    else:
        assert study.fetch(url, md5=md5, connections=1)["verified_by"] == verified_by
        assert study.output.read_bytes() == CONTENT
    assert 2 * len(CONTENT) <= server.sent <= 4 * len(CONTENT)


def test_unusual_parts_are_vouched_for_by_a_second_copy(study, server, caplog):
    url = server.put("/a", CONTENT, etag=multipart_etag(CONTENT, 700_001))
    assert study.fetch(url)["verified_by"] == "second copy"
    assert study.output.read_bytes() == CONTENT
    assert server.sent == 2 * len(CONTENT)
    assert "fits no usual size of parts" in caplog.text


@pytest.mark.parametrize("flipped", [False, True])
def test_a_known_object_is_vouched_for_by_its_first_digest(study, server, flipped):
    """One copy is enough the second time; if a byte of it is wrong, one more is fetched."""
    url = server.put("/a", CONTENT, etag=multipart_etag(CONTENT, 700_001))
    study.fetch(url)
    study.output.unlink()
    before = server.sent
    server.spoil = spoil_some(flip, lambda n: flipped and n == 1)
    assert study.fetch(url, connections=1)["verified_by"] == "second copy"
    assert study.output.read_bytes() == CONTENT
    assert (server.sent - before == len(CONTENT)) == (not flipped)


def test_parts_of_several_sizes_are_vouched_for_by_a_second_copy(study, server):
    sizes = [MIB, 100_000, 100_000, len(CONTENT) - MIB - 200_000]  # parts of the first one's size would be three
    starts = np.cumsum([0, *sizes])
    parts = [CONTENT[start : start + size] for start, size in zip(starts, sizes, strict=False)]
    digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)
    etag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-4"'
    url = server.put("/a", CONTENT, etag=etag, part=sizes[0])
    assert b"".join(parts) == CONTENT
    assert study.fetch(url)["verified_by"] == "second copy"
    assert study.output.read_bytes() == CONTENT


def test_the_first_copy_is_remembered_when_the_second_is_interrupted(study, server, small_blocks):
    url = server.put("/a", CONTENT, etag=multipart_etag(CONTENT, 700_001))
    study.interrupt(url, 3)  # 33 blocks are two ranges for one connection: the third is of the second copy
    assert study.fetch(url, connections=1)["verified_by"] == "second copy"
    assert server.sent == 2 * len(CONTENT)


def test_two_different_copies_are_both_thrown_away(study, server):
    server.spoil = spoil_some(flip, lambda n: n == 1)
    url = server.put("/a", CONTENT, etag=multipart_etag(CONTENT, 700_001))
    # The first copy is wrong, the second differs: both go, and the third and fourth are equal.
    assert study.fetch(url, connections=1)["verified_by"] == "second copy"
    assert study.output.read_bytes() == CONTENT
    assert server.sent == 4 * len(CONTENT)


@pytest.mark.parametrize("etag", [None, 'W/"weak"', '"opaque"'])
def test_a_tag_that_says_nothing_is_logged(study, server, etag, caplog):
    assert study.fetch(server.put("/a", CONTENT, etag=etag))["verified_by"] == "size"
    assert "only its size was checked" in caplog.text


@given(st.integers(1, 2**33), st.sampled_from([5, 8, 15, 16, 64, 128, 512]))
def test_usual_parts_are_among_those_that_are_tried(size, mib):
    found = part_sizes(size, -(-size // (mib * MIB)))
    assert mib * MIB in found or found == [size]
    assert len(found) <= 40


@pytest.mark.parametrize(
    ("name", "content", "right"),
    [
        ("a.nii.gz", b"<html>", b"\x1f\x8b\x08"),
        ("lh.white-to-fsaverage.mgz", b"\0\0\0\1", b"\x1f\x8b\x08"),
        ("lh.betas_session01.mgh", b"\x1f\x8b", b"\0\0\0\1more"),
        ("betas_session01.hdf5", b"HDF", b"\x89HDF\r\n"),
        ("annotations.zip", b"<!DOCTYPE html>", b"PK\3\4"),
        ("nsd_expdesign.mat", b"<?xml version", b"MATLAB 5.0"),
        ("responses.tsv", b"\n <!DOCTYPE html><html>", b"SUBJECT\tSESSION"),
        ("nsd_stim_info_merged.csv", b"<?xml version='1.0'?><Error>", b"0,1"),
        ("streams.mgz.ctab", b"<html>", b"0 Unknown"),
        ("captions.json", b"\xef\xbb\xbf<html>", b"{}"),
    ],
)
def test_first_bytes_fit_the_name(study, server, name, content, right):
    output = study.folder / name
    with pytest.raises(WrongContent, match=r"the first bytes are b.*expected those of a") as error:
        study.fetch(server.put("/a", content), output=output)
    assert repr(content[:5])[2:-1] in str(error.value)
    assert not output.exists()
    assert study.left() == []
    study.fetch(server.put("/a", right), output=output)
    assert output.read_bytes() == right


def test_any_bytes_may_be_those_of_an_array(study, server):
    study.fetch(server.put("/a", b"<html>"), output=study.folder / "a.npy")


# Another object


@pytest.mark.parametrize("honours", [True, False])
@pytest.mark.parametrize("etag", ["md5", None])
def test_an_object_that_is_replaced_between_two_ranges_is_begun_anew(study, server, small_blocks, honours, etag):
    server.honours_if_match = honours
    new = OTHER if etag else OTHER[:-7]
    url = server.put("/a", CONTENT, etag=etag)

    def spoil(request, answer):
        if len(server.ranges) == 1:
            server.put("/a", new, etag=etag)

    server.spoil = spoil
    study.fetch(url, connections=1)
    assert study.output.read_bytes() == new


@pytest.mark.parametrize("honours", [True, False])
def test_an_object_that_keeps_changing_is_told(study, server, small_blocks, honours):
    server.honours_if_match = honours
    url = server.put("/a", CONTENT)

    def spoil(request, answer):
        if request.method == "GET":
            server.put("/a", CONTENT + str(len(server.ranges)).encode())

    server.spoil = spoil
    with pytest.raises(ObjectChanged, match=r"keeps changing: another object 3 times"):
        study.fetch(url, connections=1)
    assert not study.output.exists()
    assert study.left() == []


def test_an_unfinished_object_that_was_replaced_is_begun_anew(study, server, small_blocks, caplog):
    study.interrupt(server.put("/a", CONTENT), 1)
    study.fetch(server.put("/a", OTHER))
    assert study.output.read_bytes() == OTHER
    assert "begun anew" in caplog.text


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_an_object_without_a_strong_tag_is_never_continued(study, server, small_blocks, etag):
    study.interrupt(server.put("/a", CONTENT, etag=etag), 1)
    before = server.sent
    study.fetch(server.put("/a", OTHER, etag=etag))
    assert study.output.read_bytes() == OTHER
    assert server.sent - before == len(OTHER)


def test_an_unchecked_object_is_not_continued_after_a_reboot(study, server, small_blocks, monkeypatch):
    url = server.put("/a", CONTENT, etag='"opaque"')
    study.interrupt(url, 1)
    sent = server.sent
    study.interrupt(url, 0)
    assert server.sent == sent  # the same boot: nothing is forgotten
    monkeypatch.setattr(module, "_boot", lambda: "another")
    study.fetch(url)
    assert server.sent == sent + len(CONTENT)
    assert study.output.read_bytes() == CONTENT


@pytest.mark.parametrize("damage", ["json", "blocks", "data"])
def test_a_damaged_unfinished_object_is_begun_anew(study, server, small_blocks, damage):
    url = server.put("/a", CONTENT)
    study.interrupt(url, 1)
    (path,) = study.unfinished.glob(f"*.{damage}")
    path.write_bytes(path.read_bytes()[:-3])
    study.fetch(url)
    assert study.output.read_bytes() == CONTENT


def test_a_known_object_has_the_recorded_digest(study, server):
    url = server.put("/a", CONTENT)
    first = study.fetch(url)
    study.output.unlink()
    assert study.fetch(url) == first
    server.put("/a", OTHER)
    study.output.unlink()
    digests = [hashlib.sha256(content).hexdigest() for content in (OTHER, CONTENT)]
    with pytest.raises(WrongContent, match=f"{digests[0]} now, {digests[1]} on {first['first_seen'][:10]}") as error:
        study.fetch(url)
    assert f"rm '{study.record}'" in str(error.value)
    assert not study.output.exists()
    before = server.sent
    study.record.unlink()
    study.fetch(url)
    assert study.output.read_bytes() == OTHER
    assert server.sent == before  # what was fetched waited for the decision


def test_a_known_object_of_another_size_is_not_fetched(study, server):
    url = server.put("/a", CONTENT)
    study.fetch(url)
    asked = len(server.ranges)
    server.put("/a", CONTENT[:-1])
    with pytest.raises(WrongContent, match=f"{len(CONTENT) - 1} bytes now, {len(CONTENT)} with SHA-256"):
        study.fetch(url)
    assert len(server.ranges) == asked


def test_a_damaged_record_is_named(study, server):
    url = server.put("/a", CONTENT)
    study.fetch(url)
    study.record.write_text("{}")
    with pytest.raises(ValueError, match=r"expected a record.*rm '"):
        study.fetch(url)


# Mirrors


@pytest.mark.parametrize("first", ["http://{host}/none", "http://127.0.0.1:1/a"])
def test_a_mirror_is_asked_when_the_object_is_not_there_or_the_server_is_not(study, server, first):
    with serving() as mirror:
        record = study.fetch(first.format(host=server.host), mirror.put("/a", CONTENT))
        assert record["url"] == mirror.url("/a")
    assert study.output.read_bytes() == CONTENT


def test_a_download_goes_on_at_a_mirror_that_has_the_same_object(study, server, small_blocks):
    with serving() as mirror:
        urls = server.put("/a", CONTENT), mirror.put("/a", CONTENT)
        server.spoil = spoil_some(unavailable, lambda n: n > 1)
        study.fetch(*urls, connections=1)
        assert 0 < server.sent < len(CONTENT)
        assert mirror.sent == len(CONTENT) - server.sent
    assert study.output.read_bytes() == CONTENT


def test_a_download_begins_anew_at_a_mirror_that_has_another_object(study, server, small_blocks):
    with serving() as mirror:
        urls = server.put("/a", CONTENT), mirror.put("/a", OTHER)
        server.spoil = spoil_some(unavailable, lambda n: n > 1)
        study.fetch(*urls, connections=1)
        assert mirror.sent == len(OTHER)
    assert study.output.read_bytes() == OTHER


def test_no_mirror_is_asked_for_wrong_content(study, server):
    with serving() as mirror:
        with pytest.raises(WrongContent):
            study.fetch(server.put("/a", CONTENT), mirror.put("/a", CONTENT), md5="0" * 32)
        assert not mirror.requests


def test_all_addresses_that_failed_are_named(study, server):
    with serving() as mirror:
        with pytest.raises(NotThere) as error:
            study.fetch(server.url("/none"), mirror.url("/none"))
        assert server.host in str(error.value) and mirror.host in str(error.value)


# Disks and processes


def test_an_object_too_large_for_the_disk_is_not_begun(study, server):
    url = server.put("/a", CONTENT)
    server.spoil = lambda request, answer: answer.set("Content-Length", str(2**50))
    with pytest.raises(
        OSError, match=r"betas.bin: 1073741888.0 MB are needed and .* MB are free in .*; make space"
    ) as error:
        study.fetch(url)
    assert error.value.errno == errno.ENOSPC
    assert not server.ranges
    assert study.left() == []


def test_a_disk_that_fills_up_is_told_and_the_download_goes_on_later(
    study, server, small_blocks, small_disk, monkeypatch
):
    study.unfinished, study.output = small_disk / "unfinished", small_disk / "betas.bin"
    monkeypatch.setattr(module, "SPARE_BYTES", -(2**30))
    content = CONTENT[:700_000]
    url = server.put("/a", content)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    with pytest.raises(
        OSError, match=r"No space left on device to fetch .*betas.bin.*make space there, then run snakemake"
    ) as error:
        study.fetch(url, connections=2)
    assert error.value.errno == errno.ENOSPC
    assert not study.output.exists()
    before = server.sent
    ballast.unlink()
    study.fetch(url)
    assert study.output.read_bytes() == content
    assert server.sent - before < len(content)


def test_another_file_system_gets_the_file_whole_or_not_at_all(study, server, small_disk, monkeypatch):
    study.output = small_disk / "betas.bin"
    with pytest.raises(OSError, match=f"MB are needed and .* free in {small_disk}"):
        study.fetch(server.put("/a", CONTENT[:500_000]))
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    study.fetch(server.put("/a", CONTENT[:500_000]))
    assert study.output.read_bytes() == CONTENT[:500_000]
    monkeypatch.setattr(module, "SPARE_BYTES", -(2**30))
    study.output = small_disk / "more.bin"
    with pytest.raises(OSError, match=r"to write .*more.bin.*make space"):
        study.fetch(server.put("/a", CONTENT[:900_000]))
    assert [path.name for path in small_disk.iterdir()] == ["betas.bin"]
    assert study.left() == [".blocks", ".data", ".json"]


def test_two_processes_do_not_fetch_the_same_object(study, server):
    other = Study(study.folder, server)

    def spoil(request, answer):
        server.spoil = lambda request, answer: None
        with pytest.raises(FetchError, match=r"another process is fetching it.*wait until it ends"):
            other.fetch(server.url("/a"))

    server.spoil = spoil
    study.fetch(server.put("/a", CONTENT))
    assert study.output.read_bytes() == CONTENT


def test_a_file_system_without_locks_will_do(study, server, monkeypatch, caplog):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(module.fcntl, "flock", flock)
    study.fetch(server.put("/a", CONTENT))
    assert study.output.read_bytes() == CONTENT
    assert "cannot be locked" in caplog.text


@pytest.mark.parametrize("secret", [False, True])
def test_an_error_does_not_wait_for_a_server_that_stalls(tmp_path, small_blocks, certificate, monkeypatch, secret):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate if secret else None) as server:
        stalled = threading.Event()

        def spoil(request, answer):
            if len(server.ranges) == 1:
                answer.cut_at, answer.stall_s = len(answer.body) // 2, 600.0
                stalled.set()
            elif request.method == "GET":
                stalled.wait()
                time.sleep(0.1)
                answer.status = 400

        server.spoil = spoil
        url = server.put("/a", CONTENT)
        if secret:
            url = url.replace("http://127.0.0.1", "https://localhost")
        study = Study(tmp_path, server)
        with pytest.raises(AnswerRefused, match="status 400"):
            study.fetch(url, connections=2, patience=replace(PATIENT, read_s=600.0))
        assert not server.go.is_set()


DOWNLOAD = """
import sys
from capcortex.fetch.client import Client, Patience
from capcortex.fetch.download import download
url, output, folder, connections = sys.argv[1:]
with Client({url.split("/")[2]}, Patience(read_s=60)) as client:
    download([url], output, client=client, unfinished=folder + "/unfinished", records=folder + "/records",
             connections=int(connections))
"""


def started(study: Study, url: str, connections: int, **more) -> subprocess.Popen:
    words = [sys.executable, "-c", DOWNLOAD, url, str(study.output), str(study.folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(capcortex.__file__).parents[1])}
    return subprocess.Popen([*words, str(connections)], env=environment, **more)


def test_a_killed_download_moves_little_again(study, server):
    content = bytes(96 * MIB - 99) + CONTENT[:99]
    url = server.put("/a", content)
    server.stops_after = int(0.6 * len(content))
    process = started(study, url, connections=4)
    # All that was sent is written but for one unfinished block of each connection.
    written = int(0.6 * 96) - 4
    while sum(sum(blocks_of(path)) for path in study.unfinished.glob("*.blocks")) < written:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sent = server.sent
    assert 0.59 * len(content) < sent <= 0.6 * len(content)
    assert not study.output.exists()
    assert study.left() == [".blocks", ".data", ".json"]
    server.stops_after = None
    server.go.set()
    assert study.fetch(url)["verified_by"] == "etag"
    assert study.output.read_bytes() == content
    assert server.sent - sent <= 0.45 * len(content)


# Progress


def test_the_log_has_few_lines(study, server, small_blocks, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    url = server.put("/a", CONTENT)
    study.fetch(url)
    lines = [line for line in caplog.messages if "MB/s" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{study.output}: 2.0 MB of 2.0 MB")
    monkeypatch.setattr(module, "LOGGED_EVERY_S", 0.0)
    server.spoil = spoil_some(stall, lambda n: n == 2)
    study.output.unlink()
    study.fetch(url, patience=Patience(attempts=4, read_s=0.8, first_wait_s=0.01))
    assert any("s left" in line for line in caplog.messages)


def test_a_terminal_gets_a_bar(study, server):
    main, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = started(study, server.put("/a", CONTENT), 1, stderr=terminal)
    assert process.wait() == 0
    shown = b""
    while select.select([main], [], [], 0)[0]:
        shown += os.read(main, 4096)
    os.close(main)
    os.close(terminal)
    assert b"betas.bin" in shown
    assert b"B/s" in shown

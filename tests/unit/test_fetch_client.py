"""What the client asks, what it refuses, and what it does when a network or a server fails; against real servers on loopback."""

import gzip
import io
import itertools
import socket
import time

import h5py
import numpy as np
import pytest
from faulty_server import IMPATIENT, PATIENT, Answer, FaultyServer, Request, serving
from hypothesis import given
from hypothesis import strategies as st

from capcortex.fetch.client import (
    BLOCK_BYTES,
    HELD_BLOCKS,
    AnswerRefused,
    Client,
    NotThere,
    ObjectChanged,
    Patience,
    RangeFile,
    Unreachable,
    runs,
)

CONTENT = np.random.default_rng(7).bytes(300_000)


@pytest.fixture
def server(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with serving() as server:
        yield server


@pytest.fixture
def client(server):
    with Client({server.host}, PATIENT) as client:
        yield client


def spoil_first(n: int, change):
    """Spoil the first ``n`` answers to GET."""
    seen = []

    def spoil(request: Request, answer: Answer) -> None:
        if request.method == "GET":
            seen.append(request)
            if len(seen) <= n:
                change(answer)

    return spoil


# What is asked


def test_an_object_is_described_without_its_body(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    assert (remote.size, remote.etag) == (len(CONTENT), server.things["/betas.mgh"].etag)
    (request,) = server.requests
    assert request.method == "HEAD"
    assert request.headers["accept-encoding"] == "identity"


def test_an_empty_object_is_described_and_read(server, client):
    remote = client.describe(server.put("/empty", b""))
    assert remote.size == 0
    assert client.read_range(remote, 0, 0) == b""


@given(st.data())
def test_ranges_are_slices(data):
    start = data.draw(st.integers(0, len(CONTENT)))
    stop = data.draw(st.integers(start, len(CONTENT)))
    with serving() as server, Client({server.host}, PATIENT) as client:
        remote = client.describe(server.put("/betas.mgh", CONTENT))
        assert client.read_range(remote, start, stop) == CONTENT[start:stop]
        assert server.sent == stop - start


def test_a_range_beyond_the_object_is_not_asked_for(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    with pytest.raises(ValueError, match="it has 300000"):
        client.read_range(remote, 0, len(CONTENT) + 1)
    assert not server.ranges


def test_only_a_strong_tag_is_a_condition(server, client):
    for tag, condition in (('"abc"', '"abc"'), ('W/"abc"', None), (None, None)):
        remote = client.describe(server.put("/betas.mgh", CONTENT, etag=tag))
        assert client.read_range(remote, 5, 9) == CONTENT[5:9]
        assert server.ranges[-1].headers.get("if-match") == condition


def test_no_credentials_are_sent(server, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAQUITESECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "quitesecret")
    monkeypatch.setenv("HOME", str(tmp_path))
    netrc = tmp_path / ".netrc"
    netrc.write_text(f"machine {server.host} login me password quitesecret\ndefault login me password quitesecret\n")
    netrc.chmod(0o600)
    with Client({server.host}, PATIENT) as client:
        client.read_range(client.describe(server.put("/betas.mgh", CONTENT)), 0, 9)
    assert [set(request.headers) - {"range", "if-match"} for request in server.requests] == [
        {"host", "accept-encoding", "user-agent"}
    ] * 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://elsewhere.example/a", "elsewhere.example is not one of those"),
        ("http://127.0.0.1/a", "127.0.0.1 is not one of those"),
        ("http://{host}:1/a", "."),
        ("http://me:secret@{host}/a", "a name or password"),
        ("http://elsewhere.example\\@{host}/a", "backslashes"),
        ("http://{host}/a\r\nX-More: 1", "control"),
        ("http://{host}/a b", "spaces"),
        ("ftp://{host}/a", "begins with https"),
        ("file:///etc/passwd", "begins with https"),
        ("{host}/a", "."),
    ],
)
def test_what_must_not_be_asked_is_not(server, client, url, told):
    with pytest.raises(ValueError, match=told) as error:
        client.describe(url.format(host=server.host))
    assert "secret" not in str(error.value)
    assert not server.requests


def test_an_unknown_host_is_not_even_looked_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    with Client({"known.example"}) as client, pytest.raises(ValueError, match="not one of those"):
        client.describe("https://unknown.example/a")


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://me:word@{server.host}")
    server.put("http://elsewhere.example/a", CONTENT)
    # A proxy is asked for whole addresses; this server knows objects by their path.
    server.things["/a"] = server.things["http://elsewhere.example/a"]
    with Client({"elsewhere.example"}, PATIENT) as client:
        assert client.describe("http://elsewhere.example/a").size == len(CONTENT)
    (request,) = server.requests
    assert request.path == "http://elsewhere.example/a"
    assert request.headers["proxy-authorization"] == "Basic bWU6d29yZA=="
    assert "authorization" not in request.headers


def test_a_proxy_is_asked_for_a_tunnel(server, monkeypatch):
    monkeypatch.setenv("https_proxy", f"http://{server.host}")
    with Client({"elsewhere.example"}, PATIENT) as client, pytest.raises(Unreachable, match="404"):
        client.describe("https://elsewhere.example/a")
    assert {(request.method, request.path) for request in server.requests} == {("CONNECT", "elsewhere.example:443")}


def test_a_host_without_proxy_is_asked_directly(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Client({server.host}, PATIENT) as client:
        assert client.describe(server.put("/a", CONTENT)).size == len(CONTENT)


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://me:secret@127.0.0.1:1")
    with (
        Client({"elsewhere.example"}) as client,
        pytest.raises(ValueError, match=r"socks5://127.0.0.1:1.*HTTPS_PROXY") as error,
    ):
        client.describe("http://elsewhere.example/a")
    assert "secret" not in str(error.value)


def test_a_certificate_is_checked(certificate, monkeypatch):
    with serving(certificate) as server:
        server.put("/a", CONTENT)
        port = server.host.split(":")[1]
        urls = f"https://localhost:{port}/a", f"https://127.0.0.1:{port}/a"
        hosts = {url.split("/")[2] for url in urls}
        for url in urls:
            with Client(hosts, PATIENT) as client, pytest.raises(AnswerRefused, match=r"certificate.*SSL_CERT_FILE"):
                client.describe(url)
        assert not server.requests
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with Client(hosts, PATIENT) as client:
            assert client.read_range(client.describe(urls[0]), 5, 100_000) == CONTENT[5:100_000]
            with pytest.raises(AnswerRefused, match="IP address mismatch"):
                client.describe(urls[1])


# What passes


def cut(answer: Answer) -> None:
    answer.cut_at = 100_000


def reset(answer: Answer) -> None:
    answer.cut_at, answer.reset = 100_000, True


def stall(answer: Answer) -> None:
    answer.cut_at, answer.stall_s = 100_000, 5.0


def silence(answer: Answer) -> None:
    time.sleep(2 * IMPATIENT.read_s)


def unavailable(answer: Answer) -> None:
    answer.status, answer.body = 503, b"<Error><Code>SlowDown</Code></Error>"
    answer.set("Content-Length", str(len(answer.body)))


def too_many(answer: Answer) -> None:
    unavailable(answer)
    answer.status = 429
    answer.set("Retry-After", "0")


def no_such_range(answer: Answer) -> None:
    unavailable(answer)
    answer.status = 416


FAULTS = [cut, reset, stall, silence, unavailable, too_many, no_such_range]


@pytest.fixture
def client_for(server, fault):
    with Client({server.host}, IMPATIENT if fault in (stall, silence) else PATIENT) as client:
        yield client


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_changes_nothing(server, client_for, fault):
    remote = client_for.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = spoil_first(2, fault)
    assert client_for.read_range(remote, 1000, 299_000) == CONTENT[1000:299_000]
    assert len(server.ranges) >= 3


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_told(server, client_for, fault):
    remote = client_for.describe(server.put("/betas.mgh", CONTENT))

    def spoil(request, answer):
        fault(answer)
        answer.cut_at = 0

    server.spoil = spoil
    with pytest.raises(Unreachable, match=r"in 4 attempts.*run snakemake again") as error:
        client_for.read_range(remote, 0, len(CONTENT))
    assert str(error.value).startswith(remote.url)
    assert len(server.ranges) == 4


def test_what_came_before_a_cut_is_not_asked_for_again(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = spoil_first(1, cut)
    client.read_range(remote, 0, len(CONTENT))
    assert [request.headers["range"] for request in server.ranges] == ["bytes=0-299999", "bytes=100000-299999"]


def test_patience_lasts_as_long_as_something_comes(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))

    def drip(answer: Answer) -> None:
        answer.cut_at = 20_000

    server.spoil = spoil_first(100, drip)
    assert client.read_range(remote, 0, len(CONTENT)) == CONTENT
    assert len(server.ranges) == 15


def test_a_wait_that_the_server_asks_for_is_kept_up_to_the_longest(server):
    patience = Patience(attempts=3, first_wait_s=0.001, longest_wait_s=0.2, connect_s=1, read_s=1)

    def spoil(request, answer):
        answer.status = 503
        answer.set("Retry-After", "3600")

    server.spoil = spoil
    with Client({server.host}, patience) as client, pytest.raises(Unreachable, match="status 503"):
        client.describe(server.put("/a", CONTENT))
    times = [request.at for request in server.requests]
    assert np.diff(times).min() >= 0.19


@pytest.mark.parametrize("told", ["soon", "-5", "Wed, 99 Nov 2026 00:00:00 GMT", "9" * 400])
def test_a_wait_that_makes_no_sense_is_ignored(server, client, told):
    remote = client.describe(server.put("/betas.mgh", CONTENT))

    def fault(answer: Answer) -> None:
        unavailable(answer)
        answer.set("Retry-After", told)

    server.spoil = spoil_first(1, fault)
    assert client.read_range(remote, 0, 9) == CONTENT[:9]


def test_a_server_that_is_not_there_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        with Client({host}, PATIENT) as client, pytest.raises(Unreachable, match="in 4 attempts"):
            client.describe(f"http://{host}/a")


# What is refused


def header(name: str, value: str | None):
    return lambda answer: answer.set(name, value)


def twice(answer: Answer) -> None:
    answer.headers.append(("Content-Length", "17"))


def html(answer: Answer) -> None:
    answer.set("Content-Type", "text/html; charset=utf-8")


MALFORMED = {
    "none": (header("Content-Length", None), "Content-Length 'none'"),
    "negative": (header("Content-Length", "-5"), "Content-Length '-5'"),
    "words": (header("Content-Length", "many"), "Content-Length 'many'"),
    "sign": (header("Content-Length", "+5"), r"Content-Length '\+5'"),
    "digits of other scripts": (header("Content-Length", "\xb2"), "Content-Length"),
    "two": (twice, "Content-Length"),
    "list": (header("Content-Length", "5, 6"), "Content-Length|not an answer"),
    "huge": (header("Content-Length", "9" * 30), "Content-Length"),
    "gzip": (header("Content-Encoding", "gzip"), "Content-Encoding 'gzip'"),
    "chunked": (header("Transfer-Encoding", "chunked"), "Transfer-Encoding 'chunked'"),
    "tag without quotes": (header("ETag", "abc"), "ETag 'abc'"),
    "tag with control characters": (header("ETag", '"a\x07b"'), "ETag"),
    "tag folded": (header("ETag", '"a\r\n X-More: 1"'), "ETag"),
    "long headers": (lambda answer: [answer.set(f"X-{i}", "x" * 60_000) for i in range(2)], "bytes of headers"),
    "longer headers": (header("X", "x" * 70_000), "not an answer in HTTP"),
    "many headers": (lambda answer: [answer.set(f"X-{i}", "x") for i in range(200)], "not an answer in HTTP"),
    "a page": (html, r"a page of HTML.*log in"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_answers_are_refused(server, client, case):
    change, told = MALFORMED[case]
    url = server.put("/betas.mgh", CONTENT)
    server.spoil = lambda request, answer: change(answer)
    with pytest.raises(AnswerRefused, match=told):
        client.describe(url)
    assert len(server.requests) == 1


@pytest.mark.parametrize("case", [case for case in MALFORMED if not case.startswith("tag")])
def test_malformed_ranges_are_refused(server, client, case):
    change, told = MALFORMED[case]
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = lambda request, answer: change(answer)
    with pytest.raises(AnswerRefused, match=told):
        client.read_range(remote, 0, 1000)


def test_words_that_are_no_http_are_refused(server, client):
    def spoil(request, answer):
        answer.raw = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"

    server.spoil = spoil
    with pytest.raises(AnswerRefused, match="not an answer in HTTP"):
        client.describe(server.put("/a", CONTENT))


def test_what_follows_an_answer_on_its_connection_is_not_the_next_one(server, client, monkeypatch):
    """More than was announced, which comes so late that the connection seems to be as good as new."""
    monkeypatch.setattr("urllib3.connectionpool.is_connection_dropped", lambda connection: False)
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = lambda request, answer: setattr(answer, "after", b"more than was announced")
    for start in (0, 1000, 2000):
        assert client.read_range(remote, start, start + 1000) == CONTENT[start : start + 1000]


@pytest.mark.parametrize(
    "told",
    [
        None,
        "bytes 1-1000/300000",
        "bytes 0-1000/300000",
        "bytes 0-999/*",
        "bytes 0-999",
        "items 0-999/300000",
        "bytes -1-999/300000",
    ],
)
def test_another_range_is_refused(server, client, told):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = spoil_first(1, header("Content-Range", told))
    with pytest.raises(AnswerRefused, match=r"Content-Range.*expected bytes 0-999/300000"):
        client.read_range(remote, 0, 1000)


def test_the_right_range_with_another_length_is_refused(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = spoil_first(1, header("Content-Length", "2000"))
    with pytest.raises(AnswerRefused, match="Content-Length 2000"):
        client.read_range(remote, 0, 1000)


def test_no_more_is_read_than_was_asked_for(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))

    def spoil(request, answer):
        answer.after = b"HTTP/1.1 206 Told\r\nContent-Length: 9\r\n\r\nsmuggled!"

    server.spoil = spoil
    for start in (0, 1000, 2000):
        assert client.read_range(remote, start, start + 1000) == CONTENT[start : start + 1000]
    assert len(server.ranges) == 3


def test_a_whole_object_for_a_part_is_refused_and_for_the_whole_is_taken(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.honours_range = False
    assert client.read_range(remote, 0, len(CONTENT)) == CONTENT
    with pytest.raises(AnswerRefused, match=r"the whole object \(status 200\).*knows ranges"):
        client.read_range(remote, 0, 1000)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server, client, status):
    with serving() as other:
        targets = [other.put("/stolen", CONTENT), server.put("/moved", CONTENT), "file:///etc/passwd"]
        remote = client.describe(server.put("/betas.mgh", CONTENT))
        for target in targets:

            def spoil(request, answer, target=target):
                answer.status = status
                answer.set("Location", target)

            server.spoil = spoil
            for ask in (lambda: client.describe(remote.url), lambda: client.read_range(remote, 0, 9)):
                with pytest.raises(AnswerRefused, match=f"redirected to '{target}'"):
                    ask()
        assert not other.requests
        assert {request.path for request in server.requests} == {"/betas.mgh"}


def test_what_a_server_says_cannot_disturb_a_terminal(server, client):
    def spoil(request, answer):
        answer.status = 302
        answer.set("Location", "\x1b[2Jx" * 100)

    server.spoil = spoil
    with pytest.raises(AnswerRefused) as error:
        client.describe(server.put("/a", CONTENT))
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_what_is_not_there_is_told_at_once(server, client):
    with pytest.raises(NotThere, match=r"/none: not there \(status 404\); the table of sources"):
        client.describe(server.url("/none"))
    assert len(server.requests) == 1


def test_what_is_not_for_us_comes_with_the_advice_that_was_given(server):
    def spoil(request, answer):
        answer.status = 403

    server.spoil = spoil
    with Client({server.host}, IMPATIENT, advice={403: "sessions may be held out"}) as client:
        remote = server.put("/a", CONTENT)
        with pytest.raises(NotThere, match=r"not for us \(status 403\); sessions may be held out"):
            client.describe(remote)
    assert len(server.requests) == 1


def test_another_refusal_is_told_at_once(server, client):
    def spoil(request, answer):
        answer.status = 400

    server.spoil = spoil
    with pytest.raises(AnswerRefused, match="status 400, expected 200"):
        client.describe(server.put("/a", CONTENT))
    assert len(server.requests) == 1


# Another object


@pytest.mark.parametrize("honours", [True, False])
def test_an_object_that_was_replaced_is_noticed(server, client, honours):
    server.honours_if_match = honours
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    assert client.read_range(remote, 0, 9) == CONTENT[:9]
    server.put("/betas.mgh", CONTENT[::-1])
    with pytest.raises(ObjectChanged, match=f"{remote.etag}.*run snakemake again"):
        client.read_range(remote, 9, 18)


def test_an_object_without_tag_that_has_another_size_is_noticed(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT, etag=None))
    server.put("/betas.mgh", CONTENT[:-1], etag=None)
    with pytest.raises(ObjectChanged, match="299999 bytes now, expected 300000"):
        client.read_range(remote, 9, 18)


def test_a_range_that_lost_its_tag_is_refused(server, client):
    remote = client.describe(server.put("/betas.mgh", CONTENT))
    server.spoil = lambda request, answer: answer.set("ETag", None)
    with pytest.raises(AnswerRefused, match="a range without an ETag"):
        client.read_range(remote, 9, 18)


# Files


@given(st.lists(st.integers(0, 50), unique=True).map(sorted))
def test_runs_are_neighbours_and_all_there_is(numbers):
    found = runs(numbers)
    assert [number for run in found for number in run] == numbers
    assert all(one.stop < two.start for one, two in itertools.pairwise(found))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-200_000, 350_000), st.integers(-1, 200_000)), max_size=12))
def test_a_range_file_reads_like_a_file(steps):
    with serving() as server, Client({server.host}, PATIENT) as client:
        file = RangeFile(client, client.describe(server.put("/betas.mgh", CONTENT)))
        model = io.BytesIO(CONTENT)
        for whence, offset, length in steps:
            origin = (0, model.tell(), len(CONTENT))[whence]
            if origin + offset < 0:
                with pytest.raises(ValueError, match="before the start"):
                    file.seek(offset, whence)
                continue
            assert file.seek(offset, whence) == model.seek(offset, whence)
            assert file.read(length) == model.read(length)
            assert file.tell() == model.tell()


def test_neighbouring_blocks_come_in_one_request_and_none_comes_twice(server, client):
    file = RangeFile(client, client.describe(server.put("/betas.mgh", CONTENT)))
    file.seek(2 * BLOCK_BYTES + 1)
    file.read(1)
    file.seek(0)
    file.read(4 * BLOCK_BYTES)
    file.seek(0)
    file.read(4 * BLOCK_BYTES)
    blocks = [(2, 3), (0, 2), (3, 4)]
    assert [request.headers["range"] for request in server.ranges] == [
        f"bytes={start * BLOCK_BYTES}-{stop * BLOCK_BYTES - 1}" for start, stop in blocks
    ]


def test_a_bounded_number_of_blocks_is_kept(server, client):
    content = bytes((HELD_BLOCKS + 20) * BLOCK_BYTES)
    file = RangeFile(client, client.describe(server.put("/betas.mgh", content)))
    assert file.read() == content
    assert len(file._held) == HELD_BLOCKS
    asked = len(server.ranges)
    file.seek(-1, io.SEEK_END)
    file.read(1)
    assert len(server.ranges) == asked
    file.seek(0)
    file.read(1)
    assert len(server.ranges) == asked + 1


def test_hdf5_is_read_through_it(server, client, rng):
    betas = rng.integers(-3000, 3000, (40, 20, 30, 10), dtype=np.int16)
    kept = io.BytesIO()
    with h5py.File(kept, "w") as file:
        file.create_dataset("betas", data=betas)
        file.create_dataset("more", data=np.zeros(500_000))
    url = server.put("/betas_session01.hdf5", kept.getvalue())
    with h5py.File(RangeFile(client, client.describe(url)), "r") as file:
        np.testing.assert_array_equal(file["betas"][3], betas[3])
    assert server.sent < len(kept.getvalue()) / 4


def test_gzip_is_read_through_it(server, client):
    url = server.put("/brainmask.nii.gz", gzip.compress(CONTENT))
    with gzip.open(RangeFile(client, client.describe(url))) as file:
        assert file.read() == CONTENT


def test_an_object_that_changes_under_a_file_is_an_error(server, client):
    file = RangeFile(client, client.describe(server.put("/betas.mgh", CONTENT)))
    file.read(10)
    server.put("/betas.mgh", CONTENT[::-1])
    file.seek(200_000)
    with pytest.raises(ObjectChanged):
        file.read(10)


def test_the_server_that_these_tests_ask_is_a_real_one(server: FaultyServer):
    server.put("/a", b"abc")
    host, port = server.host.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=1-1\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 206") and received.endswith(b"\r\n\r\nb")

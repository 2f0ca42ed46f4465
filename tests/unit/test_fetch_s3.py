"""The fetcher before an S3 server: public and private objects, objects uploaded in parts, conditions."""

import hashlib
import io
import logging

import numpy as np
import pytest
from faulty_server import PATIENT, multipart_etag, single_etag

from capcortex.fetch.client import Client, NotThere, ObjectChanged
from capcortex.fetch.download import download

MIB = 2**20
BUCKET = "public-objects"  # buckets of all moto servers of a process are one: not the name of another test's
CONTENT = np.random.default_rng(7).bytes(11 * MIB + 5)


@pytest.fixture(scope="session")
def bucket():
    """A bucket as NSD's: its owner's client, and the address that everybody uses."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    owner = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="owner",
        aws_secret_access_key="owner",  # noqa: S106
        region_name="us-east-2",
    )
    owner.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
    yield owner, f"{host}:{port}"
    server.stop()


@pytest.fixture
def put(bucket):
    """Upload content, in parts if a size of parts is given; return its address."""
    from boto3.s3.transfer import TransferConfig

    owner, host = bucket

    def put(key, content, part=None, access="public-read"):
        config = TransferConfig(multipart_threshold=part or 2**40, multipart_chunksize=part or 2**30)
        owner.upload_fileobj(io.BytesIO(content), BUCKET, key, ExtraArgs={"ACL": access}, Config=config)
        return f"http://{host}/{BUCKET}/{key}"

    return put


@pytest.fixture
def client(bucket):
    with Client({bucket[1]}, PATIENT) as client:
        yield client


@pytest.fixture
def fetch(client, tmp_path):
    def fetch(url, name="betas.bin"):
        record = download(
            [url], tmp_path / name, client=client, unfinished=tmp_path / "unfinished", records=tmp_path / "records"
        )
        return record, (tmp_path / name).read_bytes()

    return fetch


def test_an_object_uploaded_at_once(put, fetch):
    record, content = fetch(put("nsddata/one.bin", CONTENT))
    assert content == CONTENT
    assert record["etag"] == single_etag(CONTENT)
    assert record["verified_by"] == "etag"
    assert record["sha256"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("part", [5 * MIB, 8 * MIB, 6 * MIB])
def test_an_object_uploaded_in_parts(put, fetch, part):
    record, content = fetch(put(f"nsddata/parts{part}.bin", CONTENT, part=part))
    assert content == CONTENT
    assert record["etag"] == multipart_etag(CONTENT, part)
    assert record["verified_by"] == "etag of parts"


def test_an_object_uploaded_in_parts_of_an_unusual_size(put, fetch):
    record, content = fetch(put("nsddata/odd.bin", CONTENT, part=5 * MIB + 4097))
    assert content == CONTENT
    assert record["etag"].endswith('-3"')
    assert record["verified_by"] == "second copy"


def test_a_range_of_an_object_uploaded_in_parts(put, client):
    remote = client.describe(put("nsddata/range.bin", CONTENT, part=5 * MIB))
    assert client.read_range(remote, 5 * MIB - 7, 5 * MIB + 7) == CONTENT[5 * MIB - 7 : 5 * MIB + 7]


def test_an_object_that_is_replaced(put, client):
    url = put("nsddata/replaced.bin", CONTENT)
    remote = client.describe(url)
    put("nsddata/replaced.bin", CONTENT[::-1])
    with pytest.raises(ObjectChanged, match="status 412"):
        client.read_range(remote, 0, 10)


def test_a_private_object_and_none(put, client, bucket):
    with pytest.raises(NotThere, match="status 403"):
        client.describe(put("nsddata/held-out.bin", CONTENT[:100], access="private"))
    with pytest.raises(NotThere, match="status 404"):
        client.describe(f"http://{bucket[1]}/{BUCKET}/nsddata/none.bin")


def test_the_size_of_parts_is_not_taken_from_an_answer_about_another_object(put, client):
    """This server answers with the part's own ETag and status 200, unlike S3."""
    remote = client.describe(put("nsddata/part.bin", CONTENT, part=5 * MIB))
    assert client.first_part_bytes(remote) is None

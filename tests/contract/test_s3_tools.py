"""The `aws` command and obstore, unmodified, on the local platform's S3."""

from datetime import timedelta
import json
import os
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import S3Store
import pytest

from local_server import aws, raw

BIG = os.urandom(9 << 20)
"""Above the eight megabytes where the command begins to send parts."""


@pytest.fixture
def shell(s3_url: str, tmp_path: Path) -> Any:
    """Runs the command in the test's folder; its output, after it has succeeded."""

    def run(*arguments: str) -> str:
        done = aws(s3_url, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def store(s3_url: str, bucket: str) -> S3Store:
    """Obstore on the bucket."""
    return S3Store(
        bucket, endpoint=s3_url, region="us-east-1", access_key_id="t", secret_access_key="t",
        client_options={"allow_http": True},
    )  # fmt: skip


def tree(folder: Path) -> dict[str, bytes]:
    """Files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_aws_s3_commands(shell: Any, s3: Any, bucket: str, tmp_path: Path) -> None:
    """Sync up and down, cp between keys, mv, ls, rm: trees and large files arrive as they were."""
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "sub folder").mkdir(parents=True)
    (here / "sub folder" / "ä+b.txt").write_text("ü")
    (here / "big").write_bytes(BIG)
    shell("s3", "sync", "here", f"s3://{bucket}/tree")
    assert shell("s3", "sync", "here", f"s3://{bucket}/tree") == ""
    shell("s3", "sync", f"s3://{bucket}/tree", "there")
    assert tree(there) == tree(here)
    shell("s3", "cp", f"s3://{bucket}/tree/big", f"s3://{bucket}/copied", "--quiet")
    shell("s3", "mv", f"s3://{bucket}/copied", f"s3://{bucket}/moved", "--quiet")
    listed = shell("s3", "ls", "--recursive", f"s3://{bucket}/")
    assert [line.split(maxsplit=2)[2] for line in listed.splitlines()] == [
        f"{len(BIG)} moved", f"{len(BIG)} tree/big", "2 tree/sub folder/ä+b.txt"
    ]  # fmt: skip
    shell("s3", "rm", "--recursive", f"s3://{bucket}/tree")
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["moved"]
    shell("s3", "rb", "--force", f"s3://{bucket}")
    assert bucket not in [b["Name"] for b in s3.list_buckets()["Buckets"]]


def test_aws_streams(s3_url: str, s3: Any, bucket: str, tmp_path: Path) -> None:
    """`cp` from and to a stream, and what is absent is an error with its reason."""
    (tmp_path / "in").write_bytes(b"streamed")
    done = aws(s3_url, "s3", "cp", "in", f"s3://{bucket}/k", "--metadata", "a=b", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "b"}
    done = aws(s3_url, "s3", "cp", f"s3://{bucket}/k", "-", cwd=tmp_path)
    assert done.stdout == "streamed"
    done = aws(s3_url, "s3", "cp", f"s3://{bucket}/absent", "-", cwd=tmp_path)
    assert done.returncode != 0
    assert "404" in done.stderr


def test_aws_s3api_commands(shell: Any, bucket: str, tmp_path: Path) -> None:
    """s3api puts with a checksum, gets a range, describes and probes."""
    (tmp_path / "in").write_bytes(b"0123456789")
    place = ("--bucket", bucket, "--key", "k")
    put = json.loads(shell("s3api", "put-object", *place, "--body", "in", "--checksum-algorithm", "CRC64NVME"))
    got = json.loads(shell("s3api", "get-object", *place, "--range", "bytes=2-4", "out"))
    assert (tmp_path / "out").read_bytes() == b"234"
    assert got["ContentRange"] == "bytes 2-4/10"
    found = json.loads(shell("s3api", "get-object-attributes", *place, "--object-attributes", "Checksum", "ObjectSize"))
    assert (found["ObjectSize"], found["Checksum"]["ChecksumCRC64NVME"]) == (10, put["ChecksumCRC64NVME"])


def test_obstore_reads_and_writes(store: S3Store) -> None:
    """put, get, range, ranges, head, copy, rename, list with a delimiter, delete."""
    obstore.put(store, "a/1 +ü", b"0123456789", attributes={"Content-Type": "text/plain", "colour": "red"})
    got = obstore.get(store, "a/1 +ü")
    assert (got.attributes["Content-Type"], got.attributes["colour"]) == ("text/plain", "red")
    assert bytes(got.bytes()) == b"0123456789"
    assert bytes(obstore.get_range(store, "a/1 +ü", start=2, end=5)) == b"234"
    assert [bytes(r) for r in obstore.get_ranges(store, "a/1 +ü", starts=[0, 8], ends=[2, 10])] == [b"01", b"89"]
    assert obstore.head(store, "a/1 +ü")["size"] == 10
    obstore.copy(store, "a/1 +ü", "b")
    obstore.rename(store, "b", "c")
    listed = obstore.list_with_delimiter(store)
    assert (list(listed["common_prefixes"]), [o["path"] for o in listed["objects"]]) == (["a"], ["c"])
    assert [o["path"] for o in obstore.list(store).collect()] == ["a/1 +ü", "c"]
    obstore.delete(store, ["a/1 +ü", "c"])
    assert obstore.list(store).collect() == []
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "c")


def test_obstore_sends_parts_and_signs_urls(store: S3Store, s3_url: str) -> None:
    """A large put goes in parts; a signed URL gives the object."""
    obstore.put(store, "big", BIG, use_multipart=True, chunk_size=5 << 20)
    assert bytes(obstore.get(store, "big").bytes()) == BIG
    assert str(obstore.head(store, "big")["e_tag"]).endswith('-2"')
    url = obstore.sign(store, "GET", "big", timedelta(minutes=1))
    assert raw(s3_url, "GET", "/" + url.split("/", 3)[3]).body == BIG


def test_obstore_writes_conditionally(store: S3Store) -> None:
    """Create-only and compare-and-swap writes are refused when another was first."""
    first = obstore.put(store, "k", b"1", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "k", b"2", mode="create")
    obstore.put(store, "k", b"2", mode={"e_tag": first["e_tag"]})
    with pytest.raises(PreconditionError):
        obstore.put(store, "k", b"3", mode={"e_tag": first["e_tag"]})
    assert bytes(obstore.get(store, "k").bytes()) == b"2"

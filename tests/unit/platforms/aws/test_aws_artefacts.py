"""The bucket of zips is made once, closed to everybody, and filled only with what it lacks."""

from pathlib import Path
from typing import Any

from deployable import request
import pytest

from aws_double import AwsDouble
from serverless_mlperf.errors import InputError, PlatformError
from serverless_mlperf.platforms.aws.artefacts import Artefacts
from serverless_mlperf.platforms.aws.request import Artefact
from serverless_mlperf.platforms.aws.session import Aws, open_session
from serverless_mlperf.platforms.aws.spec import PROJECT

BUCKET = f"{PROJECT}-artifacts-123456789012-us-east-1"


@pytest.fixture
def said() -> list[str]:
    """What was told on the way."""
    return []


@pytest.fixture
def artefacts(aws: Aws, said: list[str]) -> Artefacts:
    """The project's."""
    return Artefacts(aws, PROJECT, said.append)


@pytest.fixture
def zipped(tmp_path: Path) -> Artefact:
    """A function's zip."""
    return request(tmp_path).artefacts[0]


def test_bucket_is_closed(artefacts: Artefacts, double: AwsDouble) -> None:
    """Made twice it is the same: encrypted, public access blocked four times, tagged, TLS only."""
    artefacts.ensure()
    artefacts.ensure()
    s3 = double.api("s3")
    rule = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    blocked = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert sorted(blocked.values()) == [True] * 4
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == [{"Key": "app", "Value": PROJECT}]
    policy = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    assert '"Effect": "Deny"' in policy
    assert '"aws:SecureTransport": "false"' in policy


@pytest.mark.usefixtures("double")
def test_bucket_lies_in_the_region() -> None:
    """Outside of us-east-1 the region is named, in it it must not be."""
    aws = open_session(region="eu-west-1")
    made = Artefacts(aws, PROJECT, lambda _: None)
    made.ensure()
    assert made.name.endswith("-eu-west-1")
    assert aws.client("s3").get_bucket_location(Bucket=made.name)["LocationConstraint"] == "eu-west-1"


def test_zip_is_sent_once(artefacts: Artefacts, zipped: Artefact, said: list[str]) -> None:
    """The same content is not sent again."""
    artefacts.ensure()
    artefacts.put(zipped)
    artefacts.put(zipped)
    assert [line.split()[1] for line in said] == [zipped.key]


@pytest.mark.parametrize("damage", ["size", "digest"])
def test_damaged_zip_is_sent_again(
    artefacts: Artefacts, zipped: Artefact, double: AwsDouble, said: list[str], damage: str
) -> None:
    """An object of another size, or without its digest, is not taken for the zip."""
    artefacts.ensure()
    content = zipped.path.read_bytes()
    body, metadata = (content[:-1], {"sha256": zipped.sha256}) if damage == "size" else (content, {"sha256": "0"})
    double.api("s3").put_object(Bucket=BUCKET, Key=zipped.key, Body=body, Metadata=metadata)
    artefacts.put(zipped)
    assert len(said) == 1
    assert double.api("s3").get_object(Bucket=BUCKET, Key=zipped.key)["Body"].read() == content


def test_large_zip_goes_in_parts(artefacts: Artefacts, tmp_path: Path, double: AwsDouble) -> None:
    """Layers have tens of megabytes: a part that fails is repeated, not the whole."""
    path = tmp_path / "large.zip"
    path.write_bytes(bytes(9 * 2**20))
    artefacts.ensure()
    artefacts.put(Artefact("large", path, "0" * 64))
    found = double.api("s3").head_object(Bucket=BUCKET, Key=f"large-{'0' * 16}.zip")
    assert found["ContentLength"] == 9 * 2**20
    assert found["ETag"].endswith('-2"')


def test_every_request_names_the_owner(artefacts: Artefacts, zipped: Artefact) -> None:
    """A bucket of the name in somebody else's hands refuses each of them: none goes without ExpectedBucketOwner."""
    seen: dict[str, Any] = {}

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        seen.setdefault(model.name, []).append(params["headers"].get("x-amz-expected-bucket-owner"))

    artefacts._client.meta.events.register("before-call.s3", note)
    artefacts.ensure()
    artefacts.put(zipped)
    artefacts.put_template("{}")
    artefacts._client.meta.events.unregister("before-call.s3", note)
    assert seen.pop("CreateBucket") == [None]  # nobody owns it yet
    assert len(seen) >= 9
    assert {owner for owners in seen.values() for owner in owners} == {"123456789012"}


def test_bucket_of_somebody_else_is_refused(artefacts: Artefacts) -> None:
    """HEAD is answered by 403 without a word; what it may be is said."""
    from botocore.stub import Stubber

    with Stubber(artefacts._bucket._client) as stubber:
        stubber.add_client_error("head_bucket", "403", "Forbidden", 403)
        with pytest.raises(InputError, match=r"artifacts-<account>-us-east-1 belongs to another account, or"):
            artefacts.ensure()


def test_template_is_named_by_its_url(artefacts: Artefacts) -> None:
    """As CloudFormation reads it."""
    artefacts.ensure()
    url = artefacts.put_template('{"a": 1}')
    assert url.startswith(f"https://{BUCKET}.s3.us-east-1.amazonaws.com/template-")


def test_zip_that_is_gone_is_told(tmp_path: Path) -> None:
    """A package that was removed meanwhile is an error that names it."""
    from serverless_mlperf.platforms.aws.request import _digest

    with pytest.raises(PlatformError, match=r"gone\.zip cannot be read"):
        _digest(tmp_path / "gone.zip")

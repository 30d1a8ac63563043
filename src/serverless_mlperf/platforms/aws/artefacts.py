"""The bucket of zips, which must be there before the stack is: made once, filled only with what it lacks."""

from collections.abc import Callable, Mapping
import hashlib
import json
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from serverless_mlperf.platforms.aws.buckets import Bucket
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.request import Artefact
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.spec import TAG, artefacts_bucket

DIGEST: Final = "sha256"
"""Metadata of an object: its digest, so that it is not sent twice."""
_MIB: Final = 2**20
_DNS_SUFFIX: Final = {"aws-cn": "amazonaws.com.cn"}


class Artefacts:
    """The artefacts' bucket of one project; every request names its owner, so that nobody else's is ever used."""

    def __init__(self, aws: Aws, project: str, say: Callable[[str], None]) -> None:
        self.name = artefacts_bucket(project, aws.account, aws.region)
        self._aws = aws
        self._project = project
        self._say = say
        self._client = aws.client("s3")
        self._bucket = Bucket(aws, self.name)
        self._owned = self._bucket.owned

    def ensure(self) -> None:
        """Make the bucket if it is not there, and see to it that it is closed, encrypted, tagged and TLS only."""
        with told(f"making bucket {self._bucket.shown}"):
            if not self._bucket.is_there():
                self._client.create_bucket(Bucket=self.name, **self._location())
            self._close()

    def put(self, artefact: Artefact) -> None:
        """Upload a zip unless it is there already."""
        key, size = artefact.key, artefact.path.stat().st_size
        if not has_object(self._client, self._owned, key, size, artefact.sha256):
            self._say(f"uploading {key} ({size / _MIB:.1f} MiB)")
            put_file(self._client, self._owned, key, artefact.path, artefact.sha256)

    def put_template(self, body: str) -> str:
        """Upload a template too large for a request; the URL that CloudFormation reads it from."""
        content = body.encode()
        key = f"template-{hashlib.sha256(content).hexdigest()[:16]}.json"
        with told(f"uploading {key}"):
            self._client.put_object(**self._owned, Key=key, Body=content, ContentType="application/json")
        suffix = _DNS_SUFFIX.get(self._aws.partition, "amazonaws.com")
        return f"https://{self.name}.s3.{self._aws.region}.{suffix}/{key}"

    def _location(self) -> dict[str, Any]:
        """us-east-1 is where a bucket is made without being asked, and refuses to be named."""
        region = self._aws.region
        return {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}

    def _close(self) -> None:
        client, owned = self._client, self._owned
        # First of all, so that `destroy` knows it when this is cut off.
        client.put_bucket_tagging(**owned, Tagging={"TagSet": [{"Key": TAG, "Value": self._project}]})
        blocked = dict.fromkeys(
            ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
        )
        client.put_public_access_block(**owned, PublicAccessBlockConfiguration=blocked)
        client.put_bucket_ownership_controls(
            **owned, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        )
        encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
        client.put_bucket_encryption(**owned, ServerSideEncryptionConfiguration=encryption)
        abort = {"ID": "abort-uploads", "Status": "Enabled", "Filter": {"Prefix": ""}}
        abort["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": 1}
        client.put_bucket_lifecycle_configuration(**owned, LifecycleConfiguration={"Rules": [abort]})
        client.put_bucket_policy(**owned, Policy=json.dumps(_tls_only(self._aws.partition, self.name)))


def has_object(client: Any, owned: Mapping[str, str], key: str, size: int, sha256: str) -> bool:
    """Whether a bucket (`owned`: its name and owner) holds exactly this content under a key."""
    with told(f"looking for {key}"):
        try:
            found = client.head_object(**owned, Key=key)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
    return bool(found["ContentLength"] == size and found["Metadata"].get(DIGEST) == sha256)


def put_file(client: Any, owned: Mapping[str, str], key: str, path: Path, sha256: str) -> None:
    """Upload a file, a large one in parts; raises PlatformError."""
    extra = {"ExpectedBucketOwner": owned["ExpectedBucketOwner"], "Metadata": {DIGEST: sha256}}
    with told(f"uploading {key}"):
        client.upload_file(str(path), owned["Bucket"], key, ExtraArgs=extra)


def _tls_only(partition: str, bucket: str) -> dict[str, Any]:
    arn = f"arn:{partition}:s3:::{bucket}"
    statement = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}

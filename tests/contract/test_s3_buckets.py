"""Buckets: listings, deletion of many objects, configurations."""

from typing import Any

import pytest

from local_server import client, raw, refusal

KEYS = ["a/1", "a/2", "a/b/3", "b", "c d+e", "d/x&y", "d/ü", "e<f>", "z/"]

CORS_RULE = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}


@pytest.fixture
def filled(s3: Any, bucket: str) -> str:
    """A bucket with a few keys."""
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return bucket


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_pages_miss_nothing(s3: Any, filled: str, operation: str, size: int) -> None:
    """Pages of any size give all keys in order, with and without a delimiter."""
    pages = s3.get_paginator(operation)
    settings = {"Bucket": filled, "PaginationConfig": {"PageSize": size}}
    rows = "Versions" if operation == "list_object_versions" else "Contents"
    assert [o["Key"] for page in pages.paginate(**settings) for o in page.get(rows, [])] == KEYS
    keys, prefixes = [], []
    for page in pages.paginate(Delimiter="/", **settings):
        keys += [o["Key"] for o in page.get(rows, [])]
        prefixes += [p["Prefix"] for p in page.get("CommonPrefixes", [])]
    assert (keys, prefixes) == (["b", "c d+e", "e<f>"], ["a/", "d/", "z/"])


@pytest.mark.parametrize(
    ("given", "keys", "prefixes"),
    [
        ({"Prefix": "a/"}, ["a/1", "a/2", "a/b/3"], []),
        ({"Prefix": "a/", "Delimiter": "/"}, ["a/1", "a/2"], ["a/b/"]),
        ({"Prefix": "d/x&"}, ["d/x&y"], []),
        ({"Prefix": "c d+"}, ["c d+e"], []),
        ({"Prefix": "nothing"}, [], []),
        ({"Prefix": "z/", "Delimiter": "/"}, ["z/"], []),
        ({"Delimiter": "b/"}, ["a/1", "a/2", "b", "c d+e", "d/x&y", "d/ü", "e<f>", "z/"], ["a/b/"]),
        ({"StartAfter": "b"}, ["c d+e", "d/x&y", "d/ü", "e<f>", "z/"], []),
        ({"StartAfter": "a/2", "MaxKeys": 2}, ["a/b/3", "b"], []),
        ({"StartAfter": "zz"}, [], []),
        ({"MaxKeys": 0}, [], []),
    ],
)  # fmt: skip
def test_listing_takes_its_parameters(
    s3: Any, filled: str, given: dict[str, Any], keys: list[str], prefixes: list[str]
) -> None:
    """Prefix, delimiter, start and limit choose what is listed; the answer repeats them."""
    page = s3.list_objects_v2(Bucket=filled, **given)
    assert [o["Key"] for o in page.get("Contents", [])] == keys
    assert [p["Prefix"] for p in page.get("CommonPrefixes", [])] == prefixes
    assert page["KeyCount"] == len(keys) + len(prefixes)
    assert page["MaxKeys"] == given.get("MaxKeys", 1000)
    for name in ("Delimiter", "StartAfter"):
        assert page.get(name) == given.get(name)
    assert page["Prefix"] == given.get("Prefix", "")


def test_listing_describes_objects(s3: Any, filled: str) -> None:
    """Size, ETag, class and time are there; the owner in version 1, in version 2 on demand."""
    (row,) = s3.list_objects_v2(Bucket=filled, Prefix="b", FetchOwner=True)["Contents"]
    assert row["ETag"] == s3.head_object(Bucket=filled, Key="b")["ETag"]
    assert (row["Size"], row["StorageClass"], row["Owner"]["ID"]) == (1, "STANDARD", "000000000000")
    assert "Owner" not in s3.list_objects_v2(Bucket=filled, Prefix="b")["Contents"][0]
    assert "Owner" in s3.list_objects(Bucket=filled, Prefix="b")["Contents"][0]
    (version,) = s3.list_object_versions(Bucket=filled, Prefix="b")["Versions"]
    assert (version["VersionId"], version["IsLatest"]) == ("null", True)


def test_names_are_coded_on_demand(s3_url: str, filled: str) -> None:
    """Without encoding-type names are as they are, with `url` percent-coded; another is refused."""
    plain = raw(s3_url, "GET", f"/{filled}?list-type=2&prefix=e").body
    assert b"<Key>e&lt;f&gt;</Key>" in plain
    coded = raw(s3_url, "GET", f"/{filled}?list-type=2&prefix=d/&encoding-type=url").body
    assert b"<Key>d/x%26y</Key>" in coded
    assert b"<EncodingType>url</EncodingType>" in coded
    assert raw(s3_url, "GET", f"/{filled}?encoding-type=rot13").code == "InvalidArgument"


@pytest.mark.parametrize("query", ["max-keys=x", "max-keys=-1", "list-type=2&continuation-token=zz", "max-keys=1e3"])
def test_wrong_parameters_of_a_listing(s3_url: str, bucket: str, query: str) -> None:
    """Numbers that are none and tokens that are not ours are InvalidArgument."""
    answer = raw(s3_url, "GET", f"/{bucket}?{query}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_folders_of_many_keys_are_listed_at_once(s3: Any, bucket: str) -> None:
    """A delimiter jumps over the keys behind a prefix; keys that follow it are not lost."""
    for key in ("a/1", "a/2", "a0", "a/\U0010ffff", "b/\U0010ffff/1", "b/\U0010ffff\U0010ffff"):
        s3.put_object(Bucket=bucket, Key=key)
    rolled = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [o["Key"] for o in rolled["Contents"]] == ["a0"]
    assert [p["Prefix"] for p in rolled["CommonPrefixes"]] == ["a/", "b/"]
    odd = s3.list_objects_v2(Bucket=bucket, Prefix="b/", Delimiter="\U0010ffff")
    assert [p["Prefix"] for p in odd["CommonPrefixes"]] == ["b/\U0010ffff"]


def test_many_objects_are_deleted_at_once(s3: Any, filled: str) -> None:
    """Keys that are there and keys that are not are reported deleted; a quiet call reports errors alone."""
    keys = [{"Key": "a/1"}, {"Key": "c d+e"}, {"Key": "e<f>"}, {"Key": "absent"}]
    done = s3.delete_objects(Bucket=filled, Delete={"Objects": keys})
    assert done["Deleted"] == keys
    assert "Errors" not in done
    quiet = s3.delete_objects(Bucket=filled, Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert [o["Key"] for o in s3.list_objects_v2(Bucket=filled)["Contents"]] == ["a/2", "a/b/3", "d/x&y", "d/ü", "z/"]


def test_deletions_fail_one_by_one(s3: Any, filled: str) -> None:
    """A condition that fails and a version that cannot be there are errors of their key alone."""
    etag = s3.head_object(Bucket=filled, Key="b")["ETag"]
    objects = [
        {"Key": "a/1", "ETag": '"other"'}, {"Key": "a/2", "VersionId": "v7"}, {"Key": "b", "ETag": etag},
        {"Key": "d/ü", "VersionId": "null"},
    ]  # fmt: skip
    done = s3.delete_objects(Bucket=filled, Delete={"Objects": objects, "Quiet": True})
    assert [(e["Key"], e["Code"]) for e in done["Errors"]] == [("a/1", "PreconditionFailed"), ("a/2", "NoSuchVersion")]
    left = [o["Key"] for o in s3.list_objects_v2(Bucket=filled)["Contents"]]
    assert left == ["a/1", "a/2", "a/b/3", "c d+e", "d/x&y", "e<f>", "z/"]


def test_wrong_deletions_delete_nothing(s3: Any, s3_url: str, filled: str) -> None:
    """1,001 keys, no keys, no XML, a body without a digest, a wrong digest: refused as a whole."""
    many = [{"Key": "b"}, *({"Key": f"k{n}"} for n in range(1000))]
    assert refusal(s3.delete_objects, Bucket=filled, Delete={"Objects": many}) == (400, "MalformedXML")
    one = b"<Delete><Object><Key>b</Key></Object></Delete>"
    for body, headers, code in (
        (one, {}, "InvalidRequest"),
        (one, {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "BadDigest"),
        (b"<Delete></Delete>", {"x-amz-checksum-crc32": "SRvY9w=="}, "BadDigest"),
    ):
        answer = raw(s3_url, "POST", f"/{filled}?delete", body, headers)
        assert (answer.status, answer.code) == (400, code)
    assert refusal(s3.delete_objects, Bucket=filled, Delete={"Objects": []}) == (400, "MalformedXML")
    assert len(s3.list_objects_v2(Bucket=filled)["Contents"]) == len(KEYS)


@pytest.mark.parametrize("body", [b"", b"no xml", b"<Other/>", b'<!DOCTYPE x [<!ENTITY e "e">]><Tagging>&e;</Tagging>'])
def test_malformed_documents_are_refused(s3_url: str, bucket: str, body: bytes) -> None:
    """What is not the operation's document is MalformedXML; entities are never expanded."""
    for query in ("tagging", "lifecycle", "publicAccessBlock", "encryption", "notification"):
        answer = raw(s3_url, "PUT", f"/{bucket}?{query}", body)
        assert (answer.status, answer.code) == (400, "MalformedXML"), query


def test_new_bucket_answers_like_s3s(s3: Any, bucket: str) -> None:
    """A new bucket has S3's defaults, and S3's codes for what it does not have."""
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    head = s3.head_bucket(Bucket=bucket)
    assert (head["BucketRegion"], head["AccessPointAlias"]) == ("us-east-1", False)
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert list(block.values()) == [True] * 4
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls["Rules"][0]["ObjectOwnership"] == "BucketOwnerEnforced"
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    for call, code in (
        (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_policy_status, "NoSuchBucketPolicy"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
    ):
        assert refusal(call, Bucket=bucket) == (404, code)


def test_configurations_are_kept(s3: Any, bucket: str) -> None:
    """Tags, policy, lifecycle and access block come back as they were put, and can be deleted."""
    tags = [{"Key": "team", "Value": "ü & <x>"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    policy = '{"Version": "2012-10-17", "Statement": []}'
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 7}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [rule]
    block = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=block)
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == block
    s3.delete_bucket_tagging(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    for call, code in (
        (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration"),
    ):
        assert refusal(call, Bucket=bucket) == (404, code)
    assert refusal(s3.put_bucket_policy, Bucket=bucket, Policy="{}") == (400, "MalformedPolicy")


def test_only_the_defaults_of_encryption_and_ownership(s3: Any, bucket: str) -> None:
    """What S3 does anyway can be put; keys of one's own and ACLs are NotImplemented."""

    def encryption(algorithm: str) -> dict[str, Any]:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": algorithm}}
        return {"Bucket": bucket, "ServerSideEncryptionConfiguration": {"Rules": [rule]}}

    def ownership(value: str) -> dict[str, Any]:
        return {"Bucket": bucket, "OwnershipControls": {"Rules": [{"ObjectOwnership": value}]}}

    s3.put_bucket_encryption(**encryption("AES256"))
    s3.put_bucket_ownership_controls(**ownership("BucketOwnerEnforced"))
    assert refusal(s3.put_bucket_encryption, **encryption("aws:kms")) == (501, "NotImplemented")
    assert refusal(s3.put_bucket_ownership_controls, **ownership("ObjectWriter")) == (501, "NotImplemented")


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
        ("put_bucket_cors", {"CORSConfiguration": {"CORSRules": [CORS_RULE]}}),
        ("put_bucket_website", {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "i"}}}),
        ("put_bucket_logging", {"BucketLoggingStatus": {}}),
        ("put_bucket_accelerate_configuration", {"AccelerateConfiguration": {"Status": "Enabled"}}),
        ("put_bucket_request_payment", {"RequestPaymentConfiguration": {"Payer": "Requester"}}),
        ("list_bucket_metrics_configurations", {}),
        ("list_bucket_inventory_configurations", {}),
        ("delete_bucket_encryption", {}),
        ("get_bucket_intelligent_tiering_configuration", {"Id": "x"}),
    ],
)  # fmt: skip
def test_other_configurations_are_not_implemented(s3: Any, bucket: str, operation: str, given: dict[str, Any]) -> None:
    """What is not there says so: no success, no 500."""
    assert refusal(getattr(s3, operation), Bucket=bucket, **given) == (501, "NotImplemented")


def test_buckets_are_made_listed_and_deleted(s3: Any, bucket: str) -> None:
    """A second creation is a success; a bucket with objects stays; regions are kept."""
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k")
    assert refusal(s3.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.create_bucket(Bucket=f"{bucket}-eu", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert s3.get_bucket_location(Bucket=f"{bucket}-eu")["LocationConstraint"] == "eu-west-1"
    listed = s3.list_buckets(Prefix=bucket)["Buckets"]
    assert [(b["Name"], b["BucketRegion"]) for b in listed] == [(bucket, "us-east-1"), (f"{bucket}-eu", "eu-west-1")]
    pages = s3.get_paginator("list_buckets").paginate(Prefix=bucket, PaginationConfig={"PageSize": 1})
    assert [b["Name"] for page in pages for b in page["Buckets"]] == [bucket, f"{bucket}-eu"]
    s3.delete_object(Bucket=bucket, Key="k")
    for name in (bucket, f"{bucket}-eu"):
        s3.delete_bucket(Bucket=name)
        assert refusal(s3.head_bucket, Bucket=name) == (404, "404")
        assert refusal(s3.put_object, Bucket=name, Key="k") == (404, "NoSuchBucket")


@pytest.mark.parametrize("name", ["ab", "Upper", "under_score", "a..b", "192.168.0.1", "-lead", "trail-", "x" * 64])
def test_wrong_bucket_names_are_refused(s3_url: str, name: str) -> None:
    """Names follow S3's rules."""
    answer = raw(s3_url, "PUT", f"/{name}")
    assert (answer.status, answer.code) == (400, "InvalidBucketName")


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"x-amz-acl": "public-read"}, b"", 400, "InvalidBucketAclWithObjectOwnership"),
        ({"x-amz-object-ownership": "ObjectWriter"}, b"", 501, "NotImplemented"),
        ({"x-amz-bucket-object-lock-enabled": "true"}, b"", 501, "NotImplemented"),
        ({}, b"<CreateBucketConfiguration><LocationConstraint>mars</LocationConstraint></CreateBucketConfiguration>",
         400, "InvalidLocationConstraint"),
        ({}, b"<CreateBucketConfiguration><Bucket><Type>Directory</Type></Bucket></CreateBucketConfiguration>",
         501, "NotImplemented"),
    ],
)  # fmt: skip
def test_buckets_that_cannot_be_given(
    s3_url: str, s3: Any, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    """A bucket with another setting than can be kept is not made."""
    answer = raw(s3_url, "PUT", "/not-to-be-made", body, headers)
    assert (answer.status, answer.code) == (status, code)
    assert refusal(s3.head_bucket, Bucket="not-to-be-made") == (404, "404")


def test_bucket_can_be_named_by_host(s3_url: str, s3: Any, bucket: str) -> None:
    """`<bucket>.localhost` addresses the bucket; keys that look like another service's path are keys."""
    port = s3_url.rpartition(":")[2]
    for key in ("k", "_platform/status", "2015-03-31/functions/"):
        raw(s3_url, "PUT", f"/{key}", b"1", {"Host": f"{bucket}.localhost:{port}"})
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
            assert body.read() == b"1"


def test_bucket_named_like_a_version_is_s3s(s3_url: str) -> None:
    """A signed request says which service it is for, also where Lambda's paths would match."""
    made = client("s3", s3_url)
    made.create_bucket(Bucket="2015-03-31")
    made.put_object(Bucket="2015-03-31", Key="functions/x", Body=b"1")
    assert made.list_objects_v2(Bucket="2015-03-31")["KeyCount"] == 1
    made.close()

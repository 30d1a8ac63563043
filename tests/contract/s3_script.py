"""One script of boto3 calls and `aws` commands, to be run against several servers that claim to be S3."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from parity_script import Notes, Told

from local_server import raw

BODY = b"0123456789" * 10
PART = b"p" * (5 << 20)
KEYS = ("a/1", "a/2", "a/b/3", "b", "c d+e", "ü/x&y")


@dataclass
class Script:
    """Runs the calls on one bucket."""

    s3: Any
    bucket: str
    """Each part has a bucket of its own: what one server did differently does not follow into the next part."""
    notes: Notes

    def note(self, name: str, operation: str, *fields: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation on the bucket and note what it tells; the whole answer."""
        return self.notes.call(self.s3, name, operation, *fields, **{"Bucket": self.bucket, **parameters})


def objects(script: Script) -> None:
    """Put, get, head, conditions, ranges."""
    note, at_k = script.note, {"Key": "k"}
    system = {"ContentType": "text/plain", "CacheControl": "no-cache", "ContentLanguage": "de"}
    put = note("put", "put_object", "ETag", **at_k, Body=BODY, Metadata={"a": "1"}, Tagging="t=1", **system)
    described = ("Body", "ETag", "ContentLength", "Metadata", *system)
    note("get", "get_object", *described, "AcceptRanges", **at_k)
    note("head", "head_object", *described[1:], **at_k)
    note("get absent", "get_object", Key="absent")
    note("head absent", "head_object", Key="absent")
    note("get of no bucket", "get_object", Bucket="no-such-bucket", Key="k")
    for wanted in ("bytes=2-4", "bytes=95-", "bytes=-3", "bytes=90-500", "bytes=-500", "bytes=100-", "bytes=5-2",
                   "bytes=0-1,5-6", "bytes=x-y"):  # fmt: skip
        note(f"range {wanted}", "get_object", "Body", "ContentRange", "ContentLength", **at_k, Range=wanted)
    note("part 1 of a whole", "get_object", "Body", "PartsCount", **at_k, PartNumber=1)
    note("override", "get_object", "ContentType", **at_k, ResponseContentType="x/y")
    etag, past, future = put["ETag"], datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    for condition, value in (
        ("IfMatch", etag), ("IfMatch", '"other"'), ("IfNoneMatch", etag), ("IfNoneMatch", '"other"'),
        ("IfModifiedSince", past), ("IfUnmodifiedSince", past), ("IfUnmodifiedSince", future),
    ):  # fmt: skip
        name = f"{condition} {value if isinstance(value, str) else 'past' if value == past else 'future'}"
        note(f"get {name.replace(etag, 'same')}", "get_object", "Body", **at_k, **{condition: value})
    note("put if none, present", "put_object", **at_k, IfNoneMatch="*")
    note("put if none, absent", "put_object", Key="new", IfNoneMatch="*", Body=b"n")
    note("put if match, other", "put_object", **at_k, IfMatch='"other"')
    note("put if match, same", "put_object", "ETag", **at_k, IfMatch=etag, Body=BODY, Metadata={"a": "1"})
    note("put if match, absent", "put_object", Key="absent", IfMatch=etag)
    note("delete if match, other", "delete_object", **at_k, IfMatch='"other"')
    note("delete absent", "delete_object", Key="absent")
    note("key of 1024", "put_object", Key="k" * 1024)
    note("key of 1025", "put_object", Key="k" * 1025)
    note("metadata of 2 KB", "put_object", Key="meta", Metadata={"m": "v" * 2000})
    note("metadata of 4 KB", "put_object", Key="meta", Metadata={"m": "v" * 4000})
    for key in ("s p", "p+q", "100%", "d//e", "/lead", "../up", "日本", "t\tn\n"):
        note(f"odd put {key}", "put_object", Key=key, Body=key.encode())
        note(f"odd get {key}", "get_object", "Body", Key=key)
        note(f"odd delete {key}", "delete_object", Key=key)


def checksums(script: Script) -> None:
    """Digests that boto3 sends, right and wrong."""
    note = script.note
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        member = f"Checksum{algorithm}"
        note(f"put {algorithm}", "put_object", member, Key="sum", Body=BODY, ChecksumAlgorithm=algorithm)
        note(f"head {algorithm}", "head_object", member, Key="sum", ChecksumMode="ENABLED")
    note("head without mode", "head_object", "ChecksumSHA256", Key="sum")
    note("wrong CRC32", "put_object", Key="bad", Body=BODY, ChecksumCRC32="AAAAAA==")
    note("wrong MD5", "put_object", Key="bad", Body=BODY, ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    note("no MD5", "put_object", Key="bad", Body=BODY, ContentMD5="AAAA")
    wanted = ["ETag", "Checksum", "ObjectSize", "StorageClass"]
    fields = ("ETag", "ObjectSize", "StorageClass", "Checksum.ChecksumSHA256")
    note("attributes", "get_object_attributes", *fields, Key="sum", ObjectAttributes=wanted)


def tags(script: Script) -> None:
    """Tags of objects."""
    note, at_k = script.note, {"Key": "k"}
    script.s3.put_object(Bucket=script.bucket, **at_k)
    note("tag", "put_object_tagging", **at_k, Tagging={"TagSet": [{"Key": "a", "Value": "x y"}]})
    note("tags", "get_object_tagging", "TagSet", **at_k)
    note("tags counted", "head_object", "TagCount", **at_k)
    note("tag absent", "put_object_tagging", Key="absent", Tagging={"TagSet": []})
    eleven = [{"Key": str(n), "Value": ""} for n in range(11)]
    note("tag eleven", "put_object_tagging", **at_k, Tagging={"TagSet": eleven})
    note("untag", "delete_object_tagging", **at_k)
    note("no tags", "get_object_tagging", "TagSet", **at_k)


def copies(script: Script) -> None:
    """Copies of objects."""
    note, source = script.note, {"Bucket": script.bucket, "Key": "k"}
    result = ("CopyObjectResult.ETag",)
    etag = script.s3.put_object(**source, Body=BODY, Metadata={"a": "1"})["ETag"]
    note("copy", "copy_object", *result, Key="copy", CopySource=source)
    note("copied", "get_object", "Body", "Metadata", Key="copy")
    replace = {"MetadataDirective": "REPLACE", "Metadata": {"b": "2"}}
    note("copy and replace", "copy_object", *result, Key="copy", CopySource=source, **replace)
    note("replaced", "head_object", "Metadata", "ContentType", Key="copy")
    note("copy absent", "copy_object", Key="copy", CopySource={"Bucket": script.bucket, "Key": "absent"})
    note("copy from no bucket", "copy_object", Key="copy", CopySource={"Bucket": "no-such-bucket", "Key": "k"})
    note("copy onto itself", "copy_object", Key="k", CopySource=source)
    note("copy onto itself, changed", "copy_object", Key="k", CopySource=source, **replace)
    note("copy if match", "copy_object", Key="copy", CopySource=source, CopySourceIfMatch=etag)
    note("copy if match, other", "copy_object", Key="copy", CopySource=source, CopySourceIfMatch='"other"')
    note("copy if none match", "copy_object", Key="copy", CopySource=source, CopySourceIfNoneMatch=etag)
    note("copy if none there", "copy_object", Key="copy", CopySource=source, IfNoneMatch="*")


def multipart(script: Script) -> None:
    """A multipart upload with everything that can go wrong with it."""
    note = script.note
    begun = note("begin", "create_multipart_upload", "Key", Key="big", Metadata={"a": "1"})
    upload = {"Key": "big", "UploadId": begun["UploadId"]}
    first = note("part 1", "upload_part", "ETag", **upload, PartNumber=1, Body=PART)["ETag"]
    small = note("part 2", "upload_part", "ETag", **upload, PartNumber=2, Body=b"small")["ETag"]
    last = note("part 3", "upload_part", "ETag", **upload, PartNumber=3, Body=b"end")["ETag"]
    source = {"Bucket": script.bucket, "Key": "k"}
    script.s3.put_object(**source, Body=BODY)
    result = "CopyPartResult.ETag"
    note("part 4", "upload_part_copy", result, **upload, PartNumber=4, CopySource=source, CopySourceRange="bytes=0-9")
    note(
        "part of absent",
        "upload_part_copy",
        **upload,
        PartNumber=5,
        CopySource={"Bucket": script.bucket, "Key": "absent"},
    )
    note("part 0", "upload_part", **upload, PartNumber=0, Body=b"")
    note("part 10001", "upload_part", **upload, PartNumber=10_001, Body=b"")
    note("part of no upload", "upload_part", Key="big", UploadId="nothing", PartNumber=1, Body=b"")
    note("parts", "list_parts", "Parts.PartNumber", "Parts.Size", "Parts.ETag", "IsTruncated", **upload)
    note("two parts", "list_parts", "Parts.PartNumber", "IsTruncated", "NextPartNumberMarker", **upload, MaxParts=2)
    note("uploads", "list_multipart_uploads", "Uploads.Key", "IsTruncated")

    def complete(name: str, *rows: tuple[int, str], **given: Any) -> None:
        parts = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in rows]}
        note(name, "complete_multipart_upload", "ETag", "Key", **upload, MultipartUpload=parts, **given)

    complete("complete, order", (3, last), (1, first))
    complete("complete, ETag", (1, last))
    complete("complete, missing", (1, first), (9, last))
    complete("complete, small", (1, first), (2, small), (3, last))
    complete("complete, nothing")
    complete("complete", (1, first), (3, last))
    complete("complete again", (1, first), (3, last))
    note("big", "head_object", "ETag", "ContentLength", "Metadata", Key="big")
    note("big, part 3", "get_object", "Body", "PartsCount", "ContentRange", Key="big", PartNumber=3)
    begun = script.s3.create_multipart_upload(Bucket=script.bucket, Key="big")
    gone = {"Key": "big", "UploadId": begun["UploadId"]}
    note("abort", "abort_multipart_upload", **gone)
    note("abort again", "abort_multipart_upload", **gone)
    note("no uploads", "list_multipart_uploads", "Uploads")


def listings(script: Script) -> None:
    """Listings of both versions, and deletion of many."""
    note = script.note
    for key in KEYS:
        script.s3.put_object(Bucket=script.bucket, Key=key, Body=b"x")
    listed = ("Contents.Key", "CommonPrefixes.Prefix", "IsTruncated", "Prefix", "Delimiter", "MaxKeys")
    for name, given in (
        ("all", {}), ("by folder", {"Delimiter": "/"}), ("below", {"Prefix": "a/", "Delimiter": "/"}),
        ("odd prefix", {"Prefix": "c d+"}), ("three", {"MaxKeys": 3}), ("none", {"MaxKeys": 0}),
        ("absent", {"Prefix": "zzz"}), ("one folder", {"Delimiter": "/", "MaxKeys": 1}),
    ):  # fmt: skip
        note(f"list 1 {name}", "list_objects", *listed, "Marker", "NextMarker", **given)
        note(f"list 2 {name}", "list_objects_v2", *listed, "KeyCount", **given)
    note("list 1 from", "list_objects", *listed, Marker="a/2")
    note("list 1 from a folder", "list_objects", *listed, Marker="a/1", Delimiter="/")
    note("list 2 from", "list_objects_v2", *listed, "StartAfter", StartAfter="a/2")
    note("list 2 from a folder", "list_objects_v2", *listed, "StartAfter", StartAfter="a/1", Delimiter="/")
    note("list 2 rows", "list_objects_v2", "Contents.Size", "Contents.ETag", "Contents.StorageClass")
    note("list of no bucket", "list_objects_v2", Bucket="no-such-bucket")
    note("versions", "list_object_versions", "Versions.Key", "Versions.VersionId", "Versions.IsLatest")
    pages = script.s3.get_paginator("list_objects_v2").paginate(Bucket=script.bucket, PaginationConfig={"PageSize": 2})
    script.notes.told["pages"] = [[row["Key"] for row in page["Contents"]] for page in pages]
    many = [{"Key": "a/1"}, {"Key": "c d+e"}, {"Key": "absent"}]
    note("delete many", "delete_objects", "Deleted.Key", "Errors", Delete={"Objects": many})
    note("delete quietly", "delete_objects", "Deleted", Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    note("delete 1001", "delete_objects", Delete={"Objects": [{"Key": f"n{n}"} for n in range(1001)]})
    note("left", "list_objects_v2", "Contents.Key")


def buckets(script: Script) -> None:
    """What tools ask a bucket."""
    note = script.note
    script.s3.put_object(Bucket=script.bucket, Key="k")
    note("head bucket", "head_bucket", "BucketRegion")
    note("head no bucket", "head_bucket", Bucket="no-such-bucket")
    note("create again", "create_bucket")
    note("create, bad name", "create_bucket", Bucket="no")
    note("delete full bucket", "delete_bucket")
    note("location", "get_bucket_location", "LocationConstraint")
    note("versioning", "get_bucket_versioning", "Status")
    note("acl", "get_bucket_acl", "Grants.Permission")
    note(
        "encryption",
        "get_bucket_encryption",
        "ServerSideEncryptionConfiguration.Rules.ApplyServerSideEncryptionByDefault",
    )
    for name in (
        "tagging",
        "policy",
        "lifecycle_configuration",
        "cors",
        "website",
        "replication",
        "ownership_controls",
    ):
        note(f"new bucket's {name}", f"get_bucket_{name}")
    note("new bucket's access block", "get_public_access_block")
    note("new bucket's object lock", "get_object_lock_configuration")
    note("tag bucket", "put_bucket_tagging", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    note("bucket's tags", "get_bucket_tagging", "TagSet")
    note("untag bucket", "delete_bucket_tagging")
    note("put policy", "put_bucket_policy", Policy='{"Version": "2012-10-17", "Statement": []}')
    note("get policy", "get_bucket_policy", "Policy")
    note("delete policy", "delete_bucket_policy")
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 7}}
    note("put lifecycle", "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [rule]})
    note("get lifecycle", "get_bucket_lifecycle_configuration", "Rules")
    note("delete lifecycle", "delete_bucket_lifecycle")
    note("put public acl", "put_object", Key="public", ACL="public-read")


def urls(script: Script) -> None:
    """Presigned URLs, without a client."""
    sign: Callable[..., str] = script.s3.generate_presigned_url
    for operation, method in (("put_object", "PUT"), ("get_object", "GET"), ("head_object", "HEAD")):
        url = sign(operation, Params={"Bucket": script.bucket, "Key": "by url"}, ExpiresIn=60)
        answer = raw(script.notes.url, method, "/" + url.split("/", 3)[3], b"signed" if method == "PUT" else b"")
        script.notes.told[f"url {method}"] = (answer.status, answer.body)
    url = sign("get_object", Params={"Bucket": script.bucket, "Key": "by url"}, ExpiresIn=-5)
    answer = raw(script.notes.url, "GET", "/" + url.split("/", 3)[3])
    script.notes.told["url expired"] = (answer.status, answer.code)


def commands(script: Script) -> None:
    """The `aws` command."""
    (script.notes.cwd / "tree").mkdir()
    for name in ("one", "two words"):
        (script.notes.cwd / "tree" / name).write_text(name)
    script.notes.shell("aws sync", "s3", "sync", "tree", f"s3://{script.bucket}/tree", "--no-progress")
    script.notes.shell("aws cp", "s3", "cp", f"s3://{script.bucket}/tree/two words", "-")
    script.notes.shell("aws absent", "s3", "cp", f"s3://{script.bucket}/tree/absent", "-")
    script.notes.shell("aws rm", "s3", "rm", f"s3://{script.bucket}/tree", "--recursive")


def run(s3: Any, url: str, cwd: Path) -> Told:
    """The whole script on one server; what each call told, by name."""
    notes = Notes(url, cwd)
    for part in (objects, checksums, tags, copies, multipart, listings, buckets, urls, commands):
        bucket = f"parity-{part.__name__}"
        s3.create_bucket(Bucket=bucket)
        part(Script(s3, bucket, notes))
    return notes.told

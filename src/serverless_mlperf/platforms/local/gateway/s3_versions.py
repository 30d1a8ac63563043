"""Version ids in buckets without versioning: an object is its only version, `null`."""

from typing import Final

from serverless_mlperf.platforms.local.gateway.s3_errors import invalid_argument

NULL_VERSION: Final = "null"


def check_version(query: dict[str, str]) -> None:
    """ApiError for a version that cannot be there."""
    version = query.get("versionId", NULL_VERSION)
    if version != NULL_VERSION:
        raise invalid_argument("Invalid version id specified", "versionId", version)

"""S3's refusals that several operations share, in S3's words (AmazonS3/latest/API/ErrorResponses)."""

from serverless_mlperf.platforms.local.gateway.errors import ApiError


def no_such_bucket(name: str) -> ApiError:
    """The bucket is not there."""
    return ApiError(404, "NoSuchBucket", "The specified bucket does not exist", {"BucketName": name})


def no_such_key(key: str) -> ApiError:
    """The object is not there."""
    return ApiError(404, "NoSuchKey", "The specified key does not exist.", {"Key": key})


def no_such_upload(upload_id: str) -> ApiError:
    """The multipart upload is not there: completed, aborted, or never begun for this key."""
    return ApiError(
        404,
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
        {"UploadId": upload_id},
    )


def invalid_argument(message: str, name: str, value: object) -> ApiError:
    """A parameter has a value that S3 does not take."""
    return ApiError(400, "InvalidArgument", message, {"ArgumentName": name, "ArgumentValue": value})


def invalid_request(message: str) -> ApiError:
    """The request contradicts itself or what it is about."""
    return ApiError(400, "InvalidRequest", message)


def malformed_xml() -> ApiError:
    """The document is not the operation's."""
    return ApiError(
        400,
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )


def precondition_failed(condition: str) -> ApiError:
    """A condition of the request does not hold."""
    return ApiError(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        {"Condition": condition},
    )


def header_not_implemented(name: str) -> ApiError:
    """A header asks for what is not there; ignoring it would be a silent success."""
    return ApiError(
        501,
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        {"Header": name},
    )


def whole_number(values: dict[str, str], name: str, default: int, limit: int) -> int:
    """A parameter that is a count, cut to its limit; ApiError InvalidArgument when it is none."""
    given = values.get(name, "") or str(default)
    if not (given.isascii() and given.isdecimal()) or len(given) > 10:
        raise invalid_argument(f"Provided {name} not an integer or within integer range", name, given)
    return min(int(given), limit)

"""What SQS refuses, in its words and with the codes that SDKs of either protocol know."""

import json
from typing import Final

from serverless_mlperf.platforms.local.gateway.errors import ApiError
from serverless_mlperf.platforms.local.gateway.http import Response

JSON: Final = {"content-type": "application/x-amz-json-1.0"}
_QUERY_CODES: Final = {
    "QueueDoesNotExist": "AWS.SimpleQueueService.NonExistentQueue",
    "QueueNameExists": "QueueAlreadyExists",
    **{
        code: f"AWS.SimpleQueueService.{code}"
        for code in (
            "BatchEntryIdsNotDistinct", "BatchRequestTooLong", "EmptyBatchRequest", "InvalidBatchEntryId",
            "MessageNotInflight", "PurgeQueueInProgress", "TooManyEntriesInBatchRequest", "UnsupportedOperation",
        )
    },
}  # fmt: skip
"""Codes of the query protocol, which SDKs show to their callers (AWS, awsQueryCompatible; API_* pages of SQS)."""


def error_response(error: ApiError) -> Response:
    """An error as SDKs of either protocol understand it."""
    body = json.dumps({"__type": f"com.amazonaws.sqs#{error.code}", "message": error.message}).encode()
    return Response(error.status, body, {**JSON, "x-amzn-query-error": f"{query_code(error.code)};Sender"})


def query_code(code: str) -> str:
    """The code in the query protocol."""
    return _QUERY_CODES.get(code, code)


def refused(code: str, message: str) -> ApiError:
    """An error of the caller's."""
    return ApiError(400, code, message)


def invalid_parameter(name: str, value: object, reason: str) -> ApiError:
    """InvalidParameterValue as SQS words it."""
    return refused("InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {reason}.")

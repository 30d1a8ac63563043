"""A thin client of the local server's control APIs: AWS's REST and JSON shapes over one keep-alive connection."""

from collections.abc import Mapping
import http.client
import json
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
import xml.sax.saxutils as xml

from serverless_mlperf.errors import PlatformError

LAMBDA_FUNCTIONS = "/2015-03-31/functions"


class ControlClient:
    """Blocking, not thread-safe, a context manager; every refusal is a PlatformError."""

    def __init__(self, endpoint_url: str, timeout_s: float = 120) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(endpoint_url).netloc, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """Send one request and return the body of a 2xx answer."""
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise PlatformError(
                f"local platform: {method} {path}: no answer ({error!r}); is the server alive?"
            ) from error
        if answer.status >= 300:
            raise PlatformError(
                f"local platform: {method} {path}: {answer.status} {data[:300].decode(errors='replace')}"
            )
        return data

    def json(self, method: str, path: str, value: Any = None) -> Any:
        """The same with JSON both ways (the Lambda API)."""
        data = self.request(method, path, b"" if value is None else json.dumps(value).encode())
        return json.loads(data) if data else None

    def sqs(self, action: str, value: Mapping[str, Any]) -> Any:
        """One call of the SQS JSON protocol."""
        headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
        data = self.request("POST", "/", json.dumps(value).encode(), headers)
        return json.loads(data) if data else None


def queue_policy(queue_arn: str, bucket: str) -> str:
    """A queue's policy that lets S3 tell it of a bucket's events."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def invoke_permission(bucket: str) -> dict[str, str]:
    """What AddPermission needs so that S3 may invoke a function for a bucket's events."""
    return {
        "StatementId": "s3",
        "Action": "lambda:InvokeFunction",
        "Principal": "s3.amazonaws.com",
        "SourceArn": f"arn:aws:s3:::{bucket}",
    }


def notification_xml(function_arn: str, input_prefix: str, queue_arn: str, output_prefix: str) -> bytes:
    """S3 notification configuration: `*.json` below the input prefix calls the function, outputs tell the queue."""
    function = _configuration("CloudFunction", "Cloud", function_arn, {"prefix": input_prefix, "suffix": ".json"})
    queue = _configuration("Queue", "Queue", queue_arn, {"prefix": output_prefix})
    return f"<NotificationConfiguration>{function}{queue}</NotificationConfiguration>".encode()


def _configuration(target: str, tag: str, arn: str, rules: Mapping[str, str]) -> str:
    filters = "".join(
        f"<FilterRule><Name>{name}</Name><Value>{xml.escape(value)}</Value></FilterRule>"
        for name, value in rules.items()
    )
    return (
        f"<{target}Configuration><Id>{tag}</Id><{target}>{xml.escape(arn)}</{target}><Event>s3:ObjectCreated:*</Event>"
        f"<Filter><S3Key>{filters}</S3Key></Filter></{target}Configuration>"
    )

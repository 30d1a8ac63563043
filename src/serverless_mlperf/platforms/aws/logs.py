"""REPORT lines from CloudWatch Logs: what Lambda says of invocations whose callers it does not answer."""

from collections.abc import Collection, Iterator
from typing import Any, Final

from botocore.exceptions import ClientError

from serverless_mlperf.lambda_log import parse_report
from serverless_mlperf.platforms.aws.failures import is_missing, told
from serverless_mlperf.platforms.aws.session import Aws
from serverless_mlperf.platforms.aws.waiting import Patience
from serverless_mlperf.platforms.base import Report

PATTERN: Final = '"REPORT RequestId"'
SKEW_MS: Final = 60_000
"""Lambda's clock may be so far behind the client's."""


class Logs:
    """Reads log groups; blocking."""

    def __init__(self, aws: Aws, patience: Patience) -> None:
        self._client = aws.client("logs")
        self._patience = patience

    def reports(self, group: str, version: str, since_ms: int, expected: Collection[str]) -> list[Report]:
        """Reports of one version of a function, the oldest first, once those expected are there or the time is over.

        The invocation is known by its request id, and the version by the stream, whose name holds it in brackets
        (AWS: lambda/latest/dg/monitoring-cloudwatchlogs). An invocation that was tried again has one per try: the last.
        """
        found: dict[str, Report] = {}
        wanted = frozenset(expected)

        def look() -> bool | None:
            found.update((report.request_id, report) for report in self._read(group, version, since_ms))
            return True if wanted <= found.keys() else None

        with told(f"reading log group {group}"):
            self._patience.until(look, self._patience.log_s if wanted else 0)
        return list(found.values())

    def _read(self, group: str, version: str, since_ms: int) -> Iterator[Report]:
        events = sorted(self._events(group, since_ms), key=lambda event: int(event["timestamp"]))
        for event in events:
            if f"[{version}]" in event["logStreamName"] and (report := parse_report(event["message"])) is not None:
                yield report

    def _events(self, group: str, since_ms: int) -> Iterator[Any]:
        pages = self._client.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=max(0, since_ms - SKEW_MS), filterPattern=PATTERN
        )
        try:
            for page in pages:
                yield from page["events"]
        except ClientError as error:
            if not is_missing(error):  # no group: nothing was logged yet
                raise

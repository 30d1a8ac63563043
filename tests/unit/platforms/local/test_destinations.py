"""Records of asynchronous invocations and dead letters, in AWS's words."""

import json
from pathlib import Path

from serverless_mlperf.platforms.local.destinations import (
    Ending,
    dead_letter_attributes,
    invocation_record,
    record_key,
)
from serverless_mlperf.platforms.local.job import Outcome
from serverless_mlperf.platforms.local.model import FunctionSpec

ARN = "arn:aws:lambda:us-east-2:123456789012:function:my-function"
FAILED = Outcome(b'{"errorMessage": "no good", "errorType": "ValueError"}', "error", "ValueError")
AT_NS = 1_573_755_365_568_000_000


def spec() -> FunctionSpec:
    """Any function."""
    return FunctionSpec("my-function", ARN, "a.b", "python3.11", 128, 3, "1", Path("x"), "0")


def test_record_of_a_failure_is_awss() -> None:
    """The documents' example: condition, count, contexts, both payloads; the ARN names the version."""
    ending = Ending("RetriesExhausted", 3, FAILED)
    record = json.loads(invocation_record(spec(), ARN, "e4b46cbf", b'{"ORDER_IDS": [1]}', ending, AT_NS))
    assert record == {
        "version": "1.0",
        "timestamp": "2019-11-14T18:16:05.568Z",
        "requestContext": {
            "requestId": "e4b46cbf",
            "functionArn": f"{ARN}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"ORDER_IDS": [1]},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "no good", "errorType": "ValueError"},
    }


def test_record_of_a_success_has_no_error() -> None:
    """Condition Success, and the handler's answer; one that is no JSON is told as text."""
    record = json.loads(invocation_record(spec(), f"{ARN}:live", "1", b"{}", Ending("Success", 1, Outcome(b"x")), 0))
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["functionArn"] == f"{ARN}:live"
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST"}
    assert record["responsePayload"] == "x"


def test_record_of_what_never_ran_has_no_response() -> None:
    """An event that was too old, or whose function is switched off, got no response."""
    record = json.loads(invocation_record(spec(), "", "1", b"{}", Ending("EventAgeExceeded", 0, None), 0))
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert not {"responseContext", "responsePayload"} & record.keys()


def test_dead_letters_say_why() -> None:
    """RequestID, ErrorCode and the first kilobyte of the error's message; 429 for what never ran."""
    assert dead_letter_attributes("1", Ending("RetriesExhausted", 3, FAILED)) == {
        "RequestID": ("String", "1"), "ErrorCode": ("Number", "200"), "ErrorMessage": ("String", "no good"),
    }  # fmt: skip
    long = Outcome(json.dumps({"errorMessage": "ä" * 2000}).encode(), "error")
    message = dead_letter_attributes("1", Ending("RetriesExhausted", 1, long))["ErrorMessage"][1]
    assert len(message.encode()) <= 1024
    assert dead_letter_attributes("1", Ending("EventAgeExceeded", 0, None))["ErrorCode"] == ("Number", "429")


def test_key_in_a_bucket_is_awss() -> None:
    """aws/lambda/async/<function>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<unique>."""
    assert record_key("f", AT_NS, "u") == "aws/lambda/async/f/2019/11/14/2019-11-14T18.16.05-u"

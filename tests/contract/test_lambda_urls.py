"""Function URLs as HTTP clients see them: hosts, events, answers, permissions, CORS."""

from collections.abc import Iterator, Mapping
import json
from typing import Any
from urllib.parse import urlsplit

from lambda_deployment import deploy, zipped
import pytest

from local_server import Answer, client, raw, refusal

SOURCE = """
import json
def handler(event, context):
    body = event.get("body")
    if event["rawPath"] == "/as-told":
        return json.loads(body)
    if event["rawPath"] == "/fail":
        raise ValueError("no good")
    return event
"""
CORS = {
    "AllowOrigins": ["http://app.localhost"],
    "AllowMethods": ["GET", "POST"],
    "AllowHeaders": ["x-a"],
    "MaxAge": 60,
}
SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=AKIDME/20250101/us-east-1/lambda/aws4_request, Signature=0"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def functions(s3_url: str) -> Iterator[Any]:
    """A Lambda client and the function `web`."""
    made = client("lambda", s3_url)
    deploy(made, "web", zipped(SOURCE))
    yield made
    made.delete_function(FunctionName="web")
    made.close()


@pytest.fixture(scope="module")
def host(functions: Any) -> str:
    """The host of a URL that anyone may call."""
    made = functions.create_function_url_config(FunctionName="web", AuthType="NONE", Cors=CORS)
    common = {"FunctionName": "web", "Principal": "*"}
    functions.add_permission(StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE", **common)
    functions.add_permission(StatementId="invoke", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True, **common)
    return str(urlsplit(made["FunctionUrl"]).netloc)


def call(
    url: str,
    host: str,
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request to a function's host."""
    return raw(url, method, path, body, {"host": host, **(headers or {})})


def told(url: str, host: str, answer: Any) -> Answer:
    """What a client sees of an answer of the function's."""
    return call(url, host, "POST", "/as-told", json.dumps(answer).encode(), JSON)


def test_event_is_of_format_two(s3_url: str, host: str) -> None:
    """Path, query, headers, cookies and body reach the function as payload format 2.0."""
    headers = {"cookie": "a=1; b=2", "x-mine": "v", **JSON}
    event = json.loads(call(s3_url, host, "POST", "/p%20q?k=1&k=2&e=", b'{"x": 1}', headers).body)
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/p%20q", "k=1&k=2&e=")
    assert event["queryStringParameters"] == {"k": "1,2", "e": ""}
    assert (event["cookies"], event["headers"]["x-mine"]) == (["a=1", "b=2"], "v")
    assert (event["body"], event["isBase64Encoded"]) == ('{"x": 1}', False)
    assert event["requestContext"]["http"]["method"] == "POST"
    assert event["requestContext"]["domainName"] == host.partition(":")[0]
    binary = json.loads(call(s3_url, host, "POST", "/", b"\xff", {"content-type": "image/png"}).body)
    assert (binary["body"], binary["isBase64Encoded"]) == ("/w==", True)
    assert "body" not in json.loads(call(s3_url, host).body)


def test_answer_has_status_headers_and_cookies(s3_url: str, host: str) -> None:
    """A statusCode makes the rest an HTTP answer; a value without one is told as JSON."""
    custom = {
        "statusCode": 201,
        "headers": {"X-Mine": "v", "Content-Type": "text/plain"},
        "body": "hi",
        "cookies": ["a=1"],
    }
    answer = told(s3_url, host, custom)
    assert (answer.status, answer.body, answer.headers["x-mine"]) == (201, b"hi", "v")
    assert (answer.headers["content-type"], answer.headers["set-cookie"]) == ("text/plain", "a=1")
    assert told(s3_url, host, {"statusCode": 200, "body": "/w==", "isBase64Encoded": True}).body == b"\xff"
    plain = told(s3_url, host, {"message": "x"})
    assert (plain.status, json.loads(plain.body)) == (200, {"message": "x"})
    assert told(s3_url, host, "text").body == b'"text"'


@pytest.mark.parametrize(
    "answer",
    [{"statusCode": "many"}, {"statusCode": 99}, {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
     {"statusCode": 200, "headers": {"a b": "c"}}, {"statusCode": 200, "body": "?", "isBase64Encoded": True},
     {"statusCode": 200, "cookies": "a=1"}],
)  # fmt: skip
def test_what_is_no_answer_is_a_502(s3_url: str, host: str, answer: Any) -> None:
    """So is an error of the function; nothing of it reaches the client."""
    seen = told(s3_url, host, answer)
    assert (seen.status, seen.body) == (502, b"Internal Server Error")


def test_error_of_the_function_is_a_502(s3_url: str, host: str) -> None:
    """Its message stays inside."""
    assert call(s3_url, host, path="/fail").body == b"Internal Server Error"


def test_cors_is_the_configurations(s3_url: str, host: str) -> None:
    """A preflight is answered without the function; an allowed origin may read answers, another may not."""
    origin = {"origin": "http://app.localhost"}
    before = call(s3_url, host, "OPTIONS", "/fail", headers={**origin, "access-control-request-method": "POST"})
    assert (before.status, before.headers["access-control-allow-methods"]) == (200, "GET,POST")
    assert before.headers["access-control-max-age"] == "60"
    assert call(s3_url, host, headers=origin).headers["access-control-allow-origin"] == origin["origin"]
    other = call(s3_url, host, headers={"origin": "http://other.localhost"})
    assert "access-control-allow-origin" not in other.headers


def test_url_needs_permission_or_signature(functions: Any, s3_url: str, host: str) -> None:
    """403 for a host that is nobody's, without either permission, and unsigned where the caller must be known."""
    assert call(s3_url, f"nobody.{host.partition('.')[2]}").status == 403
    functions.remove_permission(FunctionName="web", StatementId="invoke")
    assert call(s3_url, host).status == 403
    functions.add_permission(
        FunctionName="web",
        StatementId="invoke",
        Principal="*",
        Action="lambda:InvokeFunction",
        InvokedViaFunctionUrl=True,
    )
    assert call(s3_url, host).status == 200
    functions.update_function_url_config(FunctionName="web", AuthType="AWS_IAM")
    assert call(s3_url, host).status == 403
    event = json.loads(call(s3_url, host, headers=SIGNED).body)
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == "AKIDME"
    changed = functions.update_function_url_config(FunctionName="web", AuthType="NONE")
    assert changed["Cors"] == CORS


def test_urls_are_listed_and_go_with_their_alias(functions: Any, host: str) -> None:
    """An alias has a URL of its own; a version has none; streaming is not there."""
    number = functions.publish_version(FunctionName="web")["Version"]
    functions.create_alias(FunctionName="web", Name="live", FunctionVersion=number)
    create = functions.create_function_url_config
    assert refusal(create, FunctionName="web", AuthType="NONE") == (409, "ResourceConflictException")
    assert refusal(create, FunctionName="web", Qualifier=number, AuthType="NONE") == (400, "ValidationException")
    streaming = {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"}
    assert refusal(create, FunctionName="web", Qualifier="live", **streaming) == (501, "NotImplemented")
    create(FunctionName="web", Qualifier="live", AuthType="NONE")
    listed = functions.list_function_url_configs(FunctionName="web")["FunctionUrlConfigs"]
    assert len(listed) == 2
    assert listed[0]["FunctionUrl"] == f"http://{host}/"
    functions.delete_alias(FunctionName="web", Name="live")
    assert len(functions.list_function_url_configs(FunctionName="web")["FunctionUrlConfigs"]) == 1
    gone = refusal(functions.get_function_url_config, FunctionName="web", Qualifier="live")
    assert gone == (404, "ResourceNotFoundException")

"""Each failure gets one clear line, whatever botocore raises."""

import re

from boto3.exceptions import S3UploadFailedError
from botocore import exceptions as vendor
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
import pytest

from serverless_mlperf.errors import BenchmarkError, HostError, InputError, PlatformError
from serverless_mlperf.platforms.aws.failures import explained, is_missing, told, translated

ARN = "arn:aws:sts::123456789012:assumed-role/admin/jane"


def answer(code: str, message: str = "no", operation: str = "CreateStack", retries: int = 0) -> ClientError:
    """What botocore raises of an answer."""
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"RetryAttempts": retries}}
    return ClientError(response, operation)  # type: ignore[arg-type]


DENIED = (
    f"User: {ARN} is not authorized to perform: cloudformation:CreateChangeSet on resource: {ARN} with an explicit deny"
)
CASES: list[tuple[Exception, type[BenchmarkError], str]] = [
    (vendor.NoCredentialsError(), InputError, "no credentials; run `aws configure`"),
    (vendor.PartialCredentialsError(provider="env", cred_var="key"), InputError, "no credentials"),
    (vendor.CredentialRetrievalError(provider="sso", error_msg="x"), InputError, "no credentials"),
    (vendor.UnauthorizedSSOTokenError(), InputError, "have expired; log in again"),
    (vendor.SSOTokenLoadError(error_msg="x"), InputError, "have expired"),
    (vendor.TokenRetrievalError(provider="sso", error_msg="x"), InputError, "have expired"),
    (answer("ExpiredToken"), InputError, "have expired; log in again"),
    (answer("ExpiredTokenException"), InputError, "have expired"),
    (answer("InvalidClientTokenId"), InputError, "not accepted (InvalidClientTokenId)"),
    (answer("SignatureDoesNotMatch"), InputError, "not accepted"),
    (answer("AccessDenied", DENIED), PlatformError, "cloudformation:CreateChangeSet is denied (an explicit deny)"),
    (answer("AccessDeniedException", DENIED[:90]), PlatformError, "CreateStack is denied; allow it"),
    (answer("403", "Forbidden", "HeadObject"), PlatformError, "HeadObject is denied"),
    (answer("ThrottlingException", retries=7), PlatformError, "throttled (ThrottlingException), also after 8 tries"),
    (answer("SlowDown"), PlatformError, "throttled"),
    (answer("TooManyRequestsException", "Rate exceeded"), PlatformError, "throttled"),
    (
        answer("LimitExceededException", "Cannot exceed 200 stacks."),
        PlatformError,
        "quota is too low: Cannot exceed 200",
    ),
    (answer("ServiceQuotaExceededException"), PlatformError, "ask AWS to raise it"),
    (answer("BucketAlreadyExists"), InputError, "taken by another account; choose another --project"),
    (answer("RequestTimeTooSkewed"), HostError, "clock is too far"),
    (
        answer("ValidationError", "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated."),
        PlatformError,
        "the stack is UPDATE_IN_PROGRESS: somebody else",
    ),
    (
        answer("ValidationError", "Template format error: Unrecognized resource types: [AWS::Lambda::Url]"),
        InputError,
        "the region does not have AWS::Lambda::Url; choose another --region",
    ),
    (vendor.EndpointConnectionError(endpoint_url="https://x"), PlatformError, "cannot be reached"),
    (vendor.ConnectTimeoutError(endpoint_url="https://x"), PlatformError, "cannot be reached"),
    (vendor.SSLError(endpoint_url="https://x", error=OSError("y")), PlatformError, "cannot be reached"),
    (vendor.ProxyConnectionError(proxy_url="http://p"), PlatformError, "cannot be reached"),
    (
        vendor.ProfileNotFound(profile="nobody"),
        InputError,
        "(nobody) could not be found; `aws configure list-profiles`",
    ),
    (vendor.ConfigParseError(path="x"), InputError, "correct ~/.aws/config"),
    (vendor.NoRegionError(), InputError, "no region; give --region"),
    (vendor.InvalidRegionError(region_name="a b"), InputError, "choose another --region"),
    (ResponseParserError("<html>"), PlatformError, "what answered is not AWS"),
    (answer("SomethingNew", f"{ARN} (Service: X; Request ID: 1)"), PlatformError, "SomethingNew: <arn:sts>"),
    (vendor.ParamValidationError(report="x"), PlatformError, "ParamValidationError"),
]


@pytest.mark.parametrize(("error", "kind", "words"), CASES, ids=lambda value: str(value)[:40])
def test_failure_is_one_line(error: Exception, kind: type[BenchmarkError], words: str) -> None:
    """It says what was tried, what failed and what to do, and names nobody."""
    made = translated(error, "deploying")
    assert type(made) is kind
    assert str(made).startswith("aws: deploying: ")
    assert words in str(made)
    assert "\n" not in str(made)
    assert "123456789012" not in str(made)
    assert "jane" not in str(made)


def test_what_is_raised_within_becomes_ours() -> None:
    """The vendor's exception stays behind ours, as its cause."""
    with pytest.raises(InputError, match="no credentials") as raised, told("looking"):
        raise vendor.NoCredentialsError
    assert isinstance(raised.value.__cause__, vendor.NoCredentialsError)


def test_wrapped_answer_is_unwrapped() -> None:
    """What an upload was answered is told, not that an upload failed."""
    failed = S3UploadFailedError("Failed to upload a to b")
    failed.__context__ = answer("AccessDenied", "x is not authorized to perform: s3:PutObject on y")
    assert "s3:PutObject is denied" in str(translated(failed, "uploading a"))


def test_every_error_of_botocore_is_translated() -> None:
    """No exception of botocore's own, present or future, passes as it is."""
    known = [kind for kind in vars(vendor).values() if isinstance(kind, type) and issubclass(kind, BotoCoreError)]
    assert len(known) > 50
    for kind in known:
        assert isinstance(translated(_made(kind), "x"), BenchmarkError)


def _made(kind: type[BotoCoreError]) -> BotoCoreError:
    """One with something for every word its message wants."""
    words = dict.fromkeys(re.findall(r"{(\w+)}", kind.fmt), "x")
    return kind(**words, **({"last_response": {}} if kind is vendor.WaiterError else {}))


def test_other_errors_pass() -> None:
    """A mistake of ours is not taken for one of AWS's."""
    with pytest.raises(ZeroDivisionError), told("x"):
        _ = 1 / 0


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (answer("ResourceNotFoundException"), True),
        (answer("404"), True),
        (answer("ValidationError", "Stack with id a does not exist"), True),
        (answer("ValidationError", "1 validation error detected"), False),
        (answer("AccessDenied"), False),
    ],
)
def test_missing_is_told_from_denied(error: ClientError, missing: bool) -> None:
    """Only what AWS says is not there counts as not there."""
    assert is_missing(error) is missing


MEMORY = (
    "Resource handler returned message: \"'MemorySize' value failed to satisfy constraint: Member must have value less "
    'than or equal to 3008 (Service: Lambda, Status Code: 400, Request ID: 1)" (RequestToken: 8, HandlerErrorCode: x)'
)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (MEMORY, "the account's memory quota is lower"),
        (
            "Specified ReservedConcurrentExecutions decreases account's UnreservedConcurrentExecution below",
            "--concurrency",
        ),
        (f"API: iam:CreateRole User: {ARN} is not authorized to perform: iam:CreateRole", "allow iam:CreateRole to"),
        ("serverless-mlperf-dlq already exists in stack arn:aws:cloudformation:a:123456789012:stack/b", "--project"),
        ("arm64 is not supported in this region", "choose another --region"),
        ("The maximum number of queues: LimitExceeded", "ask AWS to raise the quota"),
        ("Something else.", "Something else"),
    ],
)
def test_reason_of_a_resource_says_what_to_do(reason: str, words: str) -> None:
    """CloudFormation's reason, shortened, with advice where it is known."""
    said = explained(reason)
    assert words in said
    assert "Request" not in said
    assert "123456789012" not in said

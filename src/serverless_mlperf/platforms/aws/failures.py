"""What botocore raises, as one clear line of ours: the only place where AWS's errors become `errors.py`'s."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import re
from typing import Final

from boto3.exceptions import Boto3Error
from botocore import exceptions as vendor
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from serverless_mlperf.errors import BenchmarkError, HostError, InputError, PlatformError
from serverless_mlperf.redaction import redacted

VENDOR: Final = (BotoCoreError, ClientError, Boto3Error, ResponseParserError)
EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
UNKNOWN_KEY: Final = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
    | {"AuthFailure", "InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken"}
)
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"})
THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded"}
    | {"SlowDown", "RequestThrottled", "RequestThrottledException", "BandwidthLimitExceeded"}
)
QUOTA: Final = frozenset(
    {"LimitExceededException", "LimitExceeded", "ServiceQuotaExceededException", "CodeStorageExceededException"}
    | {"TooManyBuckets", "AccountLimitExceeded"}
)
MISSING: Final = frozenset(
    {"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "404", "NotFound", "NoSuchEntity", "QueueDoesNotExist"}
    | {"AWS.SimpleQueueService.NonExistentQueue", "ChangeSetNotFound", "NoSuchTagSet", "StackNotFoundException"}
    | {"ProvisionedConcurrencyConfigNotFoundException"}
)
"""What is not there, in the words of each service; HEAD has no document, its code is the status."""
_ACTION: Final = re.compile(r"not authorized to perform: ([A-Za-z0-9-]+:[A-Za-z0-9*]+)")
_ACTION_IN_REASON: Final = re.compile(r"(?:API: |perform: )([a-z0-9-]+:[A-Za-z]+)")
_IN_PROGRESS: Final = re.compile(r"\b([A-Z_]+_IN_PROGRESS)\b")
_UNKNOWN_TYPES: Final = re.compile(r"Unrecognized resource types?: \[([^\]]*)\]")
_NO_STACK: Final = re.compile(r"Stack (?:with id |\[)?\S+ ?does not exist|does not exist")


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Raise what botocore raises within as one of `errors.py`'s; `doing` is what was tried, in words."""
    try:
        yield
    except VENDOR as error:
        raise translated(error, doing) from error


def translated(error: Exception, doing: str) -> BenchmarkError:
    """An exception of botocore's or boto3's as ours, in one line that names no account."""
    if isinstance(error, ClientError):
        return _answered(error, doing)
    if isinstance(error, Boto3Error) and isinstance(error.__context__, ClientError):
        return _answered(error.__context__, doing)  # boto3 wraps what an upload was answered
    for kinds, make in _UNANSWERED.items():
        if isinstance(error, kinds):
            return make(doing, redacted(str(error)))
    return PlatformError(f"aws: {doing}: {_line(error)}")


def code_of(error: ClientError) -> str:
    """AWS's name of an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def message_of(error: ClientError) -> str:
    """AWS's words of an error, as they came."""
    return str(error.response.get("Error", {}).get("Message", ""))


def is_missing(error: ClientError) -> bool:
    """Whether AWS says that what was asked for is not there."""
    return code_of(error) in MISSING or (code_of(error) == "ValidationError" and bool(_NO_STACK.search(str(error))))


def explained(reason: str) -> str:
    """Why CloudFormation could not make a resource, with what to do where that is known; names no account."""
    for pattern, advice in _REASONS:
        if pattern.search(reason):
            action = _ACTION_IN_REASON.search(reason)
            return f"{_short(reason)}; {advice.format(action=action[1] if action else 'the action')}"
    return _short(reason)


def _answered(error: ClientError, doing: str) -> BenchmarkError:
    code, message = code_of(error), message_of(error)
    for codes, make in _ANSWERED.items():
        if code in codes:
            return make(doing, error)
    if code == "ValidationError" and (found := _IN_PROGRESS.search(message)):
        return in_progress(doing, found[1])
    if found := _UNKNOWN_TYPES.search(message):
        return InputError(f"aws: {doing}: the region does not have {found[1]}; choose another --region")
    return PlatformError(f"aws: {doing}: {code}: {_short(message)}")


def in_progress(doing: str, status: str) -> PlatformError:
    """Somebody else works on the stack, or an interrupted command of ours still goes on there."""
    return PlatformError(
        f"aws: {doing}: the stack is {status}: somebody else, or a command cut off before, works on it; "
        "try again when `serverless-mlperf status --platform aws` says that it is done"
    )


def _denied(doing: str, error: ClientError) -> BenchmarkError:
    found = _ACTION.search(message_of(error))
    action = found[1] if found else f"{error.operation_name}"
    why = " (an explicit deny)" if "explicit deny" in message_of(error) else ""
    return PlatformError(
        f"aws: {doing}: {action} is denied{why}; allow it to these credentials, or choose another --profile"
    )


def _expired(doing: str, _: object) -> BenchmarkError:
    return InputError(f"aws: {doing}: the credentials have expired; log in again, e.g. `aws sso login`, and repeat")


def _unknown_key(doing: str, error: ClientError) -> BenchmarkError:
    return InputError(
        f"aws: {doing}: the credentials are not accepted ({code_of(error)}); check them, the --profile, and that the "
        "region is enabled in the account"
    )


def _throttled(doing: str, error: ClientError) -> BenchmarkError:
    tries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
    return PlatformError(
        f"aws: {doing}: throttled ({code_of(error)}), also after {tries} tries with back-off; wait a minute and repeat"
    )


def _quota(doing: str, error: ClientError) -> BenchmarkError:
    return PlatformError(
        f"aws: {doing}: a quota is too low: {_short(message_of(error)) or code_of(error)}; ask AWS to raise it "
        "(Service Quotas), or make the experiment smaller"
    )


def _bucket_taken(doing: str, _: object) -> BenchmarkError:
    return InputError(
        f"aws: {doing}: the bucket's name is taken by another account; choose another --project, which begins it"
    )


def _skewed(doing: str, _: object) -> BenchmarkError:
    return HostError(f"aws: {doing}: this host's clock is too far from AWS's; set it, and repeat")


_ANSWERED: Final[Mapping[frozenset[str], Callable[[str, ClientError], BenchmarkError]]] = {
    EXPIRED: _expired,
    UNKNOWN_KEY: _unknown_key,
    DENIED: _denied,
    THROTTLED: _throttled,
    QUOTA: _quota,
    frozenset({"BucketAlreadyExists"}): _bucket_taken,
    frozenset({"RequestTimeTooSkewed"}): _skewed,
}


def _no_credentials(doing: str, _: str) -> BenchmarkError:
    return InputError(f"aws: {doing}: no credentials; run `aws configure` or `aws sso login`, or give --profile")


def _no_region(doing: str, _: str) -> BenchmarkError:
    return InputError(f"aws: {doing}: no region; give --region, e.g. us-east-1, or set AWS_DEFAULT_REGION")


def _wrong_region(doing: str, said: str) -> BenchmarkError:
    return InputError(f"aws: {doing}: {said.rstrip('.')}; choose another --region")


def _no_profile(doing: str, said: str) -> BenchmarkError:
    return InputError(f"aws: {doing}: {said.rstrip('.')}; `aws configure list-profiles` tells which there are")


def _bad_settings(doing: str, said: str) -> BenchmarkError:
    return InputError(f"aws: {doing}: {said.rstrip('.')}; correct ~/.aws/config")


def _unreachable(doing: str, said: str) -> BenchmarkError:
    return PlatformError(
        f"aws: {doing}: AWS cannot be reached ({said.rstrip('.')}); check the network, the proxy and the --region"
    )


def _no_answer(doing: str, _: str) -> BenchmarkError:
    return PlatformError(f"aws: {doing}: what answered is not AWS, or is disturbed; check the proxy, and repeat")


_UNANSWERED: Final[Mapping[tuple[type[Exception], ...], Callable[[str, str], BenchmarkError]]] = {
    (vendor.NoCredentialsError, vendor.PartialCredentialsError, vendor.CredentialRetrievalError): _no_credentials,
    (vendor.SSOTokenLoadError, vendor.UnauthorizedSSOTokenError, vendor.TokenRetrievalError): _expired,
    (vendor.LoginError,): _expired,
    (vendor.NoRegionError,): _no_region,
    (vendor.InvalidRegionError, vendor.UnknownRegionError): _wrong_region,
    (vendor.ProfileNotFound,): _no_profile,
    (vendor.ConfigParseError, vendor.InvalidConfigError, vendor.ConfigNotFound): _bad_settings,
    (vendor.HTTPClientError, vendor.ConnectionError, vendor.EndpointProviderError): _unreachable,
    (ResponseParserError,): _no_answer,
}
"""HTTPClientError, ConnectionError: no connection, no answer in time, a proxy or a certificate that does not fit."""

_REASONS: Final = (
    (
        re.compile(r"'?MemorySize'? value failed to satisfy constraint"),
        "the account's memory quota is lower than AWS's 10,240 MB, as new accounts' are (3,008): leave larger sizes "
        "out, or ask AWS Support to raise it",
    ),
    (
        re.compile(r"UnreservedConcurrentExecution"),
        "the account must keep 100 executions unreserved: give a smaller --concurrency, or ask AWS to raise the quota",
    ),
    (
        re.compile(r"not authorized to perform|AccessDenied|explicit deny"),
        "allow {action} to these credentials",
    ),
    (
        re.compile(r"already exists"),
        "remove it if it is a leftover (`serverless-mlperf destroy --platform aws`), or choose another --project",
    ),
    (
        re.compile(r"not (?:currently )?(?:supported|available) in (?:this|the) region", re.I),
        "choose another --region",
    ),
    (re.compile(r"LimitExceeded|quota", re.I), "ask AWS to raise the quota, or make the experiment smaller"),
)
"""Words of CloudFormation's events, and what to do about them."""


def _short(text: str) -> str:
    """AWS's words without request ids, ARNs and accounts, in one line."""
    text = re.sub(r"\(Service: .*?\)|\(RequestToken: .*?\)|\(Request ID: .*?\)", "", text)
    return redacted(" ".join(text.split())).strip().rstrip(".;: ")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {_short(str(error))}"

"""Values shared by the local platform's front (S3, SQS, Lambda control) and its executor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ACCOUNT_ID: Final = "000000000000"
REGION: Final = "us-east-1"
MIB_PER_VCPU: Final = 1769
"""At 1,769 MB a function has the equivalent of one vCPU (AWS: lambda/latest/dg/configuration-memory)."""


def cpu_share(memory_mib: int) -> float:
    """VCPUs a function of this size may use in the long run."""
    return memory_mib / MIB_PER_VCPU


def visible_cores(memory_mib: int) -> int:
    """Cores a function sees on Lambda: 2 up to 3,008 MB, 3 to 5,307, 4 to 7,076, 5 to 8,845, 6 above."""
    return 2 + sum(memory_mib > limit for limit in (3008, 5307, 7076, 8845))


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """One immutable state of a function: an environment belongs to exactly one spec."""

    name: str
    arn: str
    handler: str
    runtime: str
    memory_mib: int
    timeout_s: int
    revision_id: str
    """Changes with every update of code or configuration: environments of another revision are retired."""
    code_zip: Path
    code_sha256: str
    layer_zips: tuple[tuple[str, Path], ...] = ()
    """(sha256, zip) in merge order: a later one overwrites."""
    environment: Mapping[str, str] = field(default_factory=dict)
    log_variables: Mapping[str, str] = field(default_factory=dict)
    """What tells the runtime of a log format, level or group other than the usual."""
    ephemeral_mib: int = 512
    reserved_concurrency: int | None = None
    max_retry_attempts: int = 2
    version: str = "$LATEST"
    max_event_age_s: int = 21_600
    """How long an asynchronous event may wait (AWS, lambda/latest/dg/invocation-async-configuring: 60 s to 6 h)."""
    on_success_arn: str | None = None
    on_failure_arn: str | None = None
    """Where a record of an asynchronous invocation goes when it has ended well, or for good not."""
    dead_letter_arn: str | None = None
    """Queue that takes events given up (DeadLetterConfig)."""

    @property
    def pool_name(self) -> str:
        """What its environments belong to: a published version has its own."""
        return self.name if self.version == "$LATEST" else f"{self.name}:{self.version}"


@dataclass(frozen=True, slots=True)
class Invocation:
    """How one invocation ended."""

    request_id: str
    payload: bytes
    """The handler's answer, or the error document."""
    function_error: str | None
    """None, or `Unhandled` as in X-Amz-Function-Error."""
    log_tail: bytes
    """The last 4 KiB of the invocation's log, REPORT line last."""
    executed_version: str = "$LATEST"


class ThrottledError(Exception):
    """A limit of Lambda's is reached: 429 TooManyRequestsException to a synchronous caller; an event backs off."""

    def __init__(self, message: str, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        """As in the answer's `Reason`."""
        self.hopeless = hopeless
        """The function is switched off (reserved concurrency 0): an event is given up at once (AWS,
        lambda/latest/dg/invocation-async-retain-records)."""

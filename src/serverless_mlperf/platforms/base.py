"""The seam to a place where functions live."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Target:
    """One deployed function as a transport needs to know it; it carries no credentials."""

    platform: str
    region: str
    s3_endpoint_url: str
    lambda_endpoint_url: str
    sqs_endpoint_url: str
    bucket: str
    function_name: str
    input_prefix: str
    """`input/<cell>/`: a PUT of `*.json` below it triggers the function."""
    output_prefix: str
    """`output/<cell>/`: results; `errors/` below it holds error records."""
    completed_prefix: str
    queue_url: str
    """SQS queue that is told of every object created below `output_prefix`."""
    concurrency: int
    """Environments that may run at once (reserved concurrency)."""


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """What is to be deployed for one cell."""

    name: str
    cell_name: str
    memory_mib: int
    timeout_s: int
    concurrency: int
    environment: Mapping[str, str]
    code_zip: Path
    layer_zip: Path


@dataclass(frozen=True, slots=True)
class Report:
    """A REPORT line: what the platform itself says of one invocation."""

    request_id: str
    duration_ms: float
    billed_ms: int
    init_ms: float | None
    """None for an environment that was warm."""
    memory_mib: int
    max_memory_mib: int
    status: str = "ok"
    """`ok`, `error` or `timeout`."""
    cpu_ns: int | None = None
    """CPU time of the environment during the invocation, as the platform saw it; None where it cannot."""
    error_type: str | None = None
    """Of a function that failed, e.g. `Runtime.OutOfMemory`."""
    restore_ms: float | None = None
    """Time to restore a snapshot (SnapStart), instead of an init phase."""
    billed_restore_ms: int | None = None
    """The part of it that is billed; `billed_ms` includes it."""
    spawn_asked_ns: int | None = None
    """Wall clock: the platform began to start the environment's process; of a cold one, where the platform tells."""
    spawned_ns: int | None = None
    """Wall clock: the process was there."""
    error_message: str | None = None
    """Why it failed, in one line, as the function or the platform says; None when it did not."""


@dataclass(frozen=True, slots=True)
class PlatformUsage:
    """What the platform cost the host in a window of time; None on a platform that cannot tell."""

    cpu_ns: int | None = None
    loop_lag_p99_ns: int | None = None
    loop_lag_max_ns: int | None = None
    faults: str | None = None
    """Faults that the platform was told to inject, and how many it has; None when nobody asked for any."""
    isolation: str | None = None
    """How environments are kept apart: `bubblewrap`, `plain (/tmp private)` or `plain (/tmp shared)`."""
    controller: str | None = None
    """What holds them to their CPU share, e.g. `sigstop`."""


class Platform(Protocol):
    """Where functions live: provisioning only, never load.

    Blocking; used from one thread; a context manager owns it, and leaving it removes what `deploy` made
    (on the local platform: ends the server and every environment). Raises CutOffError when it has died meanwhile;
    `upload` and `deploy` then begin anew.
    """

    @property
    def lifeline(self) -> int | None:
        """A descriptor that becomes readable when the platform is gone; None where that cannot be told."""

    def upload(self, objects: Mapping[str, Path]) -> None:
        """Put files under their keys into the experiment's bucket; raises PlatformError."""

    def deploy(self, function: FunctionConfig) -> Target:
        """Create (or replace) one function with its trigger and queue and wait until it is Active."""

    def retire(self, target: Target) -> None:
        """Remove a function, its environments, its trigger and its queue; its objects stay."""

    def observe(self, target: Target, since_ns: int, until_ns: int) -> tuple[list[Report], PlatformUsage]:
        """Reports of all the target's invocations so far, and the platform's usage between two wall clocks."""

"""What one run is to do, and what came of it: plain values that travel between processes as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from serverless_mlperf.budget import Allowance
from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.base import Credentials, Target
from serverless_mlperf.redaction import redacted_json
from serverless_mlperf.transports.base import Transport
from serverless_mlperf.transports.sigv4 import Identity
from serverless_mlperf.transports.table import SYNCHRONOUS, make_transport
from serverless_mlperf.workloads import Task

Scenario = Literal["SingleStream", "MultiStream", "Server", "Offline"]
Mode = Literal["performance", "accuracy", "test01", "test04"]
ComplianceTest = Literal["test01", "test04"]

LOAD_SHARE: Final = 0.5
"""Server without a rate: this share of the capacity, where a queue of Poisson arrivals is still short."""
NETWORK_SUT: Final = "Network SUT"
"""What LoadGen's name of a system behind a network must hold (submission_checker, performance_check.network_check)."""
SAMPLES_PER_QUERY: Final = 8
"""MultiStream (mlperf.conf: *.MultiStream.samples_per_query)."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """LoadGen's three seeds; None keeps the ones of the current MLPerf round, which LoadGen carries."""

    qsl: int | None = None
    sample_index: int | None = None
    schedule: int | None = None


@dataclass(frozen=True, slots=True)
class WarmupRule:
    """When the target counts as warm."""

    served: int = 3
    """Queries every environment must have served."""
    deadline_s: float = 120.0
    patience_s: float = 40.0
    """No reply for so long: what is outstanding counts as lost and is sent again."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One LoadGen test: everything its process needs."""

    run: str
    """Key prefix of this run's queries; must not occur in any other run on the same queue."""
    target: Target
    samples: tuple[str, ...]
    """Object keys of the images, by sample index."""
    task: Task
    loadgen_model: str
    output: Path
    timeout_s: float
    """Deadline of a query from its hand-over; Offline: backlog x expected service time + function timeout."""
    query_count: int = 100
    """Queries LoadGen issues at least; in Offline samples of the one query."""
    performance_sample_count: int = 1024
    scenario: Scenario = "Offline"
    mode: Mode = "performance"
    min_duration_s: float = 0.0
    target_qps: float | None = None
    """Server: mean rate of arrivals; None: `load_share` of what the environments can serve, by the warm-up."""
    load_share: float = LOAD_SHARE
    latency_bound_ms: float = 1000.0
    """Server: the 99th percentile may not be above it."""
    samples_per_query: int = SAMPLES_PER_QUERY
    """MultiStream."""
    seeds: Seeds = field(default_factory=Seeds)
    warmup: WarmupRule = field(default_factory=WarmupRule)
    transport: str = "s3"
    transport_options: Mapping[str, Any] = field(default_factory=dict)
    credentials: Credentials | None = None
    """Those of the beginning: newer ones follow by the same pipe. None: requests are not signed (local platform)."""
    sample_paths: tuple[Path, ...] | None = None
    """Files of the same images, for a transport that carries them; None where the client does not have them."""
    senders: int = 8
    """Queries being handed to the platform at once, where that ends before their result comes."""
    max_in_flight: int | None = None
    """Queries handed to the platform and not ended; the others wait in the client. None: no bound."""
    length: str | None = None
    """Why it is as long as it is: quick, standard, full; a note for the result."""
    allowance: Allowance | None = None
    """What it may send, cost and take; None: as much as it needs."""
    drain_s: float = 0.3
    """How long duplicates are still counted after the last query."""

    def __post_init__(self) -> None:
        if not self.samples:
            raise InputError(f"run {self.run}: no samples; give at least one image key")
        if self.query_count < 1:
            raise InputError(f"run {self.run}: {self.query_count} queries asked; give at least 1")
        if self.target_qps is not None and self.target_qps <= 0:
            raise InputError(f"run {self.run}: {self.target_qps:g} queries/s asked; give more than 0")
        if not self.run or "/" in self.run:
            raise InputError(f"run name {self.run!r} cannot be part of an object key")

    def make_transport(self, identity: Identity | None = None) -> Transport:
        """The transport this run's queries go through, not yet opened; raises InputError."""
        return make_transport(
            self.transport,
            self.target,
            self.samples,
            self.run,
            identity,
            self.transport_options,
            self.sample_paths,
            self.timeout_s,
        )

    @property
    def sends_at_once(self) -> int:
        """Bound of the sends under way: where a send lasts until the answer, that of the queries in flight."""
        return self.target.concurrency if self.transport in SYNCHRONOUS else self.senders

    @property
    def identity(self) -> Identity | None:
        """One that signs with the credentials of the beginning, to be given newer ones."""
        return None if self.credentials is None else Identity(self.credentials)

    @property
    def warmup_at_once(self) -> int:
        """Warm-up queries under way: twice the environments make a backlog, unless Lambda would throttle it."""
        waits = self.transport not in SYNCHRONOUS and self.target.absorbs_bursts
        return self.target.concurrency * (2 if waits else 1)


@dataclass(frozen=True, slots=True)
class DriverResult:
    """driver.json: LoadGen's verdict and everything counted around it."""

    run: str
    scenario: Scenario
    mode: Mode
    asked: int
    """Samples LoadGen was to issue, at least; exactly so many where no duration was asked for."""
    issued: int = 0
    ok: int = 0
    errors: int = 0
    timeouts: int = 0
    send_errors: int = 0
    unfinished: int = 0
    """Queries that had not ended when the run did."""
    duplicates: int = 0
    """Results beyond the first of a query: second executions."""
    late: int = 0
    """Results that came after the deadline of their query."""
    strays: int = 0
    """Results of warm-up queries that came inside the measured window."""
    loadgen_validity: str | None = None
    """VALID or INVALID as LoadGen says; None in accuracy mode, where it gives no verdict."""
    loadgen_errors: tuple[str, ...] = ()
    loadgen_warnings: tuple[str, ...] = ()
    loadgen: Mapping[str, Any] = field(default_factory=dict)
    """What LoadGen computed: its `result_*` and `early_stopping_*` values."""
    target_qps: float | None = None
    """Server: the rate that was asked for."""
    latency_bound_ms: float | None = None
    """Server."""
    max_in_flight: int | None = None
    """Bound of the queries handed to the platform and not ended; None: there was none."""
    length: str | None = None
    """Why the run was as long as it was: quick, standard, full; None for a run outside of an experiment."""
    handover_p99_ns: int | None = None
    """LoadGen's thread -> the client's event loop: above a few ms the client was too slow."""
    send_wait_p99_ns: int | None = None
    """LoadGen's thread -> sending begun; None where `max_in_flight` makes queries wait on purpose."""
    client_cpu_ns: int | None = None
    """CPU time of the client process between start and end of the LoadGen test."""
    wall_ns: int | None = None
    peak_in_flight: int = 0
    clamped: int = 0
    """Records whose function started before the PUT was answered, or whose clocks disagree otherwise."""
    environments: Mapping[str, int] = field(default_factory=dict)
    """Environment id -> queries it served in the window."""
    cold: int = 0
    """Cold starts in the window."""
    warmup_queries: int = 0
    transport_name: str = ""
    transport_options: Mapping[str, Any] = field(default_factory=dict)
    """As in effect, e.g. whether `invoke` carried the images (`payload`: inline or s3ref)."""
    transport: Mapping[str, int] = field(default_factory=dict)
    """What the transport had to deal with, counted."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Effective settings as LoadGen logged them."""
    capacity_qps: float | None = None
    """What the environments can serve together, by the time that the warm-up's queries spent in them."""
    sent: int = 0
    """Queries handed to the platform, those of the warm-up included."""
    budget: str | None = None
    """Which bound stopped the run before its end, with the numbers."""
    aborted: str | None = None
    """Why the run ended before its end."""
    deadline_s: float | None = None
    """After how long without a result a query counted as lost."""
    trace_fault: str | None = None
    """Why the records are without LoadGen's times."""


_SPEC: Final = TypeAdapter(RunSpec)
_RESULT: Final = TypeAdapter(DriverResult)
_CREDENTIALS: Final = TypeAdapter(Credentials)


def dump_spec(spec: RunSpec) -> bytes:
    """One line of JSON; it holds secrets and belongs into a pipe only."""
    return _SPEC.dump_json(spec)


def load_spec(document: bytes) -> RunSpec:
    """Read a RunSpec; raises InputError."""
    try:
        return _SPEC.validate_json(document)
    except ValidationError as error:
        # Without the input: it may hold secrets.
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"run specification: {where or 'document'}: {first['msg']}") from None


def dump_credentials(credentials: Credentials) -> bytes:
    """One line of JSON, all of it secret: it belongs into a pipe only."""
    return _CREDENTIALS.dump_json(credentials)


def load_credentials(document: bytes) -> Credentials:
    """Read them back; raises InputError, which shows nothing of them."""
    try:
        return _CREDENTIALS.validate_json(document)
    except ValidationError:
        raise InputError("renewed credentials: not what was sent; was the pipe written by another process?") from None


def dump_result(result: DriverResult) -> bytes:
    """JSON of driver.json; its texts, which may be AWS's words, name no account."""
    return redacted_json(_RESULT.dump_json(result, indent=1), indent=1)


def load_result(document: bytes) -> DriverResult:
    """Read driver.json back; raises InputError."""
    try:
        return _RESULT.validate_json(document)
    except ValidationError as error:
        raise InputError(f"driver.json is damaged: {error.errors()[0]['msg']}; measure the cell again") from error

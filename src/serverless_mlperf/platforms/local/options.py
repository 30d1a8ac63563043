"""What a server of the local platform can be told when it starts."""

from dataclasses import dataclass
from pathlib import Path

from serverless_mlperf.platforms.local.concurrency import ACCOUNT_CONCURRENCY, SCALE_UP
from serverless_mlperf.platforms.local.faults import FaultSettings
from serverless_mlperf.platforms.local.restraint import DEFAULT
from serverless_mlperf.platforms.local.service_model import INIT_LIMIT_S, ServiceModel


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of `serverless-mlperf local serve`, checked where they are read."""

    port: int = 0
    """On 127.0.0.1; 0: any free one."""
    parent_stdin: bool = False
    """End when standard input does, as a child process of an experiment."""
    host: str = "127.0.0.1"
    """Address to listen on; beyond this machine's own, every request must carry the token."""
    token_file: Path | None = None
    """Holds the token that every request must carry; made if it is not there."""
    isolation: str = "auto"
    """How environments are kept apart: one of `isolation.CHOICES`."""
    controller: str = DEFAULT
    """What holds environments to their share: one of `restraint.CHOICES`."""
    storage: str = "watched"
    """How /tmp is kept within EphemeralStorage: one of `tmp_disk.CHOICES`."""
    faults: FaultSettings | None = None
    """What is to go wrong on demand from the start; None: nothing."""
    data: Path | None = None
    """Folder that keeps all but environments and logs for the next server; None: everything is forgotten."""
    clock_speed: float = 1.0
    """Seconds of Lambda's minutes (retries, event age, back-off, scale-up, keep-alive) in a real one."""
    account_concurrency: int = ACCOUNT_CONCURRENCY
    """Invocations of all functions at once."""
    scale_up: int = SCALE_UP
    """Environments that a function may start in 10 s."""
    keep_alive: str = "off"
    """When idle environments end: off (they stay), 2025 or 2020."""
    delays: tuple[str, ...] = ()
    """Modelled delays that only a cloud has: names of profiles; none by default."""
    seed: int = 0
    """Of all that the service draws."""
    init_limit_s: float = INIT_LIMIT_S
    """Real seconds of an init phase until it is run again within the function's timeout."""

    @property
    def model(self) -> ServiceModel:
        """How Lambda behaves around the functions; raises InputError."""
        return ServiceModel(
            self.clock_speed,
            self.account_concurrency,
            self.scale_up,
            keep_alive=self.keep_alive,
            delays=self.delays,
            seed=self.seed,
            init_limit_s=self.init_limit_s,
        )

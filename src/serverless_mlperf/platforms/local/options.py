"""What a server of the local platform can be told when it starts."""

from dataclasses import dataclass
from pathlib import Path

from serverless_mlperf.platforms.local.faults import FaultSettings


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The options of `serverless-mlperf local serve`, checked where they are read."""

    port: int = 0
    """On 127.0.0.1; 0: any free one."""
    parent_stdin: bool = False
    """End when standard input does, as a child process of an experiment."""
    isolation: str = "auto"
    """How environments are kept apart: one of `isolation.CHOICES`."""
    faults: FaultSettings | None = None
    """What is to go wrong on demand from the start; None: nothing."""
    data: Path | None = None
    """Folder that keeps all but environments and logs for the next server; None: everything is forgotten."""

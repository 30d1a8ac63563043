"""Forced cold starts in words."""

from typing import Final

from serverless_mlperf.coldstart import ColdStarts
from serverless_mlperf.report.latencies import interval_text, value_text

KEPT_WARM: Final = "packages are unpacked and files may be in the host's page cache; a microVM's start is not in it"


def cold_lines(name: str, found: ColdStarts) -> tuple[str, ...]:
    """Lines for one cell: client and init with their intervals, and the medians of the phases."""
    phases = ", ".join(f"{phase} {value:.1f}" for phase, value in found.phases_ms.items())
    return (
        f"cold starts of {name}: {found.count} forced, one by one ({KEPT_WARM})",
        f"  client 50% {value_text(found.client)} ms {interval_text(found.client)}, "
        f"init 50% {value_text(found.init)} ms {interval_text(found.init)}, 95 % intervals",
        f"  medians, ms: {phases}",
    )

"""Forced cold starts in words."""

from typing import Final

from serverless_mlperf.coldstart import ColdStarts
from serverless_mlperf.report.latencies import interval_text, value_text

VALID, INVALID = "VALID", "INVALID, free the host of other load and measure again"
KEPT_WARM: Final = "packages are unpacked and files may be in the host's page cache; a microVM's start is not in it"


def cold_lines(name: str, found: ColdStarts) -> tuple[str, ...]:
    """Lines for one cell: client and init with their intervals, and the medians of the phases."""
    phases = ", ".join(f"{phase} {value:.1f}" for phase, value in found.phases_ms.items())
    host = f"{found.before.delivered_share:.0%} of its CPU before, {found.after.delivered_share:.0%} after"
    return (
        f"cold starts of {name}: {found.count} forced, one by one ({KEPT_WARM})",
        f"  client 50% {value_text(found.client)} ms {interval_text(found.client)}, "
        f"init 50% {value_text(found.init)} ms {interval_text(found.init)}, 95 % intervals",
        f"  medians, ms: {phases}",
        f"  host delivered {host}: {VALID if found.valid else INVALID}",
    )

"""The waterfall in words: one line per group of phases, which add up to the mean latency."""

from collections.abc import Sequence

from serverless_mlperf.waterfall import GROUPS, UNATTRIBUTED, ClockNote, Waterfall


def waterfall_lines(found: Waterfall, kind: str = "warm") -> tuple[str, ...]:
    """Lines for the block of one run."""
    total = found.total
    return (
        f"  where the time went: {total.count} {kind} queries, {found.begins} -> completion, "
        f"mean {total.mean_ms:.1f} ms (median {total.median_ms:.1f}, p90 {total.p90_ms:.1f})",
        *(_group(found, name) for name in found.groups if name != UNATTRIBUTED),
        _unattributed(found),
        *([f"    {clocks_text(found.clocks)}"] if found.clocks else []),
    )


def clocks_text(clocks: Sequence[ClockNote]) -> str:
    """What is known of the clocks, in one line."""
    known = [note for note in clocks if note.estimate_ms is not None and note.uncertainty_ms is not None]
    unknown = len(clocks) - len(known)
    drift = f"; of {unknown} no one offset explains all queries (they drifted or were set)" if unknown else ""
    if not known:
        return f"clocks of {len(clocks)} environments{drift}"
    least = max(known, key=lambda note: note.uncertainty_ms or 0.0)
    corrected = sum(note.corrected for note in clocks)
    done = f"{corrected} corrected" if corrected else "none corrected, as it may be 0"
    return (
        f"clocks of {len(clocks)} environments, offset from the client's: {least.estimate_ms:+.2f} "
        f"+- {least.uncertainty_ms:.2f} ms for the least known one; {done}{drift}"
    )


def _group(found: Waterfall, group: str) -> str:
    span = found.groups[group]
    parts = ", ".join(f"{name} {found.phases[name].mean_ms:.1f}" for name in GROUPS[group] if name in found.phases)
    return f"    {group:<15} {span.mean_ms:9.1f} ms {span.share:6.1%}  {parts}"


def _unattributed(found: Waterfall) -> str:
    span = found.phases[UNATTRIBUTED]
    alarm = "" if found.explained else "  NOT SMALL"
    return (
        f"    {UNATTRIBUTED:<15} {span.mean_ms:9.1f} ms {span.share:6.1%}  "
        f"median {span.median_ms:.2f}, p99 {span.p99_ms:.2f}{alarm}"
    )

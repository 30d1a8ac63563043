"""What several steps of one run say together: the capacity that a search found, the curve of a sweep."""

from collections.abc import Iterator, Sequence

from serverless_mlperf.report.latencies import interval_text, value_text
from serverless_mlperf.report.results import CellResult


def step_lines(results: Sequence[CellResult]) -> tuple[str, ...]:
    """Lines for every run that was a search or a sweep; () when there is none."""
    return tuple(line for steps in _by_run(results) if len(steps) > 1 for line in _lines(steps))


def _by_run(results: Sequence[CellResult]) -> list[list[CellResult]]:
    runs: dict[tuple[str, int], list[CellResult]] = {}
    for result in results:
        if result.mode == "performance":
            runs.setdefault((result.place, result.run), []).append(result)
    return list(runs.values())


def _lines(steps: Sequence[CellResult]) -> Iterator[str]:
    name = f"{steps[0].model_name} {steps[0].size}"
    if steps[0].scenario == "Server":
        yield capacity_line(name, steps)
    elif steps[0].scenario == "Offline":
        yield f"curve of {name}: queries in flight, samples/s by LoadGen, sent -> completed in ms with 95 % intervals"
        yield from (_point(step) for step in steps)


def capacity_line(name: str, steps: Sequence[CellResult]) -> str:
    """The highest rate that was VALID, and the one above it that was not, with the reasons' codes."""
    held = [step.target_qps for step in steps if step.valid and step.target_qps is not None]
    broken = [step for step in steps if not step.valid and step.target_qps is not None]
    above = "; " + (_broken(broken[0]) if broken else "no higher rate was tried")
    bound = f"within {steps[0].latency_bound_ms:g} ms at the 99th percentile"
    if not held:
        return f"capacity of {name}: no rate was VALID {bound}{above}"
    return f"capacity of {name}: {max(held):.4g} queries/s {bound}{above}"


def _broken(step: CellResult) -> str:
    codes = ", ".join(reason.partition(":")[0] for reason in step.reasons)
    return f"{step.target_qps:.4g} queries/s were INVALID ({codes})"


def _point(step: CellResult) -> str:
    rate = "-" if step.qps_loadgen is None else f"{step.qps_loadgen:.1f}"
    levels = ", ".join(f"{q.name} {value_text(q)} {interval_text(q)}" for q in step.flight if q.p in {0.5, 0.9})
    return f"  {step.max_in_flight}: {rate}/s, {levels or 'no warm query'}{'' if step.valid else ' (INVALID)'}"

"""A recommendation as lines and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
import math
from statistics import median
import textwrap
from typing import Any, Final

from rich.text import Text

from serverless_mlperf.report.results import CellResult
from serverless_mlperf.tuning.bounds import Interval
from serverless_mlperf.tuning.judging import Finding, Judged
from serverless_mlperf.tuning.recommendation import Place, Recommendation

SCHEMA: Final = 1
WIDTH: Final = 80
NAME_WIDTH: Final = 29
STYLES: Final = {"best": "bold green", "tie": "green", "misses": "red", "out of reach": "red", "no data": "yellow"}
"""Colour repeats what the word says."""
STOPPED: Final = {
    "decided": "nothing more can change it",
    "budget": "the budget is spent",
    "all runs": "all runs are made",
}
_SAID: Final = {
    "best": "recommended", "tie": "tie", "worse": "worse", "no better": "no better", "open": "open",
    "misses": "misses", "out of reach": "cannot meet", "unverified": "not verified", "no data": "no data",
}  # fmt: skip


def lines(found: Recommendation, results: Sequence[CellResult], invalid: int) -> Iterator[Text]:
    """A table of at most 80 columns and the recommendation in words."""
    question = found.question
    latency = question.latency
    yield Text("")
    yield Text(
        f"{'candidate':{NAME_WIDTH}} {'runs':>4} {'queries':>7} {latency.name + ' ms':>9} {'$/M':>8}  standing",
        style="bold",
    )
    for place in found.places:
        yield Text(_row(place, latency.name), style=STYLES.get(place.standing, ""))
    yield Text("")
    for line in (*_words(found, results), *_failed(found)):
        yield from (Text(part) for part in textwrap.wrap(line, WIDTH, subsequent_indent="      "))
    yield Text(_account(found))
    if invalid:
        yield Text(f"{invalid} of the runs are INVALID by the host's doing, and counted (--allow-invalid)")


def document(found: Recommendation, results: Sequence[CellResult], folder: str, invalid: int) -> dict[str, Any]:
    """tune.json: plain values; an end of an interval that is not known is null."""
    question, runner_up, nearest = found.question, found.runner_up, found.nearest
    return {
        "schema": SCHEMA,
        "folder": folder,
        "objectives": [objective.text for objective in question.objectives],
        "goal": question.goal,
        "confidence": question.confidence,
        "same_within": question.same,
        "recommended": found.best.judged.name if found.best else None,
        "runner_up": runner_up.judged.name if found.best and runner_up else None,
        "ties": [place.judged.name for place in found.ties],
        "nearest": nearest.judged.name if nearest and not found.best else None,
        "meets_confidence": found.meets_sure,
        "best_confidence": found.best_sure,
        "stopped": found.stopped,
        "queries": found.queries,
        "grid_queries": question.ladder.grid,
        "budget_queries": question.ladder.budget,
        "runs_queries": list(question.ladder.runs),
        "invalid_runs_counted": invalid,
        "candidates": [_candidate(place, _of(place, results)) for place in found.places],
    }


def rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per candidate of a document, for CSV."""
    return [_flat(each) for each in answer["candidates"]]


def _flat(candidate: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: candidate[name] for name in ("name", "standing", "failed", "queries", "accuracy", "accuracy_images")}
    row["runs"] = len(candidate["runs"])
    for name in ("goal", "goal_over_recommended", "usd_per_million"):
        row |= _ends(name, candidate[name])
    for finding in candidate["objectives"]:
        row |= {f"{finding['objective']}_state": finding["state"], **_ends(finding["objective"], finding["figure"])}
    return row


def _ends(name: str, figure: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"{name}_{end}": figure[end] if figure else None for end in ("value", "low", "high")}


def _candidate(place: Place, results: Sequence[CellResult]) -> dict[str, Any]:
    judged = place.judged
    candidate = judged.candidate
    return {
        "name": judged.name,
        "standing": place.standing,
        "failed": candidate.failed,
        "runs": list(candidate.counts),
        "queries": candidate.queries,
        "goal": _interval(judged.goal),
        "goal_over_recommended": _interval(place.ratio),
        "usd_per_million": _interval(judged.cost),
        "usd_modelled": any(result.cost.modelled for result in results if result.cost),
        "objectives": [_finding(finding) for finding in judged.findings],
        "cold_start_ms": _cold(judged),
        "accuracy": candidate.accuracy,
        "accuracy_images": candidate.accuracy_images,
        "modelled_mean_forward_ms": _modelled(results),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "objective": finding.objective.text,
        "state": finding.state,
        "figure": _interval(finding.figure),
        "from": finding.count,
        "over": finding.over,
    }


def _interval(found: Interval | None) -> Mapping[str, float | None] | None:
    if found is None:
        return None
    return {name: value if math.isfinite(value) else None for name, value in asdict(found).items()}


def _cold(judged: Judged) -> dict[str, Any] | None:
    cold_ms = judged.candidate.cold_ms
    return {"median": median(cold_ms), "from": len(cold_ms)} if cold_ms else None


def _modelled(results: Sequence[CellResult]) -> dict[str, float | None] | None:
    """What share and quota predict from the CPU time of the last run: beside the measured figures, deciding nothing."""
    if not results:
        return None
    return {"share": results[-1].share_predicted_ms, "quota": results[-1].quota_predicted_ms}


def _of(place: Place, results: Sequence[CellResult]) -> list[CellResult]:
    return [r for r in results if f"{r.task}-{r.engine_and_format}-{r.memory_mib}" == place.judged.name]


def _row(place: Place, name: str) -> str:
    judged = place.judged
    figure = next((f.figure for f in judged.findings if f.objective.name == name), None)
    latency = "-" if figure is None else f"{figure.value:.1f}"
    cost = "-" if judged.cost is None else f"{judged.cost.value:.3f}"
    counts = f"{len(judged.candidate.runs):>4} {judged.candidate.queries:>7}"
    return f"{judged.name:{NAME_WIDTH}} {counts} {latency:>9} {cost:>8}  {_said(place)}"


def _said(place: Place) -> str:
    if place.standing in ("worse", "tie") and place.ratio is not None:
        return f"{_SAID[place.standing]} ({place.ratio.value - 1:+.0%})"
    if place.standing in ("misses", "out of reach"):
        return f"{_SAID[place.standing]} {_culprit(place.judged).objective.name}"
    return _SAID[place.standing]


def _culprit(judged: Judged) -> Finding:
    """The objective that is missed."""
    return next(f for f in judged.findings if f.state == judged.state)


def _words(found: Recommendation, results: Sequence[CellResult]) -> Iterator[str]:
    best = found.best
    if best is None:
        yield from _none(found)
        return
    judged = best.judged
    yield f"Recommended: {judged.name}"
    yield from (f"  {_meets(finding)}" for finding in judged.findings)
    yield f"  cost {_shown(judged.cost, 3)} USD per million{_modelled_price(_of(best, results))}"
    if cold := _cold(judged):
        yield f"  cold start median {cold['median']:.0f} ms, of {cold['from']}"
    if judged.candidate.accuracy is not None:
        yield f"  accuracy {judged.candidate.accuracy:.3f} over {judged.candidate.accuracy_images} images"
    yield from _beside(found)
    yield from _sure(found)


def _meets(finding: Finding) -> str:
    objective, figure = finding.objective, finding.figure
    if objective.kind == "accuracy" and figure is not None:
        return f"accuracy {figure.value:.3f}, >= {objective.bound:g}: of {finding.count} images"
    what = "cold starts" if objective.kind == "cold" else "queries"
    return f"{objective.name} {_shown(figure, 1)} ms, <= {objective.bound:g} ms: of {finding.count} {what}"


def _beside(found: Recommendation) -> Iterator[str]:
    goal = {"cost": "cost", "latency": "latency", "balanced": "cost x latency"}[found.question.goal]
    if (runner_up := found.runner_up) and runner_up.ratio is not None:
        yield f"  runner-up {runner_up.judged.name}: {goal} x {_shown(runner_up.ratio, 3)}, {_SAID[runner_up.standing]}"
    if found.ties:
        yield "  not told apart from it: " + ", ".join(place.judged.name for place in found.ties)
    still_open = [place.judged.name for place in found.places if place.standing in ("open", "unverified")]
    if still_open:
        yield "  may be better, but not told to meet: " + ", ".join(still_open)


def _sure(found: Recommendation) -> Iterator[str]:
    same = f"{found.question.same:.0%}"
    meets = "" if found.meets_sure is None else f"meets: {found.meets_sure:.4g}"
    if found.best_sure is None:
        yield f"  confidence that it {meets}; that none is better by {same}: below 0.5"
    else:
        yield f"  confidence that it {meets}; that none is better by {same} as well: {found.best_sure:.4g}"


def _none(found: Recommendation) -> Iterator[str]:
    """Which one comes nearest, and by how much it misses."""
    standings = {place.standing for place in found.places}
    confidence = f"at a confidence of {found.question.confidence:g}"
    if standings == {"misses"}:
        yield f"None meets the objectives {confidence}."
    else:
        yield f"None can be told to meet the objectives {confidence}."
    if (nearest := found.nearest) is None:
        yield "  nothing could be measured"
        return
    yield f"  nearest: {nearest.judged.name}"
    yield from (f"    {_against(finding)}" for finding in nearest.judged.findings if finding.state != "met")


def _failed(found: Recommendation) -> Iterator[str]:
    """Why candidates could not be judged."""
    candidates = (place.judged.candidate for place in found.places)
    return (f"  not measured: {each.name}: {each.failed}" for each in candidates if each.failed)


def _against(finding: Finding) -> str:
    bound, figure = finding.objective.bound, finding.figure
    if figure is None:
        return f"{finding.objective.text}: nothing measured"
    by = figure.value / bound - 1 if bound else 0.0
    over = "" if finding.over is None else f", {finding.over} over the bound"
    return f"{finding.objective.text}: measured {_shown(figure, 1)} ({by:+.1%}), of {finding.count}{over}"


def _account(found: Recommendation) -> str:
    grid = found.question.ladder.grid
    share = f"{found.queries / grid:.0%} of the {grid} of the grid"
    return f"{found.queries} queries, {share}; ended: {STOPPED[found.stopped]}"


def _modelled_price(results: Sequence[CellResult]) -> str:
    return " (modelled)" if any(result.cost.modelled for result in results if result.cost) else ""


def _shown(figure: Interval | None, digits: int) -> str:
    if figure is None:
        return "n/a"
    if not figure.low and math.isinf(figure.high):
        return f"{figure.value:.{digits}f} [not known]"
    low = f"{figure.low:.{digits}f}" if figure.low else "..."
    high = "..." if math.isinf(figure.high) else f"{figure.high:.{digits}f}"
    return f"{figure.value:.{digits}f} [{low}, {high}]"

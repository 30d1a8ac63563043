"""Which runs a cell needs, and what the next one is: pure, so that a resumed experiment goes on where it stopped.

Most modes need one run. The compliance tests bring the runs that they are compared with, a sweep has a run per point,
and a search for the capacity decides by its last run whether to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.mlperf.spec import Mode

RAMP: Final = (0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
"""Rates that a search tries, as shares of the capacity seen in its first run's warm-up: upwards only, because every
rate changes what the next one finds warm. Above the capacity a queue grows without end, and the bound breaks."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What tells one run of a cell from another."""

    mode: Mode
    target_qps: float | None = None
    load_share: float | None = None
    """Server without a rate: this share of the capacity that the warm-up shows."""
    max_in_flight: int | None = None


class Done(Protocol):
    """What a plan needs to know of a run that has been measured."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not VALID, each beginning with its code."""

    @property
    def target_qps(self) -> float | None:
        """Rate of arrivals in Server."""

    @property
    def capacity_qps(self) -> float | None:
        """What the warm-up showed."""

    @property
    def valid(self) -> bool:
        """The verdict."""


def runs_at_most(config: ExperimentConfig) -> tuple[Mode, ...]:
    """Modes of all runs that one round of a cell can take: a search may end before its last rate."""
    if config.search_capacity:
        performance: Mode = "performance"
        return (performance,) * len(RAMP)
    return tuple(plan.mode for plan in _plans(config))


def next_run(config: ExperimentConfig, done: Sequence[Done]) -> RunPlan | None:
    """The run that follows those of one round of a cell, or None when the round is complete.

    In Server a run that is compared with the first one has its rate: half of its own capacity would be another.
    """
    if config.search_capacity:
        return _next_step(done)
    plans = _plans(config)
    if len(done) >= len(plans):
        return None
    plan, rate = plans[len(done)], done[0].target_qps if done else None
    return plan if rate is None else replace(plan, target_qps=rate)


def settled(config: ExperimentConfig, run: Done) -> bool:
    """Whether a run need not be measured again: it is VALID, or it is the rate at which a search broke the bound.

    The bound is broken when the 99th percentile is above it, or too many queries for LoadGen's confidence are.
    """
    broke = any(reason.startswith(("latency_bound:", "early_stopping:")) for reason in run.reasons)
    return run.valid or (config.search_capacity and broke)


def missing_step(config: ExperimentConfig, done: Sequence[Done]) -> int | None:
    """Number (from 1) of the first run of a round that is to be measured, again or at all; None when there is none."""
    for step, run in enumerate(done, 1):
        if next_run(config, done[: step - 1]) is None:
            return None
        if not settled(config, run):
            return step
    return None if next_run(config, done) is None else len(done) + 1


def _plans(config: ExperimentConfig) -> tuple[RunPlan, ...]:
    if config.sweep:
        return tuple(RunPlan("performance", max_in_flight=count) for count in config.sweep)
    modes: dict[Mode, tuple[Mode, ...]] = {
        "test01": ("performance", "accuracy", "test01"),
        "test04": ("performance", "test04"),
    }
    return tuple(RunPlan(mode, config.target_qps) for mode in modes.get(config.mode, (config.mode,)))


def _next_step(done: Sequence[Done]) -> RunPlan | None:
    """The next rate of a ramp: none after one that was not VALID, or after the last."""
    if not done:
        return RunPlan("performance", load_share=RAMP[0])
    capacity_qps = done[0].capacity_qps
    if not done[-1].valid or len(done) >= len(RAMP) or capacity_qps is None:
        return None
    return RunPlan("performance", target_qps=RAMP[len(done)] * capacity_qps)

"""What an experiment will ask, cost and take, before it begins: between a least and a most, with its assumptions.

Nothing is measured here, and whatever is shown of it is called modelled. The least is meant to be certain enough to
refuse by: a CPU ten times as fast as the paper's, nothing tried twice. The most is what a run may be expected to need
when much goes wrong; it is no bound. A budget is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from serverless_mlperf.budget import MINUTE_S, Rate, Spending
from serverless_mlperf.config import ExperimentConfig
from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.spec import LOAD_SHARE, Mode, WarmupRule
from serverless_mlperf.plan import runs_at_most
from serverless_mlperf.platforms.local.model import cpu_share, visible_cores
from serverless_mlperf.pricing.cost import REQUESTS, Pricing, query_cost
from serverless_mlperf.reproduction.published import published_bars
from serverless_mlperf.reproduction.shape import vcpu_ms
from serverless_mlperf.workloads import Cell

FASTER: Final = 10
"""Times as fast as the paper's CPU of 2020: the least."""
SLOWER: Final = 1.5
"""Times as slow: the most."""
AROUND_CPU_MS: Final = 20
"""CPU time of a query beside the inference (image decoded and prepared, result written), at most."""
WAITING_MS: Final = 100
"""What a function waits for S3, at most."""
INIT_MS: Final = 3000
"""An init phase, at most."""
TRIGGER_S: Final = 1.0
"""From a query's object to its function's start, at most."""
AROUND_RUN_S: Final = 60
"""Deployment, calibration and collection of a run, at most; the warm-up comes on top."""
OFFLINE_MARGIN: Final = 1.32
"""Offline's query is so much longer than its duration: by our margin of 1.2, and LoadGen's of 1.1."""
WHOLE_FOLDER: Final = {"imagenet": 50_000, "coco": 5_000}
"""Images of the validation sets: the most that an answer is asked for."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """From the least to the most."""

    least: Spending
    most: Spending

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.least + other.least, self.most + other.most)

    def times(self, least: int, most: int) -> "Estimate":
        """So many of them, at least and at most."""
        return Estimate(_times(self.least, least), _times(self.most, most))


NOTHING: Final = Estimate(Spending(), Spending())


@dataclass(frozen=True, slots=True)
class Estimates:
    """The estimates of one experiment."""

    config: ExperimentConfig
    environments: Mapping[Cell, int]
    pricing: Pricing

    def experiment(self, missing: Mapping[Cell, int] | None = None) -> Estimate:
        """All of it, or what a resumed one lacks: cell -> runs, of each of which one step may be all that is left."""
        total = NOTHING
        for cell in self.config.cells:
            runs = self.config.repeat if missing is None else missing.get(cell, 0)
            if not runs:
                continue
            steps = [self.run(cell, mode) for mode in runs_at_most(self.config)]
            whole = sum(steps, NOTHING)
            if missing is not None or self.config.search_capacity:
                whole = Estimate(min((each.least for each in steps), key=lambda least: least.queries), whole.most)
            cold = self.cold_start(cell).times(self.config.cold if missing is None else 0, self.config.cold)
            total += whole.times(runs, runs * (1 + self.config.retry_invalid)) + cold
        return total

    def run(self, cell: Cell, mode: Mode) -> Estimate:
        """One try of one run, with its warm-up."""
        environments, rate, (low_ms, high_ms) = self.environments[cell], self.rate(cell), self.billed_ms(cell)
        few, many = self._samples(mode, environments, low_ms, high_ms)
        served = WarmupRule().served * environments
        at_once = environments * (1 if self.config.transport == "invoke" else 2)
        least, most = few + served, many + 2 * served + at_once
        return Estimate(
            Spending(least, least * rate.usd(low_ms), self._least_s(few, environments, low_ms)),
            Spending(
                most,
                most * rate.usd(high_ms) + environments * rate.init_ms * rate.ms_usd,
                self._most_s(many, environments, high_ms),
            ),
        )

    def cold_start(self, cell: Cell) -> Estimate:
        """One of those that are forced: one query to a function that has just been deployed."""
        rate, (low_ms, high_ms) = self.rate(cell), self.billed_ms(cell)
        most_s = AROUND_RUN_S + (INIT_MS + high_ms) / 1000 + TRIGGER_S
        return Estimate(
            Spending(1, rate.usd(low_ms), low_ms / 1000), Spending(1, rate.usd(high_ms + rate.init_ms), most_s)
        )

    def rate(self, cell: Cell) -> Rate:
        """What a query of the cell costs."""
        config, pricing = self.config, self.pricing
        requests = REQUESTS[config.transport, config.payload if config.transport == "invoke" else None]
        nothing, second = (query_cost(ms, cell.memory_mib, requests, pricing) for ms in (0, 1000))
        return Rate(
            request_usd=nothing.total_usd,
            ms_usd=(second.duration_usd - nothing.duration_usd) / 1000,
            most_ms=self.billed_ms(cell)[1],
            init_ms=INIT_MS if pricing.rules.init_billed else 0,
            rules=pricing.rules,
        )

    def billed_ms(self, cell: Cell) -> tuple[float, float]:
        """What a query of the cell may be billed for: least and most."""
        low_ms, high_ms = _demand_ms(cell)
        share = cpu_share(cell.memory_mib)
        least = low_ms / FASTER / min(share, visible_cores(cell.memory_mib))
        most = (high_ms * SLOWER + AROUND_CPU_MS) / min(share, 1.0) + WAITING_MS
        limit_ms, rules = self.config.timeout_s * 1000, self.pricing.rules
        return rules.billed_ms(min(least, limit_ms)), rules.billed_ms(min(most, limit_ms))

    def lines(self, estimate: Estimate) -> Iterator[str]:
        """For people; it says what it is."""
        least, most = estimate.least, estimate.most
        ranges = [self.billed_ms(cell) for cell in self.config.cells]
        yield (
            f"estimate (modelled): {least.queries} to {most.queries} queries, {least.usd:.6f} to {most.usd:.6f} USD, "
            f"{least.seconds / MINUTE_S:.2f} to {most.seconds / MINUTE_S:.1f} minutes"
        )
        yield (
            f"  assumed: a query is billed {min(low for low, _ in ranges):.0f} to {max(high for _, high in ranges):.0f}"
            f" ms, by the paper's CPU times over {FASTER} to times {SLOWER} on the function's share; an init phase "
            f"takes up to {INIT_MS} ms"
        )
        yield (
            f"  at most every run is tried {1 + self.config.retry_invalid} times; list prices of "
            f"{self.pricing.prices.function.as_of} ({self.pricing.region}), without the free tier"
        )
        if self.config.transport == "s3" and self.pricing.prices.queue_request_usd is None:
            yield f"  without the completion queue: {self.pricing.prices.why_unknown('queue.request_usd')}"

    def _samples(self, mode: Mode, environments: int, low_ms: float, high_ms: float) -> tuple[int, int]:
        """What LoadGen sends in one run, at least and at most."""
        config = self.config
        if mode == "accuracy":
            return self._answers()
        length = config.run_length
        floor = length.queries * config.samples_per_query
        if not length.min_duration_s:
            return floor, floor
        slow_qps, fast_qps = self._rates(environments, low_ms, high_ms)
        return max(floor, int(length.min_duration_s * slow_qps)), max(floor, round(length.min_duration_s * fast_qps))

    def _answers(self) -> tuple[int, int]:
        """Accuracy mode asks for every sample once, and MultiStream fills its last query up."""
        config = self.config
        per_query = config.samples_per_query
        most = WHOLE_FOLDER[config.dataset] if config.takes_whole_folder else config.images_at_most
        # How many images a folder has is known when it is read.
        least = most if config.dataset == "synthetic" else 1
        return least, -(-most // per_query) * per_query

    def _rates(self, environments: int, low_ms: float, high_ms: float) -> tuple[float, float]:
        """Samples per second that a run with a duration may send."""
        slow_qps, fast_qps = 1000 / (high_ms + TRIGGER_S * 1000), 1000 / low_ms
        match self.config.loadgen_scenario:
            case "SingleStream":
                return slow_qps, fast_qps
            case "MultiStream":
                return slow_qps, environments * fast_qps
            case "Server":
                asked = self.config.target_qps
                # Arrivals are random: a tenth fewer or more.
                return (0.9 * asked, 1.1 * asked) if asked else (LOAD_SHARE * slow_qps, environments * fast_qps)
        return slow_qps, environments * fast_qps * OFFLINE_MARGIN

    def _least_s(self, samples: int, environments: int, low_ms: float) -> float:
        lanes = 1 if self.config.scenario == "single-stream" else environments
        return max(self._duration_s(), samples * low_ms / 1000 / lanes)

    def _most_s(self, samples: int, environments: int, high_ms: float) -> float:
        config = self.config
        one_s = high_ms / 1000 + (TRIGGER_S if config.scenario in ("single-stream", "multi-stream") else 0)
        lanes = 1 if config.scenario == "single-stream" else environments
        rate_qps = config.target_qps or LOAD_SHARE * environments / one_s
        arriving_s = samples / rate_qps if config.scenario == "server" else 0.0
        measured_s = max(self._duration_s(), samples * one_s / lanes, arriving_s)
        return measured_s + AROUND_RUN_S + WarmupRule().deadline_s + config.wait_for_host_s

    def _duration_s(self) -> float:
        return 0.0 if self.config.mode == "accuracy" else self.config.run_length.min_duration_s


def within_budget(
    estimates: Estimates, spent: Spending = NOTHING.least, missing: Mapping[Cell, int] | None = None
) -> tuple[str, ...]:
    """What an experiment with a budget will take, in lines; raises InputError when even the least is beyond a bound."""
    budget = estimates.config.budget
    if not budget.bounded:
        return ()
    estimate = estimates.experiment(missing)
    refusal = budget.refusal(replace(spent, seconds=0.0), estimate.least)
    if refusal is not None:
        raise InputError(f"{refusal} at least (modelled); raise it, or measure less: fewer cells, --queries, --repeat")
    return tuple(estimates.lines(estimate))


def _demand_ms(cell: Cell) -> tuple[float, float]:
    """CPU time of an inference as the paper's figures have it: the least and the most of the sizes."""
    model, _, engine = cell.model_name.partition("_")
    values = [vcpu_ms(bar) for bar in published_bars() if (bar.model, bar.engine) == (model, engine)]
    known: Sequence[float] = [value for value in values if value is not None]
    return min(known), max(known)


def _times(one: Spending, count: int) -> Spending:
    return Spending(one.queries * count, one.usd * count, one.seconds * count)

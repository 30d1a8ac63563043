"""The grammar of --slo: what it takes, and what it refuses in one line."""

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.tuning.objectives import Objective, parse_objectives


@pytest.mark.parametrize(
    ("text", "objective"),
    [
        ("p99=200ms", Objective("quantile", 200, 0.99)),
        ("p99.9=1.5s", Objective("quantile", 1500, 0.999)),
        ("p50=2ms", Objective("quantile", 2, 0.5)),
        (" mean=50ms ", Objective("mean", 50)),
    ],
)
def test_latency(text: str, objective: Objective) -> None:
    """Quantiles and the mean, in ms or s; said again it is the same."""
    assert parse_objectives([text]) == (objective,)
    assert parse_objectives([objective.text]) == (objective,)


def test_others_beside_latency() -> None:
    """A cold start is bounded by its median, an accuracy from below."""
    found = parse_objectives(["p90=1s", "cold=2s", "accuracy>=0.7"])
    assert found[1:] == (Objective("cold", 2000, 0.5), Objective("accuracy", 0.7))
    assert [each.name for each in found] == ["p90", "cold", "accuracy"]


@pytest.mark.parametrize(
    "text",
    ["", "p99", "p99=200", "p99<=200ms", "p98=1ms", "p99=1m", "p99=-1ms", "p99=1e3ms", "accuracy=0.7", "accuracy>=1.1",
     "p99=nanms", "P99=1s", "p99=1ms,p90=1ms", "p99=1ms\np90=1ms"],
)  # fmt: skip
def test_what_is_none_is_refused(text: str) -> None:
    """With the grammar in the line."""
    with pytest.raises(InputError, match="is no objective; known are p50, p90") as refused:
        parse_objectives([text])
    assert "p99=200ms" in str(refused.value)


@pytest.mark.parametrize("text", ["p99=0ms", "p99=901s", "cold=0s"])
def test_bound_has_a_range(text: str) -> None:
    """Nothing takes no time, and nothing takes longer than an invocation may."""
    with pytest.raises(InputError, match="at most 900 s"):
        parse_objectives([text])


def test_said_twice_is_refused() -> None:
    """Also with the same bound."""
    with pytest.raises(InputError, match="p99 is given twice"):
        parse_objectives(["p99=1s", "p99=1s"])


@pytest.mark.parametrize("texts", [[], ["cold=2s"], ["accuracy>=0.5", "cold=2s"]])
def test_one_must_be_of_latency(texts: list[str]) -> None:
    """It is what warm queries are measured for."""
    with pytest.raises(InputError, match="no objective of latency"):
        parse_objectives(texts)

"""LoadGen's settings."""

from dataclasses import replace
from typing import Any, get_args

import pytest

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.settings import LoadGenSettings
from serverless_mlperf.mlperf.settings import test_settings as make_test_settings
from serverless_mlperf.mlperf.spec import Scenario, Seeds

SETTINGS = LoadGenSettings("ssd-mobilenet", "Offline", "performance", 7, sample_count=3, performance_sample_count=3)


def _values(made: Any) -> dict[str, Any]:
    return {name: getattr(made, name) for name in dir(made) if not name.startswith("_") and name != "FromConfig"}


def test_embedded_configuration_is_read_and_overruled_where_needed() -> None:
    """The wheel's mlperf.conf gives the seeds; its leftover sample count for ssd-mobilenet does not count."""
    made = make_test_settings(SETTINGS)
    assert made.qsl_rng_seed > 0
    assert (made.min_query_count, made.min_duration_ms, made.performance_sample_count_override) == (7, 0, 0)


def test_settings_do_not_depend_on_the_ones_made_before() -> None:
    """LoadGen keeps state between calls for user configurations; not for the embedded one."""
    assert _values(make_test_settings(SETTINGS)) == _values(make_test_settings(SETTINGS))


def test_seeds_that_are_given_replace_the_rounds() -> None:
    """The others stay."""
    usual = make_test_settings(SETTINGS)
    made = make_test_settings(replace(SETTINGS, seeds=Seeds(schedule=5)))
    assert (made.schedule_rng_seed, made.qsl_rng_seed) == (5, usual.qsl_rng_seed)


@pytest.mark.parametrize("scenario", get_args(Scenario))
def test_every_scenario_has_a_row(scenario: Scenario) -> None:
    """LoadGen's four."""
    assert make_test_settings(replace(SETTINGS, scenario=scenario, target_qps=1.0)).scenario.name == scenario


@pytest.mark.parametrize(("mode", "expected"), [("performance", 7), ("accuracy", 3)])
def test_expected_count(mode: Any, expected: int) -> None:
    """Accuracy mode issues every sample once, whatever count is asked."""
    assert replace(SETTINGS, mode=mode).expected == expected


def test_server_without_a_rate_is_refused() -> None:
    """LoadGen's own default of one query per second is nobody's wish."""
    with pytest.raises(RunError, match="--target-qps"):
        make_test_settings(replace(SETTINGS, scenario="Server"))

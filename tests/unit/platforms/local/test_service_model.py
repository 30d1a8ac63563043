"""How the service behaves, as values: what is refused, and what is Lambda's where nothing is said."""

from typing import Any

import pytest

from serverless_mlperf.errors import InputError
from serverless_mlperf.platforms.local.service_model import ServiceModel


def test_limits_are_lambdas_unless_told_otherwise() -> None:
    """An init phase has 10 s, an account 1,000 invocations at once, and its clock is the real one."""
    model = ServiceModel()
    assert (model.init_limit_s, model.account_concurrency, model.clock_speed) == (10.0, 1000, 1.0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"init_limit_s": 0.0}, "--init-limit-s: 0.0 must be a number of seconds above 0; Lambda has 10"),
        ({"init_limit_s": float("nan")}, "--init-limit-s: nan must"),
        ({"init_limit_s": float("inf")}, "--init-limit-s: inf must"),
        ({"account_concurrency": 0}, "--account-concurrency: 0 must be at least 1"),
        ({"scale_up": 0}, "--scale-up: 0 must be at least 1"),
        ({"clock_speed": -1.0}, "--clock-speed: "),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    """In one line that names the option."""
    with pytest.raises(InputError, match=f"^{words}"):
        ServiceModel(**fields)

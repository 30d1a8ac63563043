"""Cells measured one after the other on a platform that fails between them."""

from dataclasses import replace
import io
from pathlib import Path

import pytest
from rich.console import Console

from serverless_mlperf.cells import Cells
from serverless_mlperf.config import load_config
from serverless_mlperf.functions import functions_of
from serverless_mlperf.platforms.base import FunctionConfig, Target
from serverless_mlperf.platforms.local.platform import LocalPlatform
from serverless_mlperf.platforms.table import make_provider
from serverless_mlperf.preparation import prepare
from serverless_mlperf.pricing.billing import PRESENT_RULES
from serverless_mlperf.pricing.cost import Pricing
from serverless_mlperf.pricing.table import load_prices
from serverless_mlperf.resume import stored_settings
from serverless_mlperf.store import ResultsFolder

PRICING = Pricing("us-east-1", load_prices().region("us-east-1"), PRESENT_RULES)


class NotRetiring(LocalPlatform):
    """A platform that forgets its function before it is to be removed."""

    def retire(self, target: Target) -> None:
        """Remove it twice: the second time it is not there."""
        super().retire(target)
        super().retire(target)


class Starving(LocalPlatform):
    """A platform that gives a function half of the CPU that its memory size stands for."""

    def deploy(self, config: FunctionConfig) -> Target:
        """Deploy at half the size."""
        return super().deploy(replace(config, memory_mib=config.memory_mib // 2))


def measure(
    platform_class: type[LocalPlatform], output: Path, retries: int, *memory_mib: int
) -> tuple[ResultsFolder, dict[str, str], str]:
    """A folder with some cells of one engine, what failed, and what was printed."""
    config = load_config(
        None,
        {"tasks": ["classification"], "engine_and_formats": ["ie-ir"], "memory_mib": memory_mib, "samples": 8,
         "queries": 4, "retry_invalid": retries, "wait_for_host_s": 0, "output": output},
    )  # fmt: skip
    preparation = prepare(config, make_provider(config.platform, config.wishes).packages, lambda _: None)
    names = [cell.name for cell in config.cells]
    folder = ResultsFolder.create(output, stored_settings(config), names, preparation.digests())
    out = io.StringIO()
    functions = functions_of(config, preparation, dict.fromkeys(config.cells, 1))
    with platform_class(config.bucket_name) as platform:
        console = Console(file=out, soft_wrap=True)
        failures = Cells(config, preparation, platform, folder, console, functions, PRICING).measure_missing()
    return folder, failures, out.getvalue()


def test_failed_retirement_loses_no_result(tmp_path: Path) -> None:
    """A function that cannot be removed is reported; its cell is measured, and so is the next one."""
    folder, failures, printed = measure(NotRetiring, tmp_path, 0, 1769, 3008)
    assert failures == {}
    assert [(r.memory_mib, r.files, r.tries) for r in folder.results()] == [(1769, 4, 1), (3008, 4, 1)]
    for memory_mib in (1769, 3008):
        name = f"classification-ie-ir-{memory_mib}"
        assert f"cell {name}: its function was not retired in order: local platform: DELETE" in printed


@pytest.mark.alone
def test_share_that_was_not_given_is_measured_again(tmp_path: Path) -> None:
    """A run whose function had less CPU than its size stands for is tried as often as allowed, and stays INVALID."""
    folder, failures, _ = measure(Starving, tmp_path, 1, 768)
    assert failures == {}
    (result,) = folder.results()
    assert (result.valid, result.tries) == (False, 2)
    assert any(reason.startswith("host_limited:") for reason in result.reasons)

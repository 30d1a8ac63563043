"""Cells measured one after the other on a platform that fails between them."""

import io
from pathlib import Path

from rich.console import Console

from serverless_mlperf.cells import Cells
from serverless_mlperf.config import load_config
from serverless_mlperf.platforms.base import Target
from serverless_mlperf.platforms.local.platform import LocalPlatform
from serverless_mlperf.preparation import prepare
from serverless_mlperf.resume import stored_settings
from serverless_mlperf.store import ResultsFolder


class NotRetiring(LocalPlatform):
    """A platform that forgets its function before it is to be removed."""

    def retire(self, target: Target) -> None:
        """Remove it twice: the second time it is not there."""
        super().retire(target)
        super().retire(target)


def test_failed_retirement_loses_no_result(tmp_path: Path) -> None:
    """A function that cannot be removed is reported; its cell is measured, and so is the next one."""
    config = load_config(
        None,
        {"tasks": ["classification"], "engine_and_formats": ["ie-ir"], "memory_mib": [1769, 3008], "samples": 8,
         "queries": 4, "retry_invalid": 0, "wait_for_host_s": 0, "output": tmp_path},
    )  # fmt: skip
    preparation = prepare(config, lambda _: None)
    names = [cell.name for cell in config.cells]
    folder = ResultsFolder.create(tmp_path, stored_settings(config), names, preparation.digests())
    out = io.StringIO()
    with NotRetiring(config.bucket_name) as platform:
        cells = Cells(
            config, preparation, platform, folder, Console(file=out, soft_wrap=True), dict.fromkeys(config.cells, 1)
        )
        failures = cells.measure_missing()
    assert failures == {}
    assert [(r.memory_mib, r.files, r.tries) for r in folder.results()] == [(1769, 4, 1), (3008, 4, 1)]
    printed = out.getvalue()
    for name in names:
        assert f"cell {name}: its function was not retired in order: local platform: DELETE" in printed

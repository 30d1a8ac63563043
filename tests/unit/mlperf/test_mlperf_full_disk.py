"""A run whose results find no room: no result, one line that says so, and nothing that looks like a whole run."""

from pathlib import Path

from mlperf_specs import fake_spec
import pytest

from full_disk import file_limit
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.launch import run_process


def test_run_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """The records of 100 queries do not fit into 20 KB: the run ends with the reason and its folder."""
    with file_limit(20_000), pytest.raises(RunError, match="File too large") as caught:
        run_process(fake_spec(tmp_path / "run"), lambda _: None)
    assert str(tmp_path / "run") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "queries.jsonl").exists()

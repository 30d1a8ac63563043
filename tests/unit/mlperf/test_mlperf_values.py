"""Specification and LoadGen's detail log."""

from dataclasses import replace
from pathlib import Path

from mlperf_specs import fake_spec
import pytest

from serverless_mlperf.errors import InputError, RunError
from serverless_mlperf.mlperf.logs import read_detail
from serverless_mlperf.mlperf.spec import DriverResult, dump_result, dump_spec, load_result, load_spec
from serverless_mlperf.platforms.base import Credentials


def test_spec_survives_the_pipe(tmp_path: Path) -> None:
    """One line of JSON, everything kept, credentials included."""
    spec = fake_spec(tmp_path, credentials=Credentials("a", "b", "c"))
    line = dump_spec(spec)
    assert b"\n" not in line
    assert load_spec(line) == spec


def test_damaged_spec_names_the_field_but_no_secret(tmp_path: Path) -> None:
    """An error message never quotes the document."""
    document = dump_spec(fake_spec(tmp_path, credentials=Credentials("a", "hush"))).replace(b'"Offline"', b'"Often"')
    with pytest.raises(InputError, match="scenario") as caught:
        load_spec(document)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"samples": ()}, {"query_count": 0}, {"run": "a/b"}, {"run": ""}])
def test_nonsense_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    """A run needs samples, queries and a name fit for a key."""
    with pytest.raises(InputError):
        replace(fake_spec(tmp_path), **changes)  # type: ignore[arg-type]


def test_result_survives_the_file() -> None:
    """driver.json reads back as it was."""
    result = DriverResult("r", "Offline", "performance", 3, environments={"e": 3}, settings={"min_duration_ms": 0})
    assert load_result(dump_result(result)) == result
    with pytest.raises(InputError, match="damaged"):
        load_result(b"{}")


def test_detail_log_is_read_line_by_line(tmp_path: Path) -> None:
    """Errors are collected, a cut last line and foreign lines are skipped."""
    lines = [
        ':::MLLOG {"key": "effective_min_query_count", "value": 1, "metadata": {"is_error": false}}',
        ':::MLLOG {"key": "result_validity", "value": "VALID", "metadata": {"is_error": false}}',
        ':::MLLOG {"key": "error_runtime", "value": "twice", "metadata": {"is_error": true}}',
        ':::MLLOG {"key": "warning_generic", "value": "slow", "metadata": {"is_error": false, "is_warning": true}}',
        "something else",
        ':::MLLOG {"key": "cu',
    ]
    (tmp_path / "mlperf_log_detail.txt").write_text("\n".join(lines))
    log = read_detail(tmp_path)
    assert (log.validity, log.errors, log.warnings) == (
        "VALID",
        ("error_runtime: twice",),
        ("warning_generic: slow",),
    )
    assert log.effective == {"min_query_count": 1}
    assert log.issued is None


def test_missing_log_is_a_run_error(tmp_path: Path) -> None:
    """LoadGen that left no log did not run."""
    with pytest.raises(RunError, match="no log"):
        read_detail(tmp_path)

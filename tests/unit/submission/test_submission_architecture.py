"""Cells of another architecture in a submission: their names are read back, and their commands name it."""

import pytest

from serverless_mlperf.submission.measured import _cell
from serverless_mlperf.submission.rerun import _architectures
from serverless_mlperf.workloads import Cell

CELL = Cell("object_detection", "ocv-tf", 1536)
ARM = Cell("object_detection", "ocv-tf", 1536, "arm64")


@pytest.mark.parametrize("cell", [CELL, ARM])
def test_name_leads_back_to_the_cell(cell: Cell) -> None:
    """Of both architectures."""
    assert _cell(cell.name) == cell


@pytest.mark.parametrize("name", ["object_detection-ocv-tf-1536-mips", "object_detection-ocv-tf-arm64", "../x-arm64"])
def test_any_other_name_is_refused(name: str) -> None:
    """It might point anywhere."""
    with pytest.raises(ValueError, match="no cell"):
        _cell(name)


def test_commands_name_architectures_where_they_must() -> None:
    """x86_64 is what a run has anyway."""
    assert [_architectures(cells) for cells in ([CELL], [ARM], [CELL, ARM])] == [[], ["arm64"], ["x86_64", "arm64"]]

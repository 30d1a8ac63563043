"""An experiment over a damaged model and a damaged picture: what fails is told in words, what can be measured is."""

from dataclasses import fields
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from serverless_mlperf.cells import Cells
from serverless_mlperf.config import ExperimentConfig, load_config
from serverless_mlperf.experiment import report
from serverless_mlperf.functions import functions_of
from serverless_mlperf.platforms.local.platform import LocalPlatform
from serverless_mlperf.platforms.table import make_provider
from serverless_mlperf.preparation import Preparation, prepare
from serverless_mlperf.pricing.billing import PRESENT_RULES
from serverless_mlperf.pricing.cost import Pricing
from serverless_mlperf.pricing.table import load_prices
from serverless_mlperf.store import ResultsFolder

MODEL = "models/mobilenetv1/FP32/mobilenet_v1_224_frozen.bin"
PRICING = Pricing("us-east-1", load_prices().region("us-east-1"), PRESENT_RULES)
FAILED, MEASURED = "classification-ie-ir-1536", "object_detection-ie-ir-1536"


class Altered(Preparation):
    """Uploads one model with a flipped bit and one picture without its second half."""

    def objects(self) -> dict[str, Path]:
        """The experiment's objects but for these two."""
        objects = super().objects()
        folder = objects[MODEL].parent / "altered"
        picture = self.datasets["object_detection"].samples[-1].key
        model = bytearray(objects[MODEL].read_bytes())
        model[len(model) // 2] ^= 1
        folder.mkdir(exist_ok=True)
        (folder / "model").write_bytes(model)
        (folder / "picture").write_bytes(objects[picture].read_bytes()[:2000])
        return {**objects, MODEL: folder / "model", picture: folder / "picture"}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResultsFolder, str, int]:
    """The results folder of an experiment of two cells, what it printed, and its exit status."""
    folder, printed = tmp_path_factory.mktemp("hostile"), io.StringIO()
    options = {"engine_and_formats": ["ie-ir"], "memory_mib": [1536], "samples": 8, "queries": 12}
    config: ExperimentConfig = load_config(
        None, {**options, "concurrency": 1, "retry_invalid": 0, "wait_for_host_s": 0, "output": folder}
    )
    console = Console(file=printed, soft_wrap=True)
    made = prepare(config, make_provider(config.platform, config.wishes).packages, console.print)
    preparation = Altered(**{field.name: getattr(made, field.name) for field in fields(made)})
    results = ResultsFolder.create(folder / "results", {}, [cell.name for cell in config.cells], {})
    with LocalPlatform(config.bucket_name) as platform:
        functions = functions_of(config, preparation, dict.fromkeys(config.cells, 1))
        failures = Cells(config, preparation, platform, results, console, functions, PRICING).measure_missing()
    return results, printed.getvalue(), report(results, failures, console)


def test_cell_of_the_damaged_model_says_so(ended: tuple[ResultsFolder, str, int]) -> None:
    """One line names the cell, the function's error and the file; the status says that something failed."""
    _, printed, status = ended
    (line,) = [line for line in printed.splitlines() if line.startswith(f"cell {FAILED} failed: ")]
    assert f"function serverless-mlperf-{FAILED} fails: EngineError: {MODEL} is not the file that was deployed" in line
    assert line.endswith("upload the model again")
    assert status == 1


def test_next_cell_is_measured(ended: tuple[ResultsFolder, str, int]) -> None:
    """The failed cell does not stop the experiment."""
    results, _, _ = ended
    (run,) = (results.path / "cells" / MEASURED).iterdir()
    records = [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]
    assert len(records) == 12
    assert sum(record["verdict"] == "ok" for record in records) >= 8


def test_damaged_picture_makes_the_run_invalid_with_its_count(ended: tuple[ResultsFolder, str, int]) -> None:
    """Each query of that picture is an error record in errors/, and the verdict counts them."""
    results, printed, _ = ended
    (run,) = (results.path / "cells" / MEASURED).iterdir()
    found = [json.loads(path.read_text())["error"] for path in (run / "errors").iterdir()]
    assert {error["type"] for error in found} == {"BadImage"}
    assert all(error["message"].startswith("damaged image: image file is truncated") for error in found)
    validity = json.loads((run / "validity.json").read_text())
    assert validity["verdict"] == "INVALID"
    evidence = {reason["code"]: reason["evidence"] for reason in validity["reasons"]}
    assert evidence["errors"] == f"{len(found)} of 12 queries: error results"
    assert f"{len(found)} of 12 queries: error results" in printed

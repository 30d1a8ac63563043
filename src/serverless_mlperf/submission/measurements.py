"""measurements.json: what became of the weights, by the digests and settings that the results name."""

from typing import Final

from serverless_mlperf.models.weights import EMBEDDED, WEIGHT_FILES
from serverless_mlperf.submission.choice import Entry
from serverless_mlperf.submission.fields import Found

_FORMATS: Final = {"ie-ir": "OpenVINO IR", "ocv-cf": "Caffe", "ocv-tf": "a frozen TensorFlow graph"}
_TRAINED: Final = "Yes: trained from random numbers on synthetic pictures, not on the workload's data set"
_COMPACT: Final = "int8 codes with a scale per channel restored to fp32, channels without influence added"
"""docs/embedded-model.md."""
_FOLDED: Final = "batch normalisation is folded in the file"


def describe_measurement(entry: Entry) -> Found:
    """The five keys; None for `retraining` of weights that the user brought: only the user knows."""
    run = next(iter(entry.runs.values()))
    embedded = run.experiment.environment.get("weights", {}).get("source") == EMBEDDED
    bf16 = run.experiment.settings.get("precision") == "bf16"
    task = entry.cell.task
    converted = f"converted to {_FORMATS[entry.cell.engine_and_format]}"
    return {
        "input_data_types": "fp32",
        "retraining": _TRAINED if embedded else None,
        "starting_weights_filename": f"{EMBEDDED}/{task}.npz" if embedded else WEIGHT_FILES[task],
        "weight_data_types": "fp32 in the files, bf16 in the engine" if bf16 else "fp32",
        "weight_transformations": f"{_COMPACT if embedded else _FOLDED}; {converted}; not pruned",
    }

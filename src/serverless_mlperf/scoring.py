"""The accuracy of a run: its answers from LoadGen's log or the outputs, scored, and held against the reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
import json
from pathlib import Path
from typing import Final, Literal

from serverless_mlperf.accuracy import Accuracy, Results, encoded, ground_truth, score
from serverless_mlperf.datasets.base import Dataset
from serverless_mlperf.mlperf.logs import read_accuracy
from serverless_mlperf.mlperf.spec import Mode
from serverless_mlperf.records import Record
from serverless_mlperf.workloads import WORKLOADS, AccuracyTarget

AccuracySource = Literal["accuracy log", "outputs"]
TRUTH: Final = "truth"
"""Folder of a run in accuracy mode that holds the labels in the form MLPerf's accuracy scripts read."""


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of a run, where it comes from, and what the FP32 reference reaches on the same images."""

    accuracy: Accuracy
    source: AccuracySource
    target: AccuracyTarget
    reference: float | None = None
    """The reference's Top-1 or AP; None with a reason."""
    reason: str | None = None

    @property
    def ratio(self) -> float | None:
        """Measured over reference; None where either is missing or the reference finds nothing."""
        value = self.accuracy.value
        return None if value is None or not self.reference else value / self.reference


def score_run(
    mode: Mode, dataset: Dataset, records: Sequence[Record], folder: Path, reference: Accuracy | None
) -> Score:
    """Score the run in `folder`; `reference` is that of the whole data set. Raises RunError.

    In accuracy mode LoadGen's log is the only source, and every sample must be in it. In performance mode LoadGen logs
    no answers, so the outputs are scored, and a ratio exists only when every image of the data set was among them.
    """
    target = WORKLOADS[dataset.task].accuracy_target
    if mode == "accuracy":
        answers = read_accuracy(folder / "loadgen", len(dataset.samples))
        write_truth(dataset, folder / TRUTH)
        return _held(Score(score(dataset, answers), "accuracy log", target), reference)
    results = results_of(records, folder / "output")
    measured = Score(score(dataset, encoded(dataset.task, results)), "outputs", target)
    if len(results) < len(dataset.samples):
        return replace(measured, reason=f"{len(results)} of {len(dataset.samples)} images were queried")
    return _held(measured, reference)


def results_of(records: Sequence[Record], output: Path) -> Results:
    """Rows by sample; a sample that was sent several times counts once, one never answered is None."""
    answered = {r.sample_index: output / f"{r.key}.json" for r in records if r.verdict == "ok"}
    rows = {index: json.loads(path.read_text())["result"] for index, path in answered.items()}
    return {**dict.fromkeys(r.sample_index for r in records), **rows}


def write_truth(dataset: Dataset, folder: Path) -> None:
    """Write the labels as accuracy-imagenet.py (`val_map.txt`) or accuracy-coco.py (`--coco-dir`) reads them.

    In the order of the samples, on which both scripts rely; the data set's own files may list more images.
    """
    if dataset.task == "classification":
        folder.mkdir()
        # The script splits at white space and only prints the name.
        lines = [f"{sample.path.name.replace(' ', '_')} {sample.label}\n" for sample in dataset.samples]
        (folder / "val_map.txt").write_text("".join(lines))
    else:
        (folder / "annotations").mkdir(parents=True)
        (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(ground_truth(dataset)))


def _held(measured: Score, reference: Accuracy | None) -> Score:
    if measured.accuracy.value is None:
        return replace(measured, reason=measured.accuracy.reason)
    if reference is None:
        return replace(measured, reason="no reference was computed")
    if not reference.value:
        return replace(measured, reason=f"the reference's {measured.target.metric} is {reference.value}")
    return replace(measured, reference=reference.value)

"""The accuracy of whole runs: from LoadGen's log in accuracy mode, from the outputs in performance mode."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlperf_specs import fake_spec
import pytest

from official_scripts import imagenet_counts
from serverless_mlperf.accuracy import ClassificationAccuracy, encoded, score
from serverless_mlperf.datasets.base import Dataset, Sample
from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.launch import run_process
from serverless_mlperf.mlperf.logs import read_accuracy
from serverless_mlperf.mlperf.spec import Scenario
from serverless_mlperf.records import Record, read_records
from serverless_mlperf.scoring import Score, results_of, score_run

COUNT = 20
REFERENCE = ClassificationAccuracy(0.5, 0.6, COUNT)


def dataset(count: int = COUNT) -> Dataset:
    """Samples whose class the fake platform gets right at every second one: it answers network class = index."""
    samples = tuple(
        Sample(n, f"imagenet/{n}.jpg", Path(f"a picture {n}.jpg"), label=n - n % 2 * 3 - 1 if n > 2 else 7)
        for n in range(count)
    )
    return Dataset("imagenet", "classification", samples, "d", {})


def measured(folder: Path, **changes: Any) -> list[Record]:
    """Run against the fake platform."""
    changes = {"mode": "accuracy", **changes}
    run_process(fake_spec(folder, **changes), lambda _: None)
    return list(read_records(folder / "queries.jsonl"))


def accuracy_run(folder: Path, **changes: Any) -> tuple[Score, list[Record]]:
    """Run in accuracy mode and score."""
    records = measured(folder, **changes)
    return score_run("accuracy", dataset(), records, folder, REFERENCE), records


def top1(measured: Score) -> float | None:
    """Top-1, which a classifier's score has."""
    assert isinstance(measured.accuracy, ClassificationAccuracy)
    return measured.accuracy.top1


@pytest.mark.parametrize("scenario", ["Offline", "SingleStream", "MultiStream", "Server"])
@pytest.mark.parametrize("performance_sample_count", [1024, 7])
def test_log_has_every_sample_and_says_what_the_outputs_say(
    tmp_path: Path, scenario: Scenario, performance_sample_count: int
) -> None:
    """In every scenario, however many samples are kept ready: the log's bytes are the outputs', for all 20 samples."""
    found, records = accuracy_run(tmp_path, scenario=scenario, performance_sample_count=performance_sample_count)
    assert {record.sample_index for record in records} == set(range(COUNT))
    if scenario != "MultiStream":  # which fills its last query up to eight samples
        assert len(records) == COUNT
    delivered = encoded("classification", results_of(records, tmp_path / "output"))
    assert read_accuracy(tmp_path / "loadgen", COUNT) == delivered
    assert score(dataset(), delivered) == found.accuracy
    assert found.source == "accuracy log"
    assert (top1(found), found.ratio) == (8 / COUNT, 8 / COUNT / 0.5)


def test_lost_queries_are_wrong_answers(tmp_path: Path) -> None:
    """What was lost, refused or an error is in the log as class -1, the rest as answered."""
    found, records = accuracy_run(tmp_path, fake={"loss": 0.2, "error": 0.3, "send_error": 0.2, "faults_after": 12})
    verdicts = {record.sample_index: record.verdict for record in records}
    answers = read_accuracy(tmp_path / "loadgen", COUNT)
    wrong = {n for n, data in answers.items() if data == bytes.fromhex("000080bf" * 5)}
    assert set(verdicts.values()) >= {"ok", "error"}
    assert wrong == {n for n, verdict in verdicts.items() if verdict != "ok"} | ({0} if verdicts[0] == "ok" else set())
    right = [n for n, verdict in verdicts.items() if verdict == "ok" and n > 2 and n % 2 == 0]
    assert top1(found) == len(right) / COUNT


def test_mlperfs_script_reads_the_run(tmp_path: Path) -> None:
    """accuracy-imagenet.py's reading of log and `truth/val_map.txt` gives the same count."""
    found, _ = accuracy_run(tmp_path)
    log = tmp_path / "loadgen" / "mlperf_log_accuracy.json"
    assert imagenet_counts(log, tmp_path / "truth" / "val_map.txt") == (8, COUNT)
    assert top1(found) == 8 / COUNT


def test_cut_log_is_an_error(tmp_path: Path) -> None:
    """A log that lost its end is not scored, though the outputs are whole."""
    records = measured(tmp_path)
    log = tmp_path / "loadgen" / "mlperf_log_accuracy.json"
    log.write_bytes(log.read_bytes()[:-40])
    with pytest.raises(RunError, match="not a whole accuracy log"):
        score_run("accuracy", dataset(), records, tmp_path, REFERENCE)


def test_performance_run_is_scored_by_its_outputs(tmp_path: Path) -> None:
    """Without a log, the outputs are scored; the ratio is there because all 20 images were queried."""
    records = measured(tmp_path, mode="performance", query_count=50)
    found = score_run("performance", dataset(), records, tmp_path, REFERENCE)
    assert (found.source, top1(found), found.ratio) == ("outputs", 0.4, 0.8)
    assert found.accuracy.sample_count == COUNT


@pytest.mark.parametrize(
    ("changes", "reference", "said"),
    [
        ({"query_count": 12}, REFERENCE, "12 of 20 images were queried"),
        ({"query_count": 20}, None, "no reference was computed"),
        ({"query_count": 20}, replace(REFERENCE, top1=0.0), "the reference's Top-1 is 0.0"),
    ],
)
def test_no_ratio_has_a_reason(
    tmp_path: Path, changes: Mapping[str, Any], reference: ClassificationAccuracy | None, said: str
) -> None:
    """A part of the images, or no figure to divide by: None, and why."""
    records = measured(tmp_path, mode="performance", **changes)
    found = score_run("performance", dataset(), records, tmp_path, reference)
    assert (found.ratio, found.reason) == (None, said)
    assert top1(found) is not None

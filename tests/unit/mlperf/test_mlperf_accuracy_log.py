"""LoadGen's accuracy log: read whole or not at all, and light to read in the process of a run."""

import json
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from serverless_mlperf.errors import RunError
from serverless_mlperf.mlperf.logs import read_accuracy

ENTRIES = [{"seq_id": 0, "qsl_idx": 1, "data": "0000803F"}, {"seq_id": 1, "qsl_idx": 0, "data": "00"}]


def write(folder: Path, text: str) -> Path:
    """Write a log."""
    (folder / "mlperf_log_accuracy.json").write_text(text)
    return folder


def test_answers_by_sample(tmp_path: Path) -> None:
    """Hex of either case becomes bytes by sample index; a key of other models is ignored."""
    entries = [{**ENTRIES[0], "n_tokens": 3}, ENTRIES[1]]
    assert read_accuracy(write(tmp_path, json.dumps(entries)), 2) == {1: bytes.fromhex("0000803f"), 0: b"\0"}


def test_first_of_repeated_samples_counts(tmp_path: Path) -> None:
    """As in accuracy-imagenet.py (lines 59-62) and accuracy-coco.py (lines 76-79)."""
    again = {"seq_id": 2, "qsl_idx": 0, "data": "ff"}
    assert read_accuracy(write(tmp_path, json.dumps([*ENTRIES, again])), 2)[0] == b"\0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "EOF"),
        ('[\n{ "seq_id" : 0, "qsl_idx" : 1, "data" : "00" },\n{ "seq_id" : 1, "qsl', "EOF"),
        ('[{"seq_id": 0, "qsl_idx": 0, "data": "00"}', "EOF"),
        ("{}", "array"),
        ('[{"seq_id": 0, "qsl_idx": 0}]', "required"),
        ('[{"seq_id": 0, "qsl_idx": "0", "data": "00"}]', "integer"),
        ('[{"seq_id": 0, "qsl_idx": 0.5, "data": "00"}]', "integer"),
        ('[{"seq_id": 0, "qsl_idx": 0, "data": 7}]', "string"),
        ('[{"seq_id": 0, "qsl_idx": 0, "data": "0g"}]', "hexadecimal"),
        ('[{"seq_id": 0, "qsl_idx": 0, "data": "000"}]', "hexadecimal"),
        ("[]", "0 samples, not 0 to 1"),
        (json.dumps(ENTRIES[:1]), "1 samples, not 0 to 1"),
        (json.dumps([ENTRIES[0], {**ENTRIES[1], "qsl_idx": 2}]), "2 samples, not 0 to 1"),
        (json.dumps([ENTRIES[0], {**ENTRIES[1], "qsl_idx": -1}]), "2 samples, not 0 to 1"),
    ],
)
def test_damaged_log_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    """Cut off, malformed or without a sample: one line that names the file and what is wrong."""
    with pytest.raises(RunError, match=said) as caught:
        read_accuracy(write(tmp_path, text), 2)
    assert "mlperf_log_accuracy.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_log_is_a_run_error(tmp_path: Path) -> None:
    """A log that is not there is named."""
    with pytest.raises(RunError, match="no accuracy log"):
        read_accuracy(tmp_path, 1)


@pytest.mark.parametrize("module", ["numpy", "pycocotools", "onnxruntime"])
def test_process_of_a_run_stays_light(module: str) -> None:
    """Encoding and reading answers bring nothing heavy into the timed process."""
    code = f"import sys, serverless_mlperf.mlperf.process; sys.exit({module!r} in sys.modules)"
    done: subprocess.CompletedProcess[Any] = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0

"""Accuracy as a submission shows it: the line of MLPerf's accuracy script, the log's hash, and the log cut short."""

import hashlib
from typing import Final

from serverless_mlperf.errors import InputError
from serverless_mlperf.submission.measured import MeasuredRun

LOG: Final = "mlperf_log_accuracy.json"
MAX_LOG_BYTES: Final = 10 * 1024
"""submission_checker/constants.py, MAX_ACCURACY_LOG_SIZE."""
VIEWABLE_BYTES: Final = 4096
"""Kept of either end of a longer log (truncate_accuracy_log.py, VIEWABLE_SIZE)."""


def accuracy_text(run: MeasuredRun) -> str:
    """accuracy.txt; raises InputError for a run without a score."""
    return f"{score_line(run)}\n{hash_line(run)}"


def score_line(run: MeasuredRun) -> str:
    """As accuracy-imagenet.py and accuracy-coco.py print it: three decimals of a percentage. Raises InputError."""
    result = run.result
    if result.task == "classification" and result.top1 is not None:
        good = round(result.top1 * result.accuracy_samples)
        return f"accuracy={100 * result.top1:.3f}%, good={good}, total={result.accuracy_samples}"
    if result.task == "object_detection" and result.ap is not None:
        return f"mAP={100 * result.ap:.3f}%"
    raise InputError(f"{run.folder}: an accuracy run without a score; measure it again with a labelled data set")


def hash_line(run: MeasuredRun) -> str:
    """The hash of the whole log: what was cut off can be asked for later."""
    return f"hash={hashlib.sha256(_content(run)).hexdigest()}\n"


def shortened(run: MeasuredRun) -> bytes:
    """The accuracy log if it is short enough, else its ends, as MLPerf's tool leaves them."""
    content = _content(run)
    if len(content) < MAX_LOG_BYTES:
        return content
    return content[:VIEWABLE_BYTES] + b"\n\n...\n\n" + content[-VIEWABLE_BYTES:]


def _content(run: MeasuredRun) -> bytes:
    path = run.logs / LOG
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); measure the run again") from error

"""LoadGen's own account of a test: mlperf_log_detail.txt and, in accuracy mode, mlperf_log_accuracy.json."""

from collections.abc import Mapping
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from serverless_mlperf.errors import RunError

_PREFIX: Final = ":::MLLOG "


@dataclass(frozen=True, slots=True)
class _AccuracyEntry:
    """One response."""

    __pydantic_config__: ClassVar = ConfigDict(strict=True)

    seq_id: int
    qsl_idx: int
    data: str


_ACCURACY: Final = TypeAdapter(list[_AccuracyEntry])


@dataclass(frozen=True, slots=True)
class DetailLog:
    """Last value of each key, and everything marked as an error or a warning."""

    values: Mapping[str, Any]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def validity(self) -> str | None:
        """VALID or INVALID; None where LoadGen gives no verdict (accuracy mode, or a test that did not end)."""
        value = self.values.get("result_validity")
        return None if value is None else str(value)

    @property
    def issued(self) -> int | None:
        """Samples LoadGen generated, by its own account."""
        queries, samples = self.values.get("generated_query_count"), self.values.get("generated_samples_per_query")
        return None if queries is None or samples is None else int(queries) * int(samples)

    @property
    def results(self) -> dict[str, Any]:
        """What LoadGen computed."""
        return {key: value for key, value in self.values.items() if key.startswith(("result_", "early_stopping_"))}

    @property
    def effective(self) -> dict[str, Any]:
        """The settings the test really ran with."""
        names = [*(key for key in self.values if key.startswith("effective_")), "loadgen_version"]
        return {key.removeprefix("effective_"): self.values[key] for key in names if key in self.values}


def read_detail(folder: Path) -> DetailLog:
    """Read the detail log of a finished test; raises RunError when there is none."""
    path = folder / "mlperf_log_detail.txt"
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise RunError(f"LoadGen left no log: {path}: {error.strerror}") from error
    values: dict[str, Any] = {}
    errors: list[str] = []
    warnings: list[str] = []
    for entry in filter(None, map(_entry, lines)):
        values[entry["key"]] = entry["value"]
        metadata = entry.get("metadata", {})
        if metadata.get("is_error"):
            errors.append(f"{entry['key']}: {entry['value']}")
        elif metadata.get("is_warning"):
            warnings.append(f"{entry['key']}: {entry['value']}")
    return DetailLog(values, tuple(errors), tuple(warnings))


def read_accuracy(folder: Path, sample_count: int) -> dict[int, bytes]:
    """Response of every sample, by sample index; raises RunError unless the log is whole and has all of them.

    A sample may occur several times (MultiStream fills its last query up): the first response counts, as in MLPerf's
    scripts.
    """
    path = folder / "mlperf_log_accuracy.json"
    answers: dict[int, bytes] = {}
    try:
        for entry in _ACCURACY.validate_json(path.read_bytes()):
            answers.setdefault(entry.qsl_idx, bytes.fromhex(entry.data))
    except OSError as error:
        raise RunError(f"LoadGen left no accuracy log: {path}: {error.strerror}") from error
    except ValidationError as error:
        raise _damaged(path, error.errors(include_input=False, include_url=False)[0]["msg"]) from None
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    if answers.keys() != set(range(sample_count)):
        raise _damaged(path, f"{len(answers)} samples, not 0 to {sample_count - 1}")
    return answers


def _damaged(path: Path, what: str) -> RunError:
    return RunError(f"{path}: not a whole accuracy log ({what}); measure the cell again")


def _entry(line: str) -> dict[str, Any] | None:
    """One line; LoadGen cuts its last one when it is killed, and a few values are not JSON."""
    if not line.startswith(_PREFIX):
        return None
    try:
        entry: dict[str, Any] = json.loads(line.removeprefix(_PREFIX))
    except ValueError:
        return None
    return entry

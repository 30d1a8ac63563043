"""What one run came to, and the files of its folder that bring it back: every summary can be computed again."""

from dataclasses import asdict, dataclass
import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from serverless_mlperf.calibration import Calibration
from serverless_mlperf.errors import InputError
from serverless_mlperf.mlperf.spec import DriverResult, load_result
from serverless_mlperf.mlperf.verdict import Validity, write_validity
from serverless_mlperf.platforms.base import PlatformUsage
from serverless_mlperf.records import Record, read_records, write_records
from serverless_mlperf.scoring import Score
from serverless_mlperf.tries import read_json, write_json
from serverless_mlperf.workloads import Cell


@dataclass(frozen=True, slots=True)
class Observation:
    """observation.json: what was seen of a run from outside of LoadGen and the function."""

    before: Calibration
    after: Calibration
    usage: PlatformUsage


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What one run came to; everything the summary is computed from."""

    cell: Cell
    folder: Path
    driver: DriverResult
    records: tuple[Record, ...]
    warmup: tuple[Record, ...]
    """The cold starts of the deployment so far: a later run finds the environments of the first one warm."""
    score: Score
    before: Calibration
    after: Calibration
    usage: PlatformUsage
    validity: Validity


_OBSERVATION: Final = TypeAdapter(Observation)
_VALIDITY: Final = TypeAdapter(Validity)
_SCORE: Final = TypeAdapter(Score)


def write_outcome(outcome: RunOutcome) -> None:
    """Write what `read_outcome` needs beside LoadGen's account, the outputs and the records."""
    folder = outcome.folder
    write_records(folder / "cold_starts.jsonl", outcome.warmup)
    write_json(folder / "observation.json", asdict(Observation(outcome.before, outcome.after, outcome.usage)))
    write_json(folder / "accuracy.json", asdict(outcome.score))
    write_validity(folder / "validity.json", outcome.validity)


def read_outcome(folder: Path, cell: Cell) -> RunOutcome:
    """Read a whole run back; raises InputError naming the file that is missing or damaged."""
    observation = _read(folder / "observation.json", _OBSERVATION)
    return RunOutcome(
        cell=cell,
        folder=folder,
        driver=_driver(folder / "driver.json"),
        records=tuple(read_records(folder / "records.jsonl")),
        warmup=tuple(read_records(folder / "cold_starts.jsonl")),
        score=_read(folder / "accuracy.json", _SCORE),
        before=observation.before,
        after=observation.after,
        usage=observation.usage,
        validity=read_validity(folder),
    )


def read_validity(folder: Path) -> Validity:
    """The verdict of a whole run; raises InputError."""
    validity: Validity = _read(folder / "validity.json", _VALIDITY)
    return validity


def queries_sent(folder: Path) -> int | None:
    """Queries that a run sent, however it ended, and second executions; None where it left no word of them."""
    try:
        driver = _driver(folder / "driver.json")
    except InputError:
        return None
    return driver.sent + driver.duplicates


def first_engine(outcome: RunOutcome) -> dict[str, Any]:
    """Engine name, version, precision and threads as the function itself reports them; empty without any answer."""
    answered = (r for r in outcome.records if r.verdict == "ok")
    first = next(answered, None)
    if first is None:
        return {}
    body = json.loads((outcome.folder / "output" / f"{first.key}.json").read_text())
    return dict(body["sut"]["engine"])


def _read(path: Path, shape: TypeAdapter[Any]) -> Any:
    try:
        return shape.validate_python(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: is damaged ({error.errors()[0]['msg']}); measure the run again") from error
    except ValueError as error:
        raise InputError(f"{path}: cannot be read ({error}); measure the run again") from error


def _driver(path: Path) -> DriverResult:
    try:
        return load_result(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); measure the run again") from error

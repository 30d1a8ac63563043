"""One try of a run, as its folder shows it: whole, or cut off at any moment.

A whole try has its records, its verdict and, written last, its summary. Anything less has no result and never counts
as measured. Nothing is kept beside the files: what is written here is for people to read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
import json
from pathlib import Path
from typing import Any, Final, Self

from serverless_mlperf.errors import HostError
from serverless_mlperf.files import write_whole
from serverless_mlperf.records import SCHEMA_VERSION, ends_whole
from serverless_mlperf.redaction import redacted
from serverless_mlperf.report.results import CellResult

NOTE: Final = "try.json"
"""Written first: which of the cell's runs this is a try of."""
UNFINISHED: Final = "unfinished.json"
"""Written into the folder of a try that came to no result: why."""


@dataclass(frozen=True, slots=True)
class Try:
    """What a run folder holds."""

    folder: Path
    run: int | None
    """Which of the cell's runs, from 1; None where even that was cut off."""
    step: int
    """Which step of the run, from 1: most have one."""
    result: CellResult | None
    """None for a try that was cut off."""

    @property
    def number(self) -> int:
        """Of the folder: tries of a cell are counted through."""
        return int(self.folder.name.removeprefix("run-"))

    @property
    def shortfall(self) -> str:
        """Why a try without result has none."""
        reason = _read_object(self.folder / UNFINISHED).get("reason")
        if reason:
            return f"cut off ({reason})"
        damaged = (self.folder / "summary.json").exists()
        return f"{self.folder.name} is damaged" if damaged else f"{self.folder.name} was cut off"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder, however it was left."""
        result = _result(folder)
        note = _read_object(folder / NOTE)
        run, step = note.get("run"), note.get("step", 1)
        if not isinstance(run, int) and result is not None:
            run, step = result.run, result.step
        return cls(folder, run if isinstance(run, int) else None, step if isinstance(step, int) else 1, result)


def begin_try(folder: Path, run: int, step: int = 1) -> None:
    """Make the folder of a try; raises HostError."""
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise HostError(f"{folder}: cannot be made ({error.strerror}); is the disk full or read-only?") from error
    write_json(folder / NOTE, {"schema": SCHEMA_VERSION, "run": run, "step": step, "started": _now()})


def mark_unfinished(folder: Path, reason: str) -> None:
    """Say in the folder of a try without result that it does not count; what it holds stays."""
    for partial in folder.glob("*.partial"):
        partial.unlink(missing_ok=True)
    if not (folder / UNFINISHED).exists():
        note = {"schema": SCHEMA_VERSION, "counts": False, "reason": redacted(reason), "noticed": _now()}
        write_json(folder / UNFINISHED, note)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_whole(path, json.dumps(value, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; raises ValueError when it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise ValueError(error.strerror) from error


def _result(folder: Path) -> CellResult | None:
    verdict = _read_object(folder / "validity.json").get("verdict")
    if verdict not in ("VALID", "INVALID") or not ends_whole(folder / "records.jsonl"):
        return None
    try:
        result = CellResult.from_dict(read_json(folder / "summary.json"))
    except ValueError:
        return None
    return replace(result, valid=verdict == "VALID")


def _read_object(path: Path) -> Mapping[str, Any]:
    """A JSON object; an empty one where there is none, because it was never written or was cut off."""
    try:
        value = read_json(path)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat()

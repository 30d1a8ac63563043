"""The results folder: made once, written whole or not at all, readable after any interruption."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
import json
import os
from pathlib import Path
import secrets
from typing import Any, Final, Literal, Self

from serverless_mlperf.errors import InputError
from serverless_mlperf.records import SCHEMA_VERSION

State = Literal["missing", "partial", "valid", "invalid"]
EXPERIMENT: Final = "experiment.json"


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """`results/<id>`: the state of a cell is derived from its files, never stored beside them."""

    path: Path
    cells: tuple[str, ...]

    @classmethod
    def create(
        cls, output: Path, settings: Mapping[str, Any], cells: Sequence[str], environment: Mapping[str, Any]
    ) -> Self:
        """Make a new folder below `output`; raises InputError when it cannot be written."""
        started = datetime.now(UTC)
        folder = cls(output / f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}", tuple(cells))
        try:
            folder.path.mkdir(parents=True)
            folder.write_json(
                folder.path / EXPERIMENT,
                {
                    "schema": SCHEMA_VERSION,
                    "started": started.isoformat(),
                    "settings": settings,
                    "cells": list(cells),
                    "environment": environment,
                },
            )
        except OSError as error:
            raise InputError(f"{output}: cannot be written ({error.strerror}); choose another --output") from error
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a folder back; raises InputError when it is none."""
        try:
            content = json.loads((path / EXPERIMENT).read_text())
            return cls(path, tuple(content["cells"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: no results folder ({error}); give one that holds {EXPERIMENT}") from error

    def run_folder(self, cell: str) -> Path:
        """Make the folder of the cell's next run."""
        number = 1 + max((_number(p) for p in self._runs(cell)), default=0)
        folder = self.path / "cells" / cell / f"run-{number}"
        folder.mkdir(parents=True)
        return folder

    def state(self, cell: str) -> State:
        """What the files of the cell's last run say: a whole run has summary.json and validity.json."""
        runs = sorted(self._runs(cell), key=_number)
        if not runs:
            return "missing"
        try:
            verdict = json.loads((runs[-1] / "validity.json").read_text())["verdict"]
        except (OSError, ValueError, KeyError, TypeError):
            return "partial"
        if not (runs[-1] / "summary.json").exists():
            return "partial"
        return "valid" if verdict == "VALID" else "invalid"

    @staticmethod
    def write_json(path: Path, value: Any) -> None:
        """Write a JSON file whole or not at all, also through a crash of the host."""
        partial = path.with_name(f".{path.name}.partial")
        with partial.open("w") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _runs(self, cell: str) -> list[Path]:
        return [p for p in (self.path / "cells" / cell).glob("run-*") if p.name[4:].isdecimal()]


def _number(run: Path) -> int:
    return int(run.name[4:])
